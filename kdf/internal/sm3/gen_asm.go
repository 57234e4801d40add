//go:build ignore

package main

import (
	"bytes"
	"fmt"
	"math/bits"
)

// amd64 writes [Key.Iterate] for processors with BMI2, whose RORX rotates into another
// register: the compiler has no use for it and copies before each rotation,
// which makes the plain form wait for the front end and not for SM3's chain.
//
// State a…h stands in eight registers that change names each round, the message
// schedule in the frame.
//
// With AVX-512VL the schedule is computed three words at a time beside the
// rounds: seven vector operations for thirty, which is what the arithmetic
// ports wait for otherwise.
type amd64 struct {
	b   *bytes.Buffer
	ws  [68]word
	vec bool
	was [3]string // vector registers of words k−3, k−6 and k−9
}

func (g *amd64) op(format string, args ...any) { fmt.Fprintf(g.b, "\t"+format+"\n", args...) }

// rotl is dst = src <<< n; src may be memory.
func (g *amd64) rotl(n int, src, dst string) { g.op("RORXL $%d, %s, %s", 32-n, src, dst) }

// slot is the place of W[i], slotX of W[i]^W[i+4].
func slot(i int) string  { return fmt.Sprintf("w%d-%d(SP)", i, frame-4*i) }
func slotX(i int) string { return fmt.Sprintf("x%d-%d(SP)", i, frame-4*(72+i%16)) }

// frame is the bytes of the schedule; vectors write up to three words too many.
const frame = 4 * (72 + 16)

func imm(v uint32) string { return fmt.Sprintf("$%d", int32(v)) }

// terms splits words into the unknown ones' numbers and the xor of the known.
func (g *amd64) terms(is ...int) (unknown []int, c uint32) {
	for _, i := range is {
		if g.ws[i].known {
			c ^= g.ws[i].v
		} else {
			unknown = append(unknown, i)
		}
	}
	return unknown, c
}

// expand computes word k into R12 and its slot; false when it is a constant.
func (g *amd64) expand(k int) bool {
	in, c := g.terms(k-16, k-9)
	if r := g.ws[k-3]; r.known {
		c ^= bits.RotateLeft32(r.v, 15)
	}
	begun := false
	take := func(src string) {
		if begun {
			g.op("XORL %s, R12", src)
		} else {
			g.op("MOVL %s, R12", src)
		}
		begun = true
	}
	for _, i := range in {
		take(slot(i))
	}
	if !g.ws[k-3].known {
		if begun {
			g.rotl(15, slot(k-3), "R10")
			take("R10")
		} else {
			g.rotl(15, slot(k-3), "R12")
			begun = true
		}
	}
	if begun {
		if c != 0 {
			g.op("XORL %s, R12", imm(c))
		}
		g.rotl(15, "R12", "R10")
		g.rotl(23, "R12", "R11")
		g.op("XORL R10, R12")
		g.op("XORL R11, R12")
		c = 0
	} else {
		c = p1(c)
	}
	if r := g.ws[k-13]; r.known {
		c ^= bits.RotateLeft32(r.v, 7)
	} else if begun {
		g.rotl(7, slot(k-13), "R10")
		take("R10")
	} else {
		g.rotl(7, slot(k-13), "R12")
		begun = true
	}
	if r := g.ws[k-6]; r.known {
		c ^= r.v
	} else {
		take(slot(k - 6))
	}
	if !begun {
		g.ws[k] = word{known: true, v: c}
		return false
	}
	if c != 0 {
		g.op("XORL %s, R12", imm(c))
	}
	g.op("MOVL R12, %s", slot(k))
	g.ws[k] = word{expr: slot(k)}
	return true
}

