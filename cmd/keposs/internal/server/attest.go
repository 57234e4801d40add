package server

import (
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/attest"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/core/sscc"
)

// maxPEM bounds the file of one public key.
const maxPEM = 4 << 10

// attestors reads the public keys of the attestation services configured.
// req: P-14
func (f Folder) attestors(c *Config) (map[string]sscc.Attestor, error) {
	const op = "ss-cc: attestation"
	out := map[string]sscc.Attestor{}
	for platform, file := range c.Attest {
		if !filepath.IsAbs(file) {
			file = f.path(file)
		}
		if st, err := os.Stat(file); err == nil && st.Size() > maxPEM {
			return nil, core.Errorf(core.TooLarge, op, "%s: %d bytes, at most %d", file, st.Size(), maxPEM)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, core.Errorf(core.Usage, op, "the key of the service for %s: %w", platform, err)
		}
		key, err := sm.ParsePEM(b)
		if err != nil {
			return nil, core.Errorf(core.Invalid, op, "%s is no SM2 public key: %w", file, err)
		}
		out[platform] = attest.NewService(key)
	}
	return out, nil
}
