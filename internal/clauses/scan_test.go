package clauses

import (
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

const sample = `// Package a is a sample.
// req: K-8.1-01
package a

// Sign signs.
// req: K-7.2-06, X-13
func (m *Module[T]) Sign() {
	// req: K-7.2-07
	wipe()
}

const (
	// A is first.
	A = 1
	// B is second.
	// req: G-7.4-05
	B = 2
)
`

const sampleTest = `package a

import "testing"

// req: K-7.2-06
func TestSign(t *testing.T) {}

// req: TK-12
func FuzzSign(f *testing.F) {}
`

func tree(code, test string) fstest.MapFS {
	return fstest.MapFS{
		"p/a/a.go":            {Data: []byte(code)},
		"p/a/a_test.go":       {Data: []byte(test)},
		"p/testdata/b.go":     {Data: []byte("// req: nothing\npackage b\n")},
		".cache/c.go":         {Data: []byte("// req: nothing\npackage c\n")},
		"docs/not-code.go.md": {Data: []byte("// req: nothing\n")},
	}
}

func TestScan(t *testing.T) {
	got, err := Scan(tree(sample, sampleTest))
	if err != nil {
		t.Fatal(err)
	}
	want := []Mark{
		{"K-8.1-01", "p/a", "package", false},
		{"K-7.2-06", "p/a", "Module.Sign", false},
		{"X-13", "p/a", "Module.Sign", false},
		{"K-7.2-07", "p/a", "Module.Sign", false},
		{"G-7.4-05", "p/a", "B", false},
		{"K-7.2-06", "p/a", "TestSign", true},
		{"TK-12", "p/a", "FuzzSign", true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// What is wrong is named with its place, never dropped.
// req: TK-11
func TestScanRefuses(t *testing.T) {
	for name, c := range map[string]struct{ code, test, want string }{
		"range":             {code: "package a\n\n// req: S-08..S-11\nfunc F() {}\n", want: `p/a/a.go:3: "S-08..S-11" is no id`},
		"no space":          {code: "package a\n\n//req: S-08\nfunc F() {}\n", want: "p/a/a.go:3: write the annotation"},
		"comma only":        {code: "package a\n\n// req: S-08,S-09\nfunc F() {}\n", want: "is no id"},
		"trailing text":     {code: "package a\n\n// req: S-08 (half)\nfunc F() {}\n", want: "is no id"},
		"block comment":     {code: "package a\n\n/* req: S-08 */\nfunc F() {}\n", want: "write the annotation"},
		"nothing":           {code: "package a\n\n// req: \nfunc F() {}\n", want: "p/a/a.go:3"},
		"twice":             {code: "package a\n\n// req: S-08, S-08\nfunc F() {}\n", want: "named twice on F"},
		"between":           {code: "package a\n\n// req: S-08\n\nfunc F() {}\n", want: "belongs to no declaration"},
		"not Go":            {code: "package a\nfunc {", want: "p/a/a.go:2"},
		"helper":            {test: "package a\n\n// req: S-08\nfunc help(t *testing.T) {}\n", want: "help is no test"},
		"lower case":        {test: "package a\n\n// req: S-08\nfunc Testing(t *testing.T) {}\n", want: "Testing is no test"},
		"no argument":       {test: "package a\n\n// req: S-08\nfunc TestF() {}\n", want: "TestF is no test"},
		"result":            {test: "package a\n\n// req: S-08\nfunc TestF(t *testing.T) int { return 1 }\n", want: "TestF is no test"},
		"wrong argument":    {test: "package a\n\n// req: S-08\nfunc TestF(t *testing.B) {}\n", want: "TestF is no test"},
		"benchmark":         {test: "package a\n\n// req: S-08\nfunc BenchmarkF(b *testing.B) {}\n", want: "BenchmarkF is no test"},
		"never built":       {test: "//go:build ignore\n\npackage a\n\n// req: S-08\nfunc TestF(t *testing.T) {}\n", want: "does not build TestF"},
		"another system":    {test: "//go:build windows\n\npackage a\n\n// req: S-08\nfunc TestF(t *testing.T) {}\n", want: "does not build TestF"},
		"with a tag of its": {test: "//go:build linux && extra\n\npackage a\n\n// req: S-08\nfunc TestF(t *testing.T) {}\n", want: "does not build TestF"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.code == "" {
				c.code = "package a\n"
			}
			if c.test == "" {
				c.test = "package a\n"
			}
			_, err := Scan(tree(c.code, c.test))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}
