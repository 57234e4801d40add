//go:build ignore

// Gen writes the unrolled SM3 compression functions of this package: the plain
// ones over uint32 and the multi-lane ones over Go's experimental simd vectors.
// One description of the 64 rounds makes all of them.
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"math/bits"
	"os"
	"slices"
	"strings"
)

// A dialect writes the few operations SM3 is made of for one type of word.
type dialect struct {
	typ string // type of one word
	add func(a, b string) string
	xor func(a, b string) string
	and func(a, b string) string
	or  func(a, b string) string
	rot func(x string, n int) string
	con func(j int) string    // round constant T_j <<< j
	lit func(v uint32) string // any other constant
	mem bool                  // keep the message schedule in an array w, not in locals
}

func method(name string) func(a, b string) string {
	return func(a, b string) string { return fmt.Sprintf("%s.%s(%s)", a, name, b) }
}

func infix(op string) func(a, b string) string {
	return func(a, b string) string { return "(" + a + op + b + ")" }
}

var plain = dialect{
	typ: "uint32", mem: os.Getenv("MEM") != "0", add: infix("+"), xor: infix("^"), and: infix("&"), or: infix("|"),
	rot: func(x string, n int) string { return fmt.Sprintf("bits.RotateLeft32(%s, %d)", x, n) },
	con: func(j int) string { return fmt.Sprintf("%#x", roundConstant(j)) },
	lit: func(v uint32) string { return fmt.Sprintf("%#x", v) },
}

// vector writes lanes. Constants come from a table of full vectors and not from
// a broadcast: the compiler keeps a broadcast's scalar on the stack with an SSE
// move, and SSE beside dirty AVX registers stalls some processors for a hundred
// cycles each time (measured: 40 times slower over the whole compression).
func vector(typ, table string, rot func(string, int) string) (d dialect, constants *[]uint32) {
	constants = new([]uint32)
	vec := func(v uint32) string {
		at := slices.Index(*constants, v)
		if at < 0 {
			at = len(*constants)
			*constants = append(*constants, v)
		}
		return fmt.Sprintf("archsimd.Load%s(&%s[%d])", typ, table, at)
	}
	return dialect{
		typ: "archsimd." + typ, add: method("Add"), xor: method("Xor"), and: method("And"), or: method("Or"), rot: rot,
		con: func(j int) string { return vec(roundConstant(j)) },
		lit: vec,
	}, constants
}

func roundConstant(j int) uint32 {
	t := uint32(0x79cc4519)
	if j >= 16 {
		t = 0x7a879d8a
	}
	return bits.RotateLeft32(t, j%32)
}

// A word of the message schedule: an expression, or a known constant.
type word struct {
	expr  string
	known bool
	v     uint32
}

func (d dialect) p1(x string) string { return d.xor(d.xor(x, d.rot(x, 15)), d.rot(x, 23)) }

// xorWords joins words, folding the known ones.
func (d dialect) xorWords(ws ...word) word {
	var c uint32
	expr := ""
	for _, w := range ws {
		switch {
		case w.known:
			c ^= w.v
		case expr == "":
			expr = w.expr
		default:
			expr = d.xor(expr, w.expr)
		}
	}
	if expr == "" {
		return word{known: true, v: c}
	}
	if c != 0 {
		expr = d.xor(expr, d.lit(c))
	}
	return word{expr: expr}
}

func (d dialect) rotWord(w word, n int) word {
	if w.known {
		return word{known: true, v: bits.RotateLeft32(w.v, n)}
	}
	return word{expr: d.rot(w.expr, n)}
}

func p1(x uint32) uint32 { return x ^ bits.RotateLeft32(x, 15) ^ bits.RotateLeft32(x, 23) }

// body writes the 64 rounds. load gives the expression of state word i, msg
// the message words (constants where the padding is known), store the
// statement that keeps final word i.
func (d dialect) body(b *bytes.Buffer, load func(i int) string, msg func(i int) word, store func(i int, v string) string) {
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for i, n := range names {
		fmt.Fprintf(b, "%s := %s\n", n, load(i))
	}
	var ws [68]word
	declared := map[string]bool{}
	keep := func(i int, m word) {
		if !m.known {
			name, op := fmt.Sprintf("w%d", i%16), "="
			if d.mem {
				name = fmt.Sprintf("w[%d]", i)
			} else if !declared[name] {
				op, declared[name] = ":=", true
			}
			if name != m.expr {
				fmt.Fprintf(b, "%s %s %s\n", name, op, m.expr)
				m.expr = name
			}
		}
		ws[i] = m
	}
	for i := 0; i < 16; i++ {
		keep(i, msg(i))
	}
	// The first 16 rounds use GG = FF = xor, the rest choose and majority.
	for j := 0; j < 64; j++ {
		if k := j + 4; k >= 16 { // round j needs W[j] and W[j+4]
			x := d.xorWords(ws[k-16], ws[k-9], d.rotWord(ws[k-3], 15))
			var y word
			if x.known {
				y = word{known: true, v: p1(x.v)}
			} else {
				fmt.Fprintf(b, "x%d := %s\n", k, x.expr)
				y = word{expr: d.p1(fmt.Sprintf("x%d", k))}
			}
			keep(k, d.xorWords(y, d.rotWord(ws[k-13], 7), ws[k-6]))
		}
		// names[0..7] are a..h of this round.
		A, B, C, D, E, F, G, H := names[0], names[1], names[2], names[3], names[4], names[5], names[6], names[7]
		fmt.Fprintf(b, "r%d := %s\n", j, d.rot(A, 12))
		r, t := fmt.Sprintf("r%d", j), fmt.Sprintf("s%d", j)
		fmt.Fprintf(b, "%s := %s\n", t, d.rot(d.add(d.add(r, E), d.con(j)), 7))
		ff, gg := d.xor(d.xor(A, B), C), d.xor(d.xor(E, F), G)
		if j >= 16 {
			ff = d.xor(d.and(d.xor(A, B), d.xor(B, C)), B) // majority
			gg = d.xor(d.and(d.xor(F, G), E), G)
		}
		wj := ws[j]
		wx := d.xorWords(ws[j], ws[j+4])
		sum := func(s string, x word) string {
			switch {
			case !x.known:
				return d.add(s, x.expr)
			case x.v != 0:
				return d.add(s, d.lit(x.v))
			}
			return s
		}
		// H first: the next round waits for it longest.
		fmt.Fprintf(b, "%s = %s\n", H, d.add(d.add(sum(H, wj), gg), t))
		fmt.Fprintf(b, "%s = %s\n", D, d.add(d.add(sum(D, wx), ff), d.xor(t, r)))
		fmt.Fprintf(b, "%s = %s\n", B, d.rot(B, 9))
		fmt.Fprintf(b, "%s = %s\n", F, d.rot(F, 19))
		fmt.Fprintf(b, "%s = %s\n", H, d.xor(d.xor(H, d.rot(H, 9)), d.rot(H, 17)))
		names = []string{D, A, B, C, H, E, F, G}
	}
	for i, n := range names {
		fmt.Fprintln(b, store(i, n))
	}
}

