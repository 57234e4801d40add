package fingerprint

import (
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// SelfTest counts the captures of one finger that open a vault made of the
// others, within a quarter of the work. An enrolment that none of its captures
// opens is refused. It ends with ctx.
func SelfTest(ctx context.Context, p Profile, work int, captures []View, rng *rand.Rand, rnd io.Reader) (opened int, err error) {
	sk := &Sketcher{Profile{K: min(p.K, 10), Fingers: 1}}
	var k [32]byte
	for i := range 4 {
		binary.BigEndian.PutUint64(k[8*i:], rng.Uint64())
	}
	key := secret.Own(k[:])
	defer key.Wipe()
	for i := range captures {
		if ctx.Err() != nil {
			return 0, core.Errorf(core.Canceled, "fingerprint: enrol", "%w", ctx.Err())
		}
		others := append(append([]View(nil), captures[:i]...), captures[i+1:]...)
		t, err := templateOf(others, rng)
		if err != nil {
			continue // too little is left without it
		}
		helper, sec, features, err := sk.Enrol(rnd, key, []*Template{t})
		t.Wipe()
		clear(features)
		if err != nil {
			return 0, err
		}
		a, err := sk.Prepare(key, helper, captures[i:i+1])
		if err != nil {
			return 0, err
		}
		got := sk.Result(a.Search(rng, 1<<(work-2), func() bool { return ctx.Err() != nil }))
		if got.Equal(sec) {
			opened++
		}
		a.Wipe()
		secret.WipeAll(got, sec)
	}
	return opened, nil
}
