package needle

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestSearchFindsEveryForm(t *testing.T) {
	secret := []byte("\x00\x9fA needle of some length\xff")
	needles := []Needle{{"it", secret}}
	cases := map[string][]byte{
		"raw":    append([]byte("abc"), secret...),
		"hex":    []byte("x" + hex.EncodeToString(secret) + "y"),
		"HEX":    bytes.ToUpper([]byte(hex.EncodeToString(secret))),
		"base64": []byte(base64.StdEncoding.EncodeToString(append([]byte("12"), secret...))),
	}
	for name, content := range cases {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "f"), content)
		r, err := Search(dir, needles)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Hits) == 0 {
			t.Errorf("%s: not found", name)
			continue
		}
		if r.Hits[0].Form != name {
			t.Errorf("%s: found as %s", name, r.Hits[0].Form)
		}
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), bytes.Repeat([]byte("A needle of some other length"), 1000))
	if r, err := Search(dir, needles); err != nil || len(r.Hits) != 0 || r.Files != 1 || r.Bytes != 29_000 {
		t.Errorf("clean folder: %+v, %v", r, err)
	}
}

func TestSearchOverChunkBorders(t *testing.T) {
	secret := []byte("0123456789abcdef")
	for _, at := range []int{0, chunk - 20, chunk - 8, chunk, chunk + 1, 2*chunk + 25} {
		dir := t.TempDir()
		content := make([]byte, 2*chunk+64)
		copy(content[at:], secret)
		write(t, filepath.Join(dir, "f"), content)
		r, err := Search(dir, []Needle{{"it", secret}})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Hits) != 1 || r.Hits[0].Offset != int64(at) {
			t.Errorf("at %d: %v", at, r.Hits)
		}
	}
}

func TestSearchSeesFileNames(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "user-"+hex.EncodeToString([]byte("someone"))), []byte("empty"))
	r, err := Search(dir, []Needle{{"user", []byte("someone")}})
	if err != nil || len(r.Hits) != 1 || r.Hits[0].Form != "name" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestShortNeedleRefused(t *testing.T) {
	if _, err := Search(t.TempDir(), []Needle{{"short", []byte("abc")}}); err == nil {
		t.Error("a needle of three bytes says nothing and was searched for")
	}
}

func TestControl(t *testing.T) {
	dir := t.TempDir()
	needles := []Needle{{"pin", []byte("271828")}, {"key", bytes.Repeat([]byte{7, 200}, 16)}}
	if err := Control(dir, needles); err != nil {
		t.Error(err)
	}
	left, _ := os.ReadDir(dir)
	if len(left) != 0 {
		t.Errorf("control left %d entries", len(left))
	}
}
