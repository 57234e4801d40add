package sm3crypt_test

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/keposs/keposs/kdf/sm3crypt"
)

// Answers of libxcrypt 4.5.2, the implementation that defines the format.
func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/libxcrypt.json")
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Tests []struct{ Phrase, Hash string }
	}
	if err := json.Unmarshal(raw, &f); err != nil || len(f.Tests) < 20 {
		t.Fatalf("%d vectors, %v", len(f.Tests), err)
	}
	for _, v := range f.Tests {
		parts := strings.Split(v.Hash, "$") // "", sm3, rounds=N, salt, hash
		rounds, err := strconv.Atoi(strings.TrimPrefix(parts[2], "rounds="))
		if err != nil {
			t.Fatal(err)
		}
		h, err := sm3crypt.Hash(t.Context(), []byte(v.Phrase), []byte(parts[3]), rounds)
		if err != nil {
			t.Fatal(err)
		}
		if got := sm3crypt.Text([]byte(parts[3]), rounds, h); got != v.Hash {
			t.Errorf("%q: %s, want %s", v.Phrase, got, v.Hash)
		}
	}
}
