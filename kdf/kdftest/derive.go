package kdftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

var derivations = []Case{
	{
		Name: "KnownAnswers", Group: "C",
		Rule:   "Every known answer comes out.",
		Advice: "compare with the source the vector names",
		Run: func(ctx context.Context, h Harness) error {
			if len(h.Vectors) == 0 {
				return Skip("no vectors at the level of the contract; the package tests its primitive")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			for _, v := range h.Vectors {
				out := make([]byte, len(v.Out))
				if err := k.Derive(ctx, v.Params, v.Secret, v.Salt, out); err != nil {
					return fmt.Errorf("%s: %w", v.Name, err)
				}
				if !bytes.Equal(out, v.Out) {
					return fmt.Errorf("%s: %x, want %x", v.Name, out, v.Out)
				}
			}
			return nil
		},
	},
	{
		Name: "AgreesWithReference", Group: "C",
		Rule:   "An independent implementation gives the same for many lengths of secret, salt and output.",
		Advice: "look at the length it fails at: block borders are 55, 56, 64",
		Run: func(ctx context.Context, h Harness) error {
			if h.Reference == nil {
				return Skip("no independent implementation at hand")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			for _, n := range []int{0, 1, 31, 32, 33, 55, 56, 63, 64, 65} {
				secret := bytes.Repeat([]byte{byte(n + 1)}, n)
				st := bytes.Repeat([]byte{byte(n)}, 8+n)
				out := make([]byte, 1+n)
				if err := k.Derive(ctx, h.Cheap, secret, st, out); err != nil {
					return fmt.Errorf("secret of %d bytes: %w", n, err)
				}
				want, err := h.Reference(h.Cheap, secret, st, len(out))
				if err != nil {
					return err
				}
				if !bytes.Equal(out, want) {
					return fmt.Errorf("secret of %d, salt of %d, output of %d bytes: %x, want %x", n, len(st), len(out), out, want)
				}
			}
			return nil
		},
	},
	{
		Name: "DeterministicAndLent", Group: "C",
		Rule:   "The same input gives the same output, whatever out held; secret and salt are not changed.",
		Advice: "write to out only",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			secret, st := []byte("123456"), bytes.Clone(salt)
			a, b := make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)
			if err := errors.Join(k.Derive(ctx, h.Cheap, secret, st, a), k.Derive(ctx, h.Cheap, secret, st, b)); err != nil {
				return err
			}
			if !bytes.Equal(a, b) {
				return fmt.Errorf("first %x, then %x", a, b)
			}
			if string(secret) != "123456" || !bytes.Equal(st, salt) {
				return errors.New("secret or salt was changed")
			}
			return nil
		},
	},
	{
		Name: "Avalanche", Group: "C",
		Rule:   "One flipped bit of secret or salt changes about half of the output's bits.",
		Advice: "every byte of both inputs must reach the hash",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			base, err := derive(ctx, k, h.Cheap, "a secret of 16 b", string(salt))
			if err != nil {
				return err
			}
			for i := range 16 {
				for _, which := range []string{"secret", "salt"} {
					secret, st := []byte("a secret of 16 b"), bytes.Clone(salt)
					if which == "secret" {
						secret[i] ^= 1 << (i % 8)
					} else {
						st[i] ^= 1 << (i % 8)
					}
					out, err := derive(ctx, k, h.Cheap, string(secret), string(st))
					if err != nil {
						return err
					}
					d := 0
					for j := range out {
						d += bits.OnesCount8(out[j] ^ base[j])
					}
					// 256 fair bits: outside 80..176 with probability under 2^-29.
					if d < 80 || d > 176 {
						return fmt.Errorf("bit of byte %d of the %s changes %d of 256 bits", i, which, d)
					}
				}
			}
			return nil
		},
	},
	{
		Name: "ParametersMatter", Group: "C",
		Rule:   "Other parameters give another output.",
		Advice: "a parameter that is read and not used is a false promise",
		Run: func(ctx context.Context, h Harness) error {
			if h.Costly.Name == "" {
				return Skip("has no parameters")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			base, err := derive(ctx, k, h.Cheap, "123456", string(salt))
			if err != nil {
				return err
			}
			for _, v := range h.Cheap.Values {
				p := with(h.Cheap, v.Key, v.N+1)
				if k.Validate(p, core.Limits{}) != nil {
					continue
				}
				out, err := derive(ctx, k, p, "123456", string(salt))
				if err != nil {
					return err
				}
				if bytes.Equal(out, base) {
					return fmt.Errorf("%s and %s give the same", h.Cheap, p)
				}
			}
			return nil
		},
	},
	{
		Name: "Concurrent", Group: "F",
		Rule:   "Safe for concurrent use.",
		Advice: "run with -race; keep all state in the call",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			const n = 8
			var want, got [n][]byte
			for i := range want {
				if want[i], err = derive(ctx, k, h.Cheap, fmt.Sprint("secret", i), string(salt)); err != nil {
					return err
				}
			}
			var wg sync.WaitGroup
			errs := make([]error, n)
			for i := range got {
				wg.Go(func() { got[i], errs[i] = derive(ctx, k, h.Cheap, fmt.Sprint("secret", i), string(salt)) })
			}
			wg.Wait()
			for i := range got {
				if errs[i] != nil || !bytes.Equal(got[i], want[i]) {
					return fmt.Errorf("derivation %d beside others: %x, %v; alone: %x", i, got[i], errs[i], want[i])
				}
			}
			return nil
		},
	},
}

