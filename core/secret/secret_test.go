package secret_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/keposs/keposs/core/secret"
)

const marker = "marker-91827364"

// K-5.3-02d: no formatter shows what a buffer holds, not even inside a struct.
func TestNeverPrints(t *testing.T) {
	s := secret.Copy([]byte(marker))
	defer s.Wipe()
	type outer struct {
		Name string
		S    *secret.Buffer
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b"} {
		fmt.Fprintf(&out, verb+"\n", s)
		fmt.Fprintf(&out, verb+"\n", outer{"x", s})
		fmt.Fprintf(&out, verb+"\n", []*secret.Buffer{s})
	}
	j, err := json.Marshal(outer{"x", s})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "secret", s, "in", outer{"x", s})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "secret", s, "in", outer{"x", s})
	var g bytes.Buffer
	if err := gob.NewEncoder(&g).Encode(s); err != nil {
		t.Fatal(err)
	}
	out.Write(g.Bytes())
	hexed := fmt.Sprintf("%x", marker)
	for _, bad := range []string{marker, hexed, strings.ToUpper(hexed), fmt.Sprintf("%d", []byte(marker))} {
		if strings.Contains(out.String(), bad) {
			t.Errorf("output shows the secret as %q:\n%s", bad, out.String())
		}
	}
	if !strings.Contains(out.String(), "[secret]") {
		t.Error("control: nothing was formatted")
	}
}

func TestWipe(t *testing.T) {
	b := []byte(marker)
	s := secret.Own(b)
	s.Wipe()
	if !bytes.Equal(b, make([]byte, len(marker))) {
		t.Errorf("after Wipe: % x", b)
	}
	if s.Len() != 0 {
		t.Errorf("Len after Wipe = %d", s.Len())
	}
	s.Wipe()
	(*secret.Buffer)(nil).Wipe()
	secret.WipeAll(nil, secret.New(3), nil)
}

func TestCloneIsIndependent(t *testing.T) {
	s := secret.Copy([]byte("abc"))
	c := s.Clone()
	s.Wipe()
	if string(c.Bytes()) != "abc" {
		t.Errorf("clone = %q", c.Bytes())
	}
}

func TestEqual(t *testing.T) {
	a, b := secret.Copy([]byte("abc")), secret.Copy([]byte("abc"))
	if !a.Equal(b) {
		t.Error("equal buffers differ")
	}
	for _, o := range []*secret.Buffer{secret.Copy([]byte("abd")), secret.Copy([]byte("ab")), nil} {
		if a.Equal(o) {
			t.Errorf("different buffers are equal")
		}
	}
}

func TestReadShort(t *testing.T) {
	_, err := secret.Read(strings.NewReader("ab"), 3)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("err = %v, want unexpected EOF", err)
	}
	s, err := secret.Read(strings.NewReader("abc"), 3)
	if err != nil || s.Len() != 3 {
		t.Errorf("Read = %v, %v", s.Len(), err)
	}
}