// three computes words k, k+1 and k+2; the fourth lane is waste that the next
// three overwrite.
func (g *amd64) three(k int) {
	p3, p6, p9 := g.was[0], g.was[1], g.was[2]
	g.op("VPROLD $15, %s, X5", p3)
	g.op("VPTERNLOGD $0x96, %s, %s, X5", slot(k-16), p9)
	g.op("VPROLD $15, X5, X6")
	g.op("VPROLD $23, X5, X7")
	g.op("VPTERNLOGD $0x96, X6, X7, X5")
	g.op("VPROLD $7, %s, X6", slot(k-13))
	g.op("VPTERNLOGD $0x96, X6, %s, X5", p6)
	g.op("VMOVDQU X5, %s", slot(k))
	g.op("VMOVDQA X5, %s", p9)
	g.was = [3]string{p9, p3, p6}
	for i := k; i < min(k+3, 68); i++ {
		g.ws[i] = word{expr: slot(i)}
	}
}

// round writes round j. s are the registers of a…h and a free one; the result
// are those of the next round.
func (g *amd64) round(j int, s [9]string) [9]string {
	A, B, C, D, E, F, G, H, T := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8]
	fresh := g.schedule(j) // then W[j+4] is in R12 too
	g.message(j, fresh, D, H)
	g.rotl(12, A, "R10")
	g.op("LEAL %d(R10)(%s*1), R11", int32(roundConstant(j)), E)
	g.rotl(7, "R11", "R11")
	// H += GG + SS1
	g.op("MOVL %s, R13", F)
	g.op("XORL %s, R13", G)
	if j < 16 {
		g.op("XORL %s, R13", E)
	} else {
		g.op("ANDL %s, R13", E)
		g.op("XORL %s, R13", G)
	}
	g.op("ADDL R13, %s", H)
	g.op("ADDL R11, %s", H)
	g.rotl(9, H, "R13")
	g.rotl(17, H, T)
	// D += FF + SS2; the majority's two halves have no bit in common
	g.op("XORL R10, R11")
	if j < 16 {
		g.op("MOVL %s, R12", A)
		g.op("XORL %s, R12", B)
		g.op("XORL %s, R12", C)
	} else {
		g.op("MOVL %s, R12", B)
		g.op("XORL %s, R12", C)
		g.op("ANDNL %s, R12, R10", B)
		g.op("ANDL %s, R12", A)
		g.op("ADDL R10, %s", D)
	}
	g.op("ADDL R12, %s", D)
	g.op("ADDL R11, %s", D)
	g.op("ROLL $9, %s", B)
	g.op("ROLL $19, %s", F)
	g.op("XORL %s, R13", H)
	g.op("XORL R13, %s", T)
	return [9]string{D, A, B, C, T, E, F, G, H}
}

// schedule computes words that later rounds need, and tells whether it left
// W[j+4] in R12.
func (g *amd64) schedule(j int) bool {
	if !g.vec {
		return j+4 >= 16 && g.expand(j+4)
	}
	for k := 16; k < 68; k += 3 {
		if j == max(0, k-ahead) {
			g.three(k)
		}
	}
	if m := j + 2; m >= 12 && m%4 == 0 && m < 64 {
		g.op("VMOVDQU %s, X5", slot(m))
		g.op("VPXOR %s, X5, X5", slot(m+4))
		g.op("VMOVDQU X5, %s", slotX(m))
	}
	return false
}

// message adds W[j] to H and W[j]^W[j+4] to D.
func (g *amd64) message(j int, fresh bool, D, H string) {
	at := func(i int) string {
		if j < 8 && i < 8 {
			return fmt.Sprintf("%d(R15)", 4*i) // one store and load less to wait for
		}
		return slot(i)
	}
	w, w4 := g.ws[j], g.ws[j+4]
	switch {
	case g.vec && j >= 12:
		g.op("ADDL %s, %s", slotX(j), D)
	case w.known && w4.known:
		if c := w.v ^ w4.v; c != 0 {
			g.op("ADDL %s, %s", imm(c), D)
		}
	case w.known:
		if !fresh {
			g.op("MOVL %s, R12", at(j+4))
		}
		if w.v != 0 {
			g.op("XORL %s, R12", imm(w.v))
		}
		g.op("ADDL R12, %s", D)
	case w4.known:
		g.op("MOVL %s, R12", at(j))
		if w4.v != 0 {
			g.op("XORL %s, R12", imm(w4.v))
		}
		g.op("ADDL R12, %s", D)
	default:
		if !fresh {
			g.op("MOVL %s, R12", at(j+4))
		}
		g.op("XORL %s, R12", at(j))
		g.op("ADDL R12, %s", D)
	}
	switch {
	case !w.known:
		g.op("ADDL %s, %s", at(j), H)
	case w.v != 0:
		g.op("ADDL %s, %s", imm(w.v), H)
	}
}

