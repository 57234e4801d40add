package kdftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

var descriptions = []Case{
	{
		Name: "DescribeIsStable", Group: "A",
		Rule:   "Describe returns the same values at every call and nothing a caller can change.",
		Advice: "return a copy of a constant description",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			a, err := k.Describe(ctx)
			if err != nil {
				return err
			}
			before := fmt.Sprintf("%+v", a)
			for i := range a.Params {
				a.Params[i].Max = 0
			}
			for i := range a.Default.Values {
				a.Default.Values[i].N = 0
			}
			b, err := k.Describe(ctx)
			if err != nil {
				return err
			}
			if after := fmt.Sprintf("%+v", b); before != after {
				return fmt.Errorf("first %s, then %s", before, after)
			}
			return nil
		},
	},
	{
		Name: "DescriptionIsSound", Group: "A",
		Rule:   "The name has the form of a name, parameters are sorted with bounds and help, the default is canonical and accepted.",
		Advice: "see core.KDFInfo and core.ParamInfo",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			in, err := k.Describe(ctx)
			if err != nil {
				return err
			}
			for i, p := range in.Params {
				if p.Min > p.Max || p.Help == "" || i > 0 && in.Params[i-1].Key >= p.Key {
					return fmt.Errorf("parameter %d: %+v", i, p)
				}
			}
			back, err := core.ParseParams(in.Default.String())
			if err != nil || !reflect.DeepEqual(back.Values, in.Default.Values) && len(back.Values)+len(in.Default.Values) > 0 {
				return fmt.Errorf("default %s does not parse back: %v", in.Default, err)
			}
			if in.Default.Name != in.Name {
				return fmt.Errorf("default of %q under the name %q", in.Default.Name, in.Name)
			}
			return k.Validate(in.Default, core.Limits{})
		},
	},
}

// both runs Validate and Derive on p: what one refuses the other must refuse.
func both(ctx context.Context, k core.KDF, p core.Params, what string, names []string, codes ...core.Code) error {
	if err := refuses(k.Validate(p, core.Limits{}), "validate: "+what, names, codes...); err != nil {
		return err
	}
	out := bytes.Repeat([]byte{0xa5}, 32)
	start := time.Now()
	err := refuses(k.Derive(ctx, p, []byte("123456"), salt, out), "derive: "+what, names, codes...)
	if err != nil {
		return err
	}
	if d := time.Since(start); d > time.Second {
		return fmt.Errorf("derive: %s took %v to be refused", what, d)
	}
	if !bytes.Equal(out, make([]byte, 32)) {
		return fmt.Errorf("derive: %s: out is not zero after the error", what)
	}
	return nil
}

func with(p core.Params, key string, n uint64) core.Params {
	q := core.Params{Name: p.Name, Values: slices.Clone(p.Values)}
	for i := range q.Values {
		if q.Values[i].Key == key {
			q.Values[i].N = n
		}
	}
	return q
}

