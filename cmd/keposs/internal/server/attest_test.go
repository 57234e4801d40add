package server

import (
	"os"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
)

// The services named in config.toml are read from files of public keys.
// req: P-14
func TestAttestors(t *testing.T) {
	f := Folder(t.TempDir())
	k, err := sm.GenerateKey(sm.Rand())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"play.pem": k.Public().PEM(), "bad.pem": []byte("no key"), "long.pem": make([]byte, maxPEM+1)} {
		if err := os.WriteFile(f.path(name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, code := range map[string]core.Code{"play.pem": core.Unknown, f.path("play.pem"): core.Unknown, "bad.pem": core.Invalid, "long.pem": core.TooLarge, "none.pem": core.Usage} {
		got, err := f.attestors(&Config{Attest: map[string]string{"play": file}})
		if core.CodeOf(err) != code || code == core.Unknown && got["play"] == nil {
			t.Errorf("%s: %v, %v", file, got, err)
		}
	}
}
