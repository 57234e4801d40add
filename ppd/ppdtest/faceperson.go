package ppdtest

import (
	"context"
	"encoding/binary"
	"math"
	"sync/atomic"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// Face is the person of a seed before a camera: embeddings of 128 values.
func Face(seed uint64) Person { return FaceOf(128)(seed) }

// FaceOf makes persons with embeddings of dim values. Each call is a new take,
// and takes at enrolment are never those at recovery; the same seed and calls
// give the same takes.
func FaceOf(dim int) func(seed uint64) Person {
	return func(seed uint64) Person { return &sitter{faces: NewFaces(dim, seed)} }
}

type sitter struct {
	faces *Faces
	takes atomic.Int64
}

// Ask implements core.Prompter.
func (s *sitter) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, "ppdtest: person", "%w", err)
	}
	n := int(s.takes.Add(1)) + 100*q.Index
	if q.Purpose == core.PurposeRecover {
		n += 10_000
	}
	v := s.faces.Capture(0, n)
	defer clear(v)
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(x)))
	}
	return core.Sample{Kind: core.SampleFaceEmbedding, Data: secret.Own(raw)}, nil
}
