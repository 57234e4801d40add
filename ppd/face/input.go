package face

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"

	"github.com/keposs/keposs/core"
)

// MaxSample bounds the bytes of one face sample, checked before parsing.
const MaxSample = 256 << 10

// MaxCaptures bounds the embeddings in one sample and in one attempt.
const MaxCaptures = 5

// jsonSample is the JSON form of a sample: one embedding or several captures.
type jsonSample struct {
	Model     string      `json:"model"`
	Dim       int         `json:"dim"`
	Embedding []float64   `json:"embedding"`
	Captures  [][]float64 `json:"captures"`
}

// ParseSample reads a face-embedding sample: .npy (1-D, or m × d for m
// captures), JSON {"model","dim","embedding"|"captures"}, or raw little-endian
// float32 of dim values. It returns the captures and the model the sample
// names ("" if none). dim is the profile's; another dimension, a value that is
// not finite, a zero vector or more than MaxCaptures is Invalid. The caller
// wipes the values.
func ParseSample(b []byte, dim int) (captures [][]float64, model string, err error) {
	const op = "face: sample"
	if len(b) > MaxSample {
		return nil, "", core.Errorf(core.TooLarge, op, "%d bytes, at most %d", len(b), MaxSample)
	}
	switch {
	case bytes.HasPrefix(b, npyMagic):
		a, err := ReadNPY(b, MaxCaptures*MaxDim)
		if err != nil {
			return nil, "", err
		}
		for i := range a.Rows {
			captures = append(captures, a.Row(i))
		}
	case len(b) == 4*dim && !json.Valid(b):
		captures = [][]float64{floats(b, 4)}
	case len(b) > 0 && b[0] == '{':
		if captures, model, err = parseJSON(b, dim); err != nil {
			return nil, "", err
		}
	default:
		return nil, "", core.Errorf(core.Invalid, op, "neither .npy nor JSON nor %d bytes of float32", 4*dim)
	}
	if len(captures) == 0 || len(captures) > MaxCaptures {
		return nil, "", core.Errorf(core.Invalid, op, "%d captures in one sample, want 1 to %d", len(captures), MaxCaptures)
	}
	for _, c := range captures {
		switch {
		case len(c) != dim:
			return nil, "", core.Errorf(core.Invalid, op, "embedding of %d values, the profile wants %d", len(c), dim)
		case !finite(c):
			return nil, "", core.Errorf(core.Invalid, op, "the embedding holds a value that is not finite")
		case norm(c) < 1e-6 || math.IsInf(norm(c), 0):
			return nil, "", core.Errorf(core.Invalid, op, "the embedding has no usable length")
		}
	}
	return captures, model, nil
}

func parseJSON(b []byte, dim int) ([][]float64, string, error) {
	const op = "face: sample"
	var s jsonSample
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil || d.More() {
		return nil, "", core.Errorf(core.Invalid, op, "want one JSON object with model, dim and embedding or captures")
	}
	if s.Dim != 0 && s.Dim != dim {
		return nil, "", core.Errorf(core.Invalid, op, "dim %d, the profile wants %d", s.Dim, dim)
	}
	if (s.Embedding == nil) == (s.Captures == nil) {
		return nil, "", core.Errorf(core.Invalid, op, "want either embedding or captures")
	}
	if s.Embedding != nil {
		s.Captures = [][]float64{s.Embedding}
	}
	return s.Captures, s.Model, nil
}

// EncodeRaw packs values as ParseSample's raw form.
func EncodeRaw(v []float64) []byte {
	out := make([]byte, 0, 4*len(v))
	for _, x := range v {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(float32(x)))
	}
	return out
}
