package link

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/protocol"
)

// What an app says of its platform is read as it was said; another number of
// verdicts, an unknown one, and a proof without a platform, without bytes or of
// too many are refused.
// req: P-13, P-14
func TestPlatformSurvives(t *testing.T) {
	said := []probes.Verdict{"", probes.OK, probes.Bad, probes.Unknown, probes.NotApplicable, "rooted"}
	read := slices.Clone(said)
	read[5] = probes.Unknown // a word of the app's own is no verdict, and must not pass for one
	got, err := DecodeVerdicts(EncodeVerdicts(said), len(said))
	if err != nil || !slices.Equal(got, read) {
		t.Errorf("verdicts %v, %v", got, err)
	}
	for name, b := range map[string][]byte{"one too few": {1}, "one too many": {1, 1, 1}, "an unknown one": {1, 5}} {
		if got, err := DecodeVerdicts(b, 2); !errors.Is(err, core.Invalid) || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	for name, ids := range map[string][]string{"none": nil, "too many": slices.Repeat([]string{"P-01"}, maxProbes+1), "an empty ID": {""}, "a long ID": {strings.Repeat("P", maxID+1)}} {
		if b, err := EncodeProbes(ids); !errors.Is(err, core.Invalid) {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
	if b, err := EncodeProbes(probes.IDs(false)); err != nil || len(b) > bound(Probe) {
		t.Errorf("all probes take %d bytes, %v", len(b), err)
	}
	for name, c := range map[string]struct {
		platform string
		proof    int
	}{
		"no platform": {"", 1}, "no proof": {"play", 0},
		"a long platform": {strings.Repeat("p", protocol.MaxPlatform+1), 1}, "a long proof": {"play", protocol.MaxAttestation + 1},
	} {
		if _, err := EncodeProof(c.platform, make([]byte, c.proof)); !errors.Is(err, core.Invalid) {
			t.Errorf("%s is sent: %v", name, err)
		}
		body := append(append([]byte{byte(len(c.platform))}, c.platform...), make([]byte, c.proof)...)
		if _, _, err := DecodeProof(body); !errors.Is(err, core.Invalid) {
			t.Errorf("%s is taken: %v", name, err)
		}
	}
	longest := strings.Repeat("p", protocol.MaxPlatform)
	head, err := EncodeProof(longest, make([]byte, protocol.MaxAttestation))
	if err != nil || len(head)+protocol.MaxAttestation != bound(Proof) {
		t.Errorf("the longest proof: %d bytes of head, bound %d, %v", len(head), bound(Proof), err)
	}
}

// What is read as probes, verdicts or a proof is written as the same bytes.
func FuzzPlatform(f *testing.F) {
	f.Add([]byte("\x04P-13\x04P-14"))
	f.Add([]byte{1, 2, 0, 4})
	f.Add([]byte("\x04playproof"))
	f.Add([]byte{255})
	f.Fuzz(func(t *testing.T, in []byte) {
		if ids, err := DecodeProbes(in); err == nil {
			if b, err := EncodeProbes(ids); err != nil || !bytes.Equal(b, in) {
				t.Fatalf("probes %q are written as %x, %v", ids, b, err)
			}
		}
		if list, err := DecodeVerdicts(in, len(in)); err == nil && !bytes.Equal(EncodeVerdicts(list), in) {
			t.Fatalf("verdicts %q are written otherwise", list)
		}
		if platform, proof, err := DecodeProof(in); err == nil {
			head, err := EncodeProof(platform, proof)
			if err != nil || !bytes.Equal(append(head, proof...), in) {
				t.Fatalf("a proof of %q is written otherwise: %v", platform, err)
			}
		}
	})
}