var costs = []Case{
	{
		Name: "NoAllocationPerIteration", Group: "E",
		Rule:   "Nothing is allocated per iteration: more cost makes no more allocations.",
		Advice: "reuse one block of memory; go build -gcflags=-m",
		Run: func(ctx context.Context, h Harness) error {
			if !h.InProcess || h.Costly.Name == "" {
				return Skip("only for a value of this process that has a cost")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			count := func(p core.Params) (uint64, error) {
				var a, b runtime.MemStats
				least := ^uint64(0)
				for range 3 { // other goroutines allocate too
					runtime.ReadMemStats(&a)
					_, err := derive(ctx, k, p, "123456", string(salt))
					runtime.ReadMemStats(&b)
					if err != nil {
						return 0, err
					}
					least = min(least, b.Mallocs-a.Mallocs)
				}
				return least, nil
			}
			few, err := count(h.Cheap)
			if err != nil {
				return err
			}
			many, err := count(h.Costly)
			if err != nil {
				return err
			}
			// A library may allocate per pass or lane, never per iteration.
			if many > few+64 {
				return fmt.Errorf("%d allocations at %s, %d at %s", few, h.Cheap, many, h.Costly)
			}
			return nil
		},
	},
	{
		Name: "MemoryCeiling", Group: "E",
		Rule:   "A derivation takes no more memory than it declares, and a tenth and 256 KiB.",
		Advice: "count every make against Memory",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			s, ok := k.(interface{ Memory(core.Params) uint64 })
			if !h.InProcess || !ok || h.Costly.Name == "" {
				return Skip("only for a value of this process that declares its memory")
			}
			var a, b runtime.MemStats
			runtime.ReadMemStats(&a)
			if _, err := derive(ctx, k, h.Costly, "123456", string(salt)); err != nil {
				return err
			}
			runtime.ReadMemStats(&b)
			need := s.Memory(h.Costly)
			if got := b.TotalAlloc - a.TotalAlloc; got > need+need/10+256<<10 {
				return fmt.Errorf("%d bytes at %s, declared %d", got, h.Costly, need)
			}
			return nil
		},
	},
	{
		Name: "HonestCost", Group: "E",
		Rule:   "Costlier parameters take longer.",
		Advice: "a cost that is not spent protects nothing",
		Run: func(ctx context.Context, h Harness) error {
			if h.Costly.Name == "" {
				return Skip("has no cost")
			}
			k, err := h.New()
			if err != nil {
				return err
			}
			took := func(p core.Params) (time.Duration, error) {
				start := time.Now()
				_, err := derive(ctx, k, p, "123456", string(salt))
				return time.Since(start), err
			}
			cheap, err := took(h.Cheap)
			if err != nil {
				return err
			}
			costly, err := took(h.Costly)
			if err != nil {
				return err
			}
			if costly < 4*cheap {
				return fmt.Errorf("%s takes %v, %s only %v", h.Cheap, cheap, h.Costly, costly)
			}
			return nil
		},
	},
}
