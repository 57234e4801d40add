package link

import (
	"slices"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc/probes"
	"github.com/keposs/keposs/core/protocol"
)

// Bounds of what an agent asks an app about its platform.
const (
	maxProbes = 64 // in one Probe frame
	maxID     = 16 // bytes of a probe's ID
	maxProof  = 1 + protocol.MaxPlatform + protocol.MaxAttestation
)

// verdicts by their byte on the wire; 0 is no answer. Append-only.
var verdicts = []probes.Verdict{"", probes.OK, probes.Bad, probes.Unknown, probes.NotApplicable}

// EncodeProbes is a Probe frame: (len u8 ‖ ID) of each probe.
func EncodeProbes(ids []string) ([]byte, error) {
	if len(ids) == 0 || len(ids) > maxProbes {
		return nil, core.Errorf(core.Invalid, "client: agent", "%d probes, want 1 to %d", len(ids), maxProbes)
	}
	var out []byte
	for _, id := range ids {
		if id == "" || len(id) > maxID {
			return nil, core.Errorf(core.Invalid, "client: agent", "a probe's ID of %d bytes, want 1 to %d", len(id), maxID)
		}
		out = append(append(out, byte(len(id))), id...)
	}
	return out, nil
}

// DecodeProbes reads a Probe frame; one form for one list.
func DecodeProbes(b []byte) (ids []string, err error) {
	for len(b) > 0 {
		n := int(b[0])
		if n == 0 || n > maxID || len(b) < 1+n || len(ids) == maxProbes {
			return nil, core.Errorf(core.Invalid, "client: agent", "a malformed list of probes")
		}
		ids, b = append(ids, string(b[1:1+n])), b[1+n:]
	}
	if len(ids) == 0 {
		return nil, core.Errorf(core.Invalid, "client: agent", "an empty list of probes")
	}
	return ids, nil
}

// EncodeVerdicts is a Verdicts frame: one byte a probe, in the order they were
// asked in; "" is no answer. A word that is no verdict says that nothing could
// be told.
func EncodeVerdicts(list []probes.Verdict) []byte {
	out := make([]byte, len(list))
	for i, v := range list {
		n := slices.Index(verdicts, v)
		if n < 0 {
			n = slices.Index(verdicts, probes.Unknown)
		}
		out[i] = byte(n)
	}
	return out
}

// DecodeVerdicts reads the answer to n probes.
func DecodeVerdicts(b []byte, n int) ([]probes.Verdict, error) {
	if len(b) != n {
		return nil, core.Errorf(core.Invalid, "client: agent", "%d verdicts on %d probes", len(b), n)
	}
	out := make([]probes.Verdict, n)
	for i, c := range b {
		if int(c) >= len(verdicts) {
			return nil, core.Errorf(core.Invalid, "client: agent", "a verdict of unknown kind %d", c)
		}
		out[i] = verdicts[c]
	}
	return out, nil
}

// EncodeProof is the head of a Proof frame, len u8 ‖ platform; the proof's bytes
// (lent) follow it.
func EncodeProof(platform string, proof []byte) (head []byte, err error) {
	if platform == "" || len(platform) > protocol.MaxPlatform {
		return nil, core.Errorf(core.Invalid, "client: agent", "a platform's name of %d bytes, want 1 to %d", len(platform), protocol.MaxPlatform)
	}
	if len(proof) == 0 || len(proof) > protocol.MaxAttestation {
		return nil, core.Errorf(core.Invalid, "client: agent", "a proof of %d bytes, want 1 to %d", len(proof), protocol.MaxAttestation)
	}
	return append([]byte{byte(len(platform))}, platform...), nil
}

// DecodeProof reads a Proof frame; proof is the caller's own.
func DecodeProof(b []byte) (platform string, proof []byte, err error) {
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return "", nil, core.Errorf(core.Invalid, "client: agent", "a malformed proof")
	}
	platform, proof = string(b[1:1+int(b[0])]), slices.Clone(b[1+int(b[0]):])
	if _, err := EncodeProof(platform, proof); err != nil {
		return "", nil, err
	}
	return platform, proof, nil
}
