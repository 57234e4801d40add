// Package check holds the rules every KDF of keposs applies to its parameters
// before it allocates anything: the right name, every needed key, no unknown
// key, no key out of order or doubled, every value inside its absolute bounds.
// Nothing is ever clamped; every refusal names the parameter.
package check

import (
	"context"
	"errors"
	"slices"

	"github.com/keposs/keposs/core"
)

// maxValues bounds how many parameters are looked at.
const maxValues = 8

// Params applies info's absolute bounds to p. need lists the keys that must be
// there; other keys of info may be left out.
func Params(p core.Params, info core.KDFInfo, need ...string) error {
	op := "kdf " + info.Name
	if p.Name != info.Name {
		if len(p.Name) > 32 {
			return core.Errorf(core.Invalid, op, "parameters of another kdf, its name has %d bytes", len(p.Name))
		}
		return core.Errorf(core.Invalid, op, "parameters of another kdf, %q", p.Name)
	}
	if len(p.Values) > maxValues {
		return core.Errorf(core.TooLarge, op, "%d parameters, at most %d", len(p.Values), maxValues)
	}
	for i, v := range p.Values {
		if len(v.Key) > 8 {
			return core.Errorf(core.Invalid, op, "a parameter name has %d bytes, at most 8", len(v.Key))
		}
		if i > 0 && p.Values[i-1].Key >= v.Key {
			return core.Errorf(core.Invalid, op, "%s: parameters must be sorted and unique", v.Key)
		}
		k := slices.IndexFunc(info.Params, func(q core.ParamInfo) bool { return q.Key == v.Key })
		if k < 0 {
			return core.Errorf(core.Invalid, op, "unknown parameter %q", v.Key)
		}
		if q := info.Params[k]; v.N < q.Min {
			return core.Errorf(core.Invalid, op, "%s=%d is below %d", v.Key, v.N, q.Min)
		} else if v.N > q.Max {
			return core.Errorf(core.TooLarge, op, "%s=%d is above %d", v.Key, v.N, q.Max)
		}
	}
	for _, key := range need {
		if _, ok := p.Get(key); !ok {
			return core.Errorf(core.Invalid, op, "parameter %s is missing", key)
		}
	}
	return nil
}

// Memory refuses a derivation that needs more than l allows; def is the KDF's
// own ceiling.
func Memory(p core.Params, l core.Limits, need, def uint64) error {
	limit := l.MaxMemory
	if limit == 0 {
		limit = def
	}
	if need > limit {
		return core.Errorf(core.TooLarge, "kdf "+p.Name, "%s needs %d bytes of memory, at most %d are allowed", p, need, limit)
	}
	return nil
}

// Lengths bounds salt and out.
func Lengths(op string, salt []byte, minSalt, maxSalt int, out []byte, maxOut int) error {
	switch {
	case len(salt) < minSalt:
		return core.Errorf(core.Invalid, op, "salt of %d bytes, at least %d", len(salt), minSalt)
	case len(salt) > maxSalt:
		return core.Errorf(core.TooLarge, op, "salt of %d bytes, at most %d", len(salt), maxSalt)
	case len(out) > maxOut:
		return core.Errorf(core.TooLarge, op, "output of %d bytes, at most %d", len(out), maxOut)
	}
	return nil
}

// Bounds joins l with a KDF's own bounds for key: def is the floor where l has
// none.
func Bounds(l core.Limits, key string, def, least, most uint64) (lo, hi uint64) {
	lo, hi = def, most
	if f, ok := l.Floor[key]; ok {
		lo = max(f, least)
	}
	if c, ok := l.Ceiling[key]; ok {
		hi = min(c, most)
	}
	return lo, hi
}

// Ended turns the end of ctx into a typed error.
func Ended(ctx context.Context, op string) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return core.Errorf(core.Timeout, op, "%w", ctx.Err())
	}
	return core.Errorf(core.Canceled, op, "%w", ctx.Err())
}

// Clone copies info, so that a caller cannot change a KDF's description.
func Clone(info core.KDFInfo) core.KDFInfo {
	info.Params = slices.Clone(info.Params)
	info.Default.Values = slices.Clone(info.Default.Values)
	return info
}

// Costless refuses limits that put a floor under a KDF that has no cost.
func Costless(name string, l core.Limits) error {
	for key := range l.Floor {
		return core.Errorf(core.Invalid, "kdf "+name, "the limits want a floor on %.8s and this kdf has no cost: choose a slow one", key)
	}
	return nil
}