// ahead is how many rounds before its number a word is computed: early enough
// that the stores of three words are done before four are loaded.
const ahead = 14

// iterateAsm is the whole file.
func iterateAsm() string {
	var b bytes.Buffer
	b.WriteString(head + "//go:build amd64 && !purego\n\n#include \"textflag.h\"\n\n")
	b.WriteString("// The padding of a 32-byte message after one block: words 8 to 15.\n")
	for i := range 8 {
		w := tail(slot)(8 + i)
		fmt.Fprintf(&b, "DATA padding<>+%d(SB)/4, $%#x\n", 4*i, w.v)
	}
	b.WriteString("GLOBL padding<>(SB), RODATA|NOPTR, $32\n")
	for _, vec := range []bool{false, true} {
		g := &amd64{b: &b, vec: vec}
		name, needs := "iterateBMI2", "BMI1 and BMI2"
		if vec {
			name, needs = "iterateAVX512", "BMI1, BMI2 and AVX-512VL"
		}
		fmt.Fprintf(&b, "\n// func %s(u, t *[8]uint32, k *Key, n int)\n// Requires %s.\nTEXT ·%s(SB), NOSPLIT, $%d-32\n", name, needs, name, frame)
		// n counts compressions down from twice the rounds and k points to the
		// state they start from, the key's inner and outer one by turns.
		g.op("SHLQ $1, n+24(FP)")
		fmt.Fprintln(&b, "next:")
		g.begin()
		s := [9]string{"AX", "BX", "CX", "DX", "SI", "DI", "R8", "R9", "R14"}
		g.op("MOVQ k+16(FP), R10")
		for i, r := range s[:8] {
			g.op("MOVL %d(R10), %s", 4*i, r)
		}
		for j := range 64 {
			s = g.round(j, s)
		}
		g.op("MOVQ k+16(FP), R10")
		for i, r := range s[:8] {
			g.op("XORL %d(R10), %s", 4*i, r)
			g.op("MOVL %s, %d(R15)", r, 4*i)
		}
		g.op("ADDQ $32, k+16(FP)")
		g.op("DECQ n+24(FP)")
		g.op("MOVQ n+24(FP), R12")
		g.op("TESTQ $1, R12")
		g.op("JNZ next")
		g.op("SUBQ $64, k+16(FP)")
		g.op("MOVQ t+8(FP), R11")
		for i, r := range s[:8] {
			g.op("XORL %s, %d(R11)", r, 4*i)
		}
		g.op("TESTQ R12, R12")
		g.op("JNZ next")
		for i := range 7 {
			if vec {
				g.op("VPXOR X%d, X%d, X%d", 1+i, 1+i, 1+i)
			}
		}
		g.op("RET")
	}
	return b.String()
}

// begin puts the message into the frame.
func (g *amd64) begin() {
	msg := tail(slot)
	for i := range 16 {
		g.ws[i] = msg(i)
	}
	g.op("MOVQ u+0(FP), R15")
	// Word by word: a vector load of words just stored one by one would wait.
	for i := range 8 {
		g.op("MOVL %d(R15), R12", 4*i)
		g.op("MOVL R12, %s", slot(i))
	}
	if !g.vec {
		return
	}
	for i := range 2 {
		g.op("VMOVDQU padding<>+%d(SB), X5", 16*i)
		g.op("VMOVDQU X5, %s", slot(8+4*i))
	}
	// Words 7 to 9, 10 to 12 and 13 to 15: only the first is not padding.
	g.op("VMOVDQU padding<>+8(SB), X2")
	g.op("VMOVDQU padding<>+16(SB), X1")
	g.op("VPSRLDQ $4, X1, X1")
	g.op("VMOVDQU padding<>+0(SB), X3")
	g.op("VPSLLDQ $4, X3, X3")
	g.op("VPINSRD $0, R12, X3, X3")
	g.was = [3]string{"X1", "X2", "X3"}
}
