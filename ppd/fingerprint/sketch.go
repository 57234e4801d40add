package fingerprint

import (
	"io"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/ppd/fuzzy"
)

// A Profile says how many genuine features open a vault and how many fingers
// lock it.
type Profile struct {
	K       int // 8 to 10 for one finger, 12 or 14 for two
	Fingers int // 1 or 2
}

// Default is one finger, k = 9.
var Default = Profile{K: 9, Fingers: 1}

// profiles lists what is served; the index plus one is the format in policies,
// never to be reordered.
var profiles = [...]Profile{{9, 1}, {8, 1}, {10, 1}, {12, 2}, {14, 2}}

// Format is the profile's number in policies; 0 if it is not served.
func (p Profile) Format() uint32 {
	for i, q := range profiles {
		if p == q {
			return uint32(i + 1)
		}
	}
	return 0
}

// profileOf is the inverse of Format.
func profileOf(format uint32) (Profile, bool) {
	if format < 1 || int(format) > len(profiles) {
		return Profile{}, false
	}
	return profiles[format-1], true
}

// HelperSize is the bytes of every helper of the profile: for each finger the
// grid offset and the constellation, then the vault.
func (p Profile) HelperSize() int {
	return p.Fingers * (offsetBytes + starCount*starBytes + 2*maxFeatures)
}

// SecretSize is the bytes of a secret.
const SecretSize = 32

// A Sketcher makes helpers and opens them. It holds no secret and is safe for
// concurrent use.
type Sketcher struct{ p Profile }

// NewSketcher prepares a profile; one that is not served is Unsupported.
func NewSketcher(p Profile) (*Sketcher, error) {
	if p.Format() == 0 {
		return nil, core.Errorf(core.Unsupported, "fingerprint: profile", "k = %d with %d fingers is not served", p.K, p.Fingers)
	}
	return &Sketcher{p}, nil
}

// Enrol locks a random secret under the templates of all fingers, in the order
// they will be asked for. The caller owns the secret; features, distinct field
// elements, are for measurements and are the caller's to wipe.
func (s *Sketcher) Enrol(rnd io.Reader, key *secret.Buffer, fingers []*Template) (helper []byte, sec *secret.Buffer, features []uint16, err error) {
	if len(fingers) != s.p.Fingers {
		return nil, nil, nil, core.Errorf(core.Usage, "fingerprint: enrol", "%d fingers, want %d", len(fingers), s.p.Fingers)
	}
	cells := newCellMap(key, s.p.Fingers)
	defer cells.wipe()
	for i, t := range fingers {
		helper = append(helper, t.off.u, t.off.v, t.off.w)
		helper = append(helper, t.codes...)
		for _, c := range t.cells {
			features = append(features, cells.element(i, c))
		}
	}
	v, f, err := fuzzy.Lock(rnd, features, s.p.K, s.p.Fingers*maxFeatures, cells.isCell)
	if err != nil {
		return nil, nil, nil, err
	}
	defer clear(f)
	return v.Append(helper), s.secretOf(f), features, nil
}

// secretOf is SM3(enc("keposs/fingerprint/secret/1", format, coefficients)).
func (s *Sketcher) secretOf(f []uint16) *secret.Buffer {
	b := fuzzy.Vault(f).Append(nil)
	defer secret.Zero(b)
	in := enc.Join(enc.Str("keposs/fingerprint/secret/1"), enc.U32(s.p.Format()), b)
	defer secret.Zero(in)
	return sm.SecretSM3(in)
}
