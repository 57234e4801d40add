package core

import (
	"context"
	"sort"
	"strconv"
	"strings"
	"time"
)

// A KDF is a slow, salted key derivation (K-15.2-02c). Implementations are
// safe for concurrent use, allocate nothing per iteration, and look at ctx at
// least every 10 ms.
type KDF interface {
	Describe(ctx context.Context) (KDFInfo, error)

	// Validate refuses what Derive would refuse, before anything is allocated:
	// unknown, missing or non-canonical parameters and those out of l. It
	// never clamps.
	Validate(p Params, l Limits) error

	// Calibrate returns parameters whose Derive takes about target on this
	// machine, never below l's floors nor above its ceilings.
	Calibrate(ctx context.Context, target time.Duration, l Limits) (Params, error)

	// Derive fills out. secret and salt are lent and not changed; out belongs
	// to the caller, who wipes it; on error out is all zero. p has been
	// validated by the caller and is checked again against the KDF's own
	// absolute bounds.
	Derive(ctx context.Context, p Params, secret, salt, out []byte) error
}

// KDFInfo is what a KDF declares.
type KDFInfo struct {
	Name     string // [a-z0-9-]{1,32}
	Version  string
	Approved bool // built from approved functions only; a plugin's claim counts only with a signed manifest
	Params   []ParamInfo
	Default  Params // at the floor
}

// ParamInfo documents one parameter and its absolute bounds.
type ParamInfo struct {
	Key      string // [a-z][a-z0-9]{0,7}
	Min, Max uint64 // absolute bounds
	Help     string
}

// Param is one named number.
type Param struct {
	Key string
	N   uint64
}

// Params names a KDF and its cost. The canonical text is
// "name$key=n,key=n" with keys in bytewise order and plain decimals; there is
// exactly one text for one value.
type Params struct {
	Name   string
	Values []Param // sorted by Key, unique
}

// NewParams sorts pairs into a Params. It does not validate; Validate does.
func NewParams(name string, values ...Param) Params {
	v := append([]Param(nil), values...)
	sort.Slice(v, func(i, j int) bool { return v[i].Key < v[j].Key })
	return Params{Name: name, Values: v}
}

// Get returns the value of key.
func (p Params) Get(key string) (n uint64, ok bool) {
	for _, v := range p.Values {
		if v.Key == key {
			return v.N, true
		}
	}
	return 0, false
}

// Equal reports whether both have the same canonical text.
func (p Params) Equal(o Params) bool { return p.String() == o.String() }

// String returns the canonical text.
func (p Params) String() string {
	var b strings.Builder
	b.WriteString(p.Name)
	b.WriteByte('$')
	for i, v := range p.Values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(v.Key)
		b.WriteByte('=')
		b.WriteString(strconv.FormatUint(v.N, 10))
	}
	return b.String()
}

// Bounds on the text of Params, checked before anything is allocated.
const (
	maxParamsText = 160
	maxParams     = 8
)

// ParseParams reads the canonical text and nothing else: unsorted or doubled
// keys, leading zeros, signs, spaces and overlong texts are Invalid.
func ParseParams(s string) (Params, error) {
	const op = "core: parse kdf parameters"
	if len(s) > maxParamsText {
		return Params{}, Errorf(TooLarge, op, "text of %d bytes, at most %d", len(s), maxParamsText)
	}
	name, rest, ok := strings.Cut(s, "$")
	if !ok || !validName(name, 32) {
		return Params{}, Errorf(Invalid, op, "want name$key=n,key=n")
	}
	p := Params{Name: name}
	if rest != "" {
		parts := strings.Split(rest, ",")
		if len(parts) > maxParams {
			return Params{}, Errorf(TooLarge, op, "%d parameters, at most %d", len(parts), maxParams)
		}
		for _, part := range parts {
			k, v, ok := strings.Cut(part, "=")
			if !ok || !validName(k, 8) || k[0] < 'a' {
				return Params{}, Errorf(Invalid, op, "want key=n, got %q", part)
			}
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil || strconv.FormatUint(n, 10) != v {
				return Params{}, Errorf(Invalid, op, "%s: want a plain decimal below 2^64", k)
			}
			p.Values = append(p.Values, Param{k, n})
		}
	}
	for i := 1; i < len(p.Values); i++ {
		if p.Values[i-1].Key >= p.Values[i].Key {
			return Params{}, Errorf(Invalid, op, "keys must be sorted and unique")
		}
	}
	return p, nil
}

func validName(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}
	return true
}

// Limits is local policy: SS-CC is untrusted and may lower or raise a stored
// cost, so what is out of limits is refused, never clamped. A missing key has
// no local bound beyond the KDF's own.
type Limits struct {
	Floor     map[string]uint64
	Ceiling   map[string]uint64
	MaxMemory uint64 // bytes; 0 = the KDF's default ceiling
}

// Check refuses p's values outside the limits, by name.
func (l Limits) Check(p Params) error {
	for _, v := range p.Values {
		if f, ok := l.Floor[v.Key]; ok && v.N < f {
			return Errorf(Invalid, "kdf "+p.Name, "%s=%d is below the floor %d", v.Key, v.N, f)
		}
		if c, ok := l.Ceiling[v.Key]; ok && v.N > c {
			return Errorf(Invalid, "kdf "+p.Name, "%s=%d is above the ceiling %d", v.Key, v.N, c)
		}
	}
	return nil
}
