package lab

import (
	"context"
	"crypto/pbkdf2"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	gmsm "github.com/emmansun/gmsm/sm3"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/internal/cputime"
	"github.com/keposs/keposs/kdf/lab/cracker"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
)

// RatioNames lists the ratios a run can give, in order of the report.
var RatioNames = []string{"pbkdf2sm3_vs_gmsm", "pbkdf2sm3_vs_openssl", "pbkdf2sm3_vs_limit", "wide_lane_vs_gmsm"}

// ratioParts names the samples each ratio divides.
var ratioParts = map[string][2]string{
	"pbkdf2sm3_vs_gmsm":    {"pbkdf2sm3", "gmsm"},
	"pbkdf2sm3_vs_openssl": {"pbkdf2sm3", "openssl"},
	"pbkdf2sm3_vs_limit":   {"pbkdf2sm3", "limit"},
	"wide_lane_vs_gmsm":    {"wide_lane", "gmsm"},
}

// Iterations of one sample: long enough that CPU time is exact to a permille,
// short enough that a round's parts see the same machine.
const (
	ownIterations     = 50_000
	warmIterations    = 1_000 // untimed, before each sample: the one before left other code in the caches
	opensslBase       = 1_000
	opensslIterations = 100_000
)

// chainOps is the length of SM3's longest dependency chain in PBKDF2's inner
// loop, in operations of one cycle: two compressions of 64 rounds, and in each
// round E leads to the next E through add, rotate, add and P0's rotate and two
// xors. No implementation of one chain can be faster than the processor's
// clock through it.
const chainOps = 2 * 64 * 6

// leastRounds are run however long they take.
const leastRounds = 3

// ratios runs all implementations one after the other, rounds times or, on a
// busy machine, as often as limit allows, and returns ns of CPU per iteration.
func ratios(ctx context.Context, rounds int, limit time.Duration, openssl bool) (map[string]float64, map[string][]float64, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pass, salt := []byte("123456"), []byte("a salt of 16 byt")
	var out [32]byte
	lanes := cracker.Widths()
	width := lanes[len(lanes)-1]
	wide := make([]byte, 32*width)
	parts := []struct {
		name string
		skip bool
		n    int
		run  func(n int) error
	}{
		{"pbkdf2sm3", false, ownIterations, func(n int) error { return pbkdf2sm3.Key(ctx, pass, salt, n, out[:]) }},
		{"gmsm", false, ownIterations, func(n int) error {
			_, err := pbkdf2.Key(gmsm.New, string(pass), salt, n, 32)
			return err
		}},
		{"limit", false, ownIterations, func(n int) error {
			runtime.KeepAlive(chain(n, uint32(n)|1, 0x9e3779b9)) // or the compiler drops it
			return nil
		}},
		{"wide_lane", width == 1, ownIterations * width, func(n int) error { return pbkdf2sm3.Key(ctx, pass, salt, n/width, wide) }},
	}
	samples := map[string][]float64{}
	for r, begun := 0, time.Now(); r <= rounds && (r <= leastRounds || time.Since(begun) < limit); r++ {
		for _, p := range parts {
			if p.skip {
				continue
			}
			if ctx.Err() != nil {
				return nil, nil, core.Errorf(core.Canceled, "lab: ratios", "%w", ctx.Err())
			}
			if err := p.run(warmIterations); err != nil {
				return nil, nil, err
			}
			before := cputime.Thread()
			if err := p.run(p.n); err != nil {
				return nil, nil, err
			}
			took := cputime.Thread() - before
			if r > 0 { // the first round warms caches and clocks
				samples[p.name] = append(samples[p.name], float64(took)/float64(p.n))
			}
		}
		if openssl {
			took, err := opensslTime(ctx, opensslBase+opensslIterations)
			if err != nil {
				return nil, nil, err
			}
			base, err := opensslTime(ctx, opensslBase)
			if err != nil {
				return nil, nil, err
			}
			if r > 0 {
				samples["openssl"] = append(samples["openssl"], float64(took-base)/opensslIterations)
			}
		}
	}
	out2 := map[string]float64{}
	for name, p := range ratioParts {
		a, b := samples[p[0]], samples[p[1]]
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		each := make([]float64, len(a))
		for i := range each {
			each[i] = a[i] / b[i]
		}
		out2[name] = median(each)
	}
	return out2, samples, nil
}

// chain does n·chainOps operations, each waiting for the one before.
func chain(n int, a, b uint32) uint32 {
	x := a
	for ; n > 0; n-- {
		for range chainOps / 16 {
			x = ((x + a) ^ b) + a ^ b
			x = ((x + a) ^ b) + a ^ b
			x = ((x + a) ^ b) + a ^ b
			x = ((x + a) ^ b) + a ^ b
		}
	}
	return x
}

// opensslTime is the CPU time of one openssl process deriving a key of a PIN
// that is no secret.
func opensslTime(ctx context.Context, iterations int) (time.Duration, error) {
	c := exec.CommandContext(ctx, "openssl", "kdf", "-keylen", "32", "-kdfopt", "digest:SM3", "-kdfopt", "pass:123456",
		"-kdfopt", "salt:a salt of 16 byt", "-kdfopt", "pkcs5:1", "-kdfopt", "iter:"+strconv.Itoa(iterations), "PBKDF2")
	if out, err := c.CombinedOutput(); err != nil {
		return 0, core.Errorf(core.Environment, "lab: ratios", "openssl kdf: %w: %.200s", err, out)
	}
	return c.ProcessState.UserTime() + c.ProcessState.SystemTime(), nil
}
