package bcrypt

import (
	"testing"

	library "golang.org/x/crypto/bcrypt"
)

// The library accepts what we make, and nothing that differs.
func TestLibraryAccepts(t *testing.T) {
	for _, password := range []string{"", "a", "123456", "a password of more than eight bytes"} {
		salt := [16]byte{1, 2, 3, byte(len(password))}
		raw, err := Raw(t.Context(), []byte(password), salt, 5)
		if err != nil {
			t.Fatal(err)
		}
		text := []byte(Text(salt, 5, raw))
		if err := library.CompareHashAndPassword(text, []byte(password)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if err := library.CompareHashAndPassword(text, []byte(password+"x")); err == nil {
			t.Errorf("%s: accepts another password", text)
		}
	}
}

// Public answers, from the tests of the original implementation.
func TestVectors(t *testing.T) {
	for text, password := range map[string]string{
		"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW": "U*U",
		"$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK": "U*U*",
	} {
		// A salt of all C characters is 16 bytes of this pattern.
		salt := [16]byte{0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10}
		raw, err := Raw(t.Context(), []byte(password), salt, 5)
		if err != nil {
			t.Fatal(err)
		}
		if got := Text(salt, 5, raw); got != text {
			t.Errorf("%s, want %s", got, text)
		}
	}
}
