package quickstart

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/keposs/keposs/cmd/keposs/internal/prompt"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// faceSize is the dimension of the drawn face's embeddings, that of the
// built-in source's default profile.
const faceSize = 128

// newPerson draws somebody with a PIN, a gesture, a finger and a face. Finger
// and face are models of what a reader and a camera give, a little different
// each time; rates seen with them say nothing about real people.
func newPerson(rand io.Reader) (*prompt.Synthetic, error) {
	seed, err := secret.Read(rand, 8)
	if err != nil {
		return nil, core.Errorf(core.Environment, "quickstart", "%w", err)
	}
	defer seed.Wipe()
	who := binary.BigEndian.Uint64(seed.Bytes())
	faces, fingers := ppdtest.NewFaces(faceSize, who), ppdtest.NewFingers(who)
	p := prompt.NewSynthetic(rand)
	p.Sensors = map[core.SampleKind]func(n int) []byte{
		core.SampleFaceEmbedding: func(n int) []byte { return face.EncodeRaw(faces.Capture(1, n)) },
		core.SampleISOFMR:        func(n int) []byte { return fingers.Impression(1, n) },
	}
	return p, nil
}

// sensed tells that some factor entered is not typed.
func (r *run) sensed() bool {
	return slices.ContainsFunc(r.first, func(label string) bool {
		source := policy.SourceOf(label)
		return source == face.Name || source == fingerprint.Name
	})
}
