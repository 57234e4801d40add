package ppdtest

import (
	"context"
	"math/rand/v2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// typist always answers with the same text.
type typist struct {
	kind core.SampleKind
	text []byte
}

func (t typist) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, "ppdtest: person", "%w", err)
	}
	return core.Sample{Kind: t.kind, Model: "synthetic", Data: secret.Copy(t.text)}, nil
}

// PIN is the person of a seed with a PIN of eight digits that no weak-PIN
// rule of ppd/pin refuses: digits 5 and 0 stand where no date, line, walk or
// repeated block has them.
func PIN(seed uint64) Person {
	r := rand.New(rand.NewPCG(seed, 1))
	text := []byte("50950270")
	for _, i := range []int{3, 5, 6} { // five hundred and more different PINs
		text[i] = byte('0' + r.IntN(10))
	}
	// The seed's last digit makes neighbouring seeds differ for sure.
	text[7] = byte('0' + seed%10)
	return typist{core.SamplePIN, text}
}

// PoorPIN is an answer of a wrong form.
func PoorPIN(core.Prompt) core.Sample { return core.NewSample(core.SamplePIN, []byte("12")) }
