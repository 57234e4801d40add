// Package settings reads a core.Config against the schema a backend declares:
// unknown names and bad values are Invalid before anything is opened.
package settings

import (
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/keposs/keposs/core"
)

// Set is a checked configuration. The first error met is kept; Err tells it.
type Set struct {
	op     string
	values map[string]string
	err    error
}

// Read checks the names of c against schema and fills in defaults. A secret
// given as a plain value is refused: it would travel where values travel.
func Read(op string, schema []core.ConfigField, c core.Config) *Set {
	s := &Set{op: op, values: make(map[string]string, len(schema))}
	known := make(map[string]string, len(schema))
	for _, f := range schema {
		known[f.Name] = f.Type
		s.values[f.Name] = f.Default
	}
	for _, name := range sorted(c.Values) {
		switch known[name] {
		case "":
			s.fail("unknown setting %q; this backend takes %s", name, strings.Join(names(schema), ", "))
		case "secret":
			s.fail("setting %q is a secret and must come as one", name)
		default:
			s.values[name] = c.Values[name]
		}
	}
	for name := range c.Secrets {
		if known[name] != "secret" {
			s.fail("unknown secret setting %q", name)
		}
	}
	return s
}

func names(schema []core.ConfigField) []string {
	out := make([]string, len(schema))
	for i, f := range schema {
		out[i] = f.Name
	}
	return out
}

func sorted(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (s *Set) fail(format string, args ...any) {
	if s.err == nil {
		s.err = core.Errorf(core.Invalid, s.op, format, args...)
	}
}

// Err returns the first complaint.
func (s *Set) Err() error { return s.err }

// String returns a setting as text.
func (s *Set) String(name string) string { return s.values[name] }

// Required returns a setting that must not be empty.
func (s *Set) Required(name string) string {
	v := s.values[name]
	if v == "" {
		s.fail("setting %q is required", name)
	}
	return v
}

// Int returns a setting as a number within lo and hi.
func (s *Set) Int(name string, lo, hi int64) int64 {
	n, err := strconv.ParseInt(s.values[name], 10, 64)
	if err != nil || n < lo || n > hi {
		s.fail("setting %s=%q: want a number from %d to %d", name, s.values[name], lo, hi)
		return lo
	}
	return n
}

// Bool returns a setting that is true or false.
func (s *Set) Bool(name string) bool {
	b, err := strconv.ParseBool(s.values[name])
	if err != nil {
		s.fail("setting %s=%q: want true or false", name, s.values[name])
	}
	return b
}

// Duration returns a setting as a time within lo and hi.
func (s *Set) Duration(name string, lo, hi time.Duration) time.Duration {
	d, err := time.ParseDuration(s.values[name])
	if err != nil || d < lo || d > hi {
		s.fail("setting %s=%q: want a duration from %s to %s", name, s.values[name], lo, hi)
		return lo
	}
	return d
}