// tail gives the message words of a 32-byte message that follows one block:
// eight words, the padding bit and the length, 96 bytes.
func tail(load func(i int) string) func(i int) word {
	return func(i int) word {
		switch {
		case i < 8:
			return word{expr: load(i)}
		case i == 8:
			return word{known: true, v: 0x80000000}
		case i == 15:
			return word{known: true, v: 96 * 8}
		}
		return word{known: true}
	}
}

func write(name, text string) {
	out, err := format.Source([]byte(text))
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
	if err := os.WriteFile(name, out, 0o644); err != nil {
		log.Fatal(err)
	}
}

const head = "// Code generated by gen.go; DO NOT EDIT.\n\n"

func index(v string) func(i int) string {
	return func(i int) string { return fmt.Sprintf("%s[%d]", v, i) }
}

func main() {
	log.SetFlags(0)
	var b bytes.Buffer
	b.WriteString(head + "package sm3\n\nimport \"math/bits\"\n\n")
	b.WriteString("// Block absorbs one message block into the state st.\nfunc Block(st *[8]uint32, m *[16]uint32) {\nvar w [68]uint32\n")
	plain.body(&b, index("st"), func(i int) word { return word{expr: fmt.Sprintf("m[%d]", i)} },
		func(i int, v string) string { return fmt.Sprintf("st[%d] ^= %s", i, v) })
	b.WriteString("}\n\n// tail32 hashes the 32-byte message m after one block that left state iv.\n// dst may be m.\nfunc tail32(dst, iv, m *[8]uint32) {\nvar w [68]uint32\n")
	plain.body(&b, index("iv"), tail(index("m")),
		func(i int, v string) string { return fmt.Sprintf("dst[%d] = iv[%d] ^ %s", i, i, v) })
	b.WriteString("}\n")
	write("block.go", b.String())
	if err := os.WriteFile("iterate_amd64.s", []byte(iterateAsm()), 0o644); err != nil {
		log.Fatal(err)
	}

	rot8 := func(x string, n int) string { return fmt.Sprintf("rot8(%s, %d)", x, n) } // in lanes_simd.go
	rotAll := func(x string, n int) string { return fmt.Sprintf("%s.RotateAllLeft(%d)", x, n) }
	for _, v := range []struct {
		n   int
		typ string
		rot func(string, int) string
	}{{8, "Uint32x8", rot8}, {16, "Uint32x16", rotAll}} {
		table := fmt.Sprintf("constants%d", v.n)
		d, constants := vector(v.typ, table, v.rot)
		b.Reset()
		b.WriteString(head + "//go:build goexperiment.simd && amd64\n\npackage sm3\n\nimport \"simd/archsimd\"\n\n")
		fmt.Fprintf(&b, "// block%d is Block in %d lanes.\nfunc block%d(st *[8]%s, m *[16]%s) {\n", v.n, v.n, v.n, d.typ, d.typ)
		d.body(&b, index("st"), func(i int) word { return word{expr: fmt.Sprintf("m[%d]", i)} },
			func(i int, x string) string { return fmt.Sprintf("st[%d] = st[%d].Xor(%s)", i, i, x) })
		fmt.Fprintf(&b, "}\n\n// tail32x%d is tail32 in %d lanes.\nfunc tail32x%d(dst, iv, m *[8]%s) {\n", v.n, v.n, v.n, d.typ)
		d.body(&b, index("iv"), tail(index("m")),
			func(i int, x string) string { return fmt.Sprintf("dst[%d] = iv[%d].Xor(%s)", i, i, x) })
		fmt.Fprintf(&b, "}\n\n// %s are the constants of both, one vector each.\nvar %s = [...][%d]uint32{\n", table, table, v.n)
		for _, c := range *constants {
			fmt.Fprintf(&b, "{%s},\n", strings.TrimSuffix(strings.Repeat(fmt.Sprintf("%#x, ", c), v.n), ", "))
		}
		b.WriteString("}\n")
		write(fmt.Sprintf("block%d_simd.go", v.n), b.String())
	}
}