var parameters = []Case{
	{
		Name: "HostileValues", Group: "B",
		Rule:   "Values out of the absolute bounds (0, one under, one over, 2^40, 2^63, 2^64−1) are refused by name before anything is allocated.",
		Advice: "check every bound before the first make; never clamp",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			in, err := k.Describe(ctx)
			if err != nil {
				return err
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for _, q := range in.Params {
				if _, ok := h.Cheap.Get(q.Key); !ok {
					continue
				}
				bad := []uint64{1 << 40, 1 << 63, math.MaxUint64, q.Max + 1}
				if q.Min > 0 {
					bad = append(bad, 0, q.Min-1)
				}
				for _, n := range bad {
					if n >= q.Min && n <= q.Max {
						continue
					}
					p := with(h.Cheap, q.Key, n)
					if err := both(ctx, k, p, p.String(), []string{q.Key + "="}, core.Invalid, core.TooLarge); err != nil {
						return err
					}
				}
			}
			runtime.ReadMemStats(&after)
			if n := after.TotalAlloc - before.TotalAlloc; h.InProcess && n > 1<<20 {
				return fmt.Errorf("%d bytes allocated while refusing", n)
			}
			return nil
		},
	},
	{
		Name: "NonCanonical", Group: "B",
		Rule:   "Another KDF's, unknown, missing, doubled, unsorted and overlong parameters are refused by name.",
		Advice: "there is one text for one value: refuse all others",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			c := h.Cheap
			bad := map[string]core.Params{
				"another name": {Name: "other", Values: c.Values},
				"no name":      {Values: c.Values},
				"long name":    {Name: strings.Repeat("x", 1<<16), Values: c.Values},
				"unknown key":  core.NewParams(c.Name, append(slices.Clone(c.Values), core.Param{Key: "zz", N: 1})...),
				"long key":     core.NewParams(c.Name, append(slices.Clone(c.Values), core.Param{Key: strings.Repeat("z", 1<<16), N: 1})...),
			}
			many := core.Params{Name: c.Name}
			for range 1 << 12 {
				many.Values = append(many.Values, core.Param{Key: "i", N: 1})
			}
			bad["thousands of keys"] = many
			if len(c.Values) > 0 {
				bad["doubled key"] = core.NewParams(c.Name, append(slices.Clone(c.Values), c.Values[0])...)
				bad["missing key"] = core.Params{Name: c.Name, Values: c.Values[1:]}
			}
			if len(c.Values) > 1 {
				q := slices.Clone(c.Values)
				slices.Reverse(q)
				bad["unsorted keys"] = core.Params{Name: c.Name, Values: q}
			}
			for what, p := range bad {
				if err := both(ctx, k, p, what, nil, core.Invalid, core.TooLarge); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		Name: "LimitsRefuse", Group: "B",
		Rule:   "Validate refuses what is under a floor or over a ceiling of the limits, by name, and never clamps.",
		Advice: "call Limits.Check",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			if err := k.Validate(h.Cheap, core.Limits{}); err != nil {
				return fmt.Errorf("cheap parameters are refused: %w", err)
			}
			for _, v := range h.Cheap.Values {
				f := core.Limits{Floor: map[string]uint64{v.Key: v.N + 1}}
				if err := refuses(k.Validate(h.Cheap, f), "under the floor", []string{v.Key + "="}, core.Invalid); err != nil {
					return err
				}
				if v.N == 0 {
					continue
				}
				c := core.Limits{Ceiling: map[string]uint64{v.Key: v.N - 1}}
				if err := refuses(k.Validate(h.Cheap, c), "over the ceiling", []string{v.Key + "="}, core.Invalid, core.TooLarge); err != nil {
					return err
				}
			}
			return nil
		},
	},
	{
		Name: "MemoryLimitRefuses", Group: "B",
		Rule:   "Parameters that need more memory than the limits allow are refused.",
		Advice: "compare what the parameters need with Limits.MaxMemory in Validate",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			s, ok := k.(interface{ Memory(core.Params) uint64 })
			if !ok || h.Costly.Name == "" || s.Memory(h.Costly) < 1<<18 {
				return Skip("declares no memory of note")
			}
			need := s.Memory(h.Costly)
			if err := k.Validate(h.Costly, core.Limits{MaxMemory: need}); err != nil {
				return fmt.Errorf("exactly enough memory is refused: %w", err)
			}
			return refuses(k.Validate(h.Costly, core.Limits{MaxMemory: need - 1}), "one byte too little", []string{"memory"}, core.TooLarge)
		},
	},
	{
		Name: "OutputAndSaltBounds", Group: "B",
		Rule:   "A hostile salt or output length is refused with out left zero; common lengths work.",
		Advice: "bound both before work",
		Run: func(ctx context.Context, h Harness) error {
			k, err := h.New()
			if err != nil {
				return err
			}
			for _, n := range []int{1, 16, 31, 32, 33, 48, 64, 100} {
				if err := k.Derive(ctx, h.Cheap, []byte("123456"), salt, make([]byte, n)); err != nil {
					return fmt.Errorf("%d bytes of output: %w", n, err)
				}
			}
			for _, n := range []int{16, 32, 64} {
				if err := k.Derive(ctx, h.Cheap, []byte("123456"), make([]byte, n), make([]byte, 32)); err != nil {
					return fmt.Errorf("%d bytes of salt: %w", n, err)
				}
			}
			out := bytes.Repeat([]byte{1}, 32)
			err = k.Derive(ctx, h.Cheap, []byte("123456"), make([]byte, 1<<24), out)
			if err := refuses(err, "a salt of 16 MiB", []string{"salt"}, core.TooLarge, core.Invalid); err != nil {
				return err
			}
			if !bytes.Equal(out, make([]byte, 32)) {
				return errors.New("out is not zero after an error")
			}
			return nil
		},
	},
}
