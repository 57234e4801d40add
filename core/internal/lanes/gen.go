//go:build ignore

// Gen writes the assembly of this package: every field operation in eight
// lanes, over AVX-512 registers 16 to 31, which stand apart from those that
// SSE code of the compiler shares.
package main

import (
	"bytes"
	"fmt"
	"log"
	"os"
)

var out bytes.Buffer

func op(format string, args ...any) { fmt.Fprintf(&out, "\t"+format+"\n", args...) }

// Registers: t(0)…t(9) hold the columns of a product; the rest has names.
const (
	fact = "Z26" // the factor at work, or a sum's scratch
	q    = "Z27" // Montgomery's quotient of a column
	mask = "Z28" // 2^52−1
	c1   = "Z29" // 2^52 − 2^44 + 2^12
	c4   = "Z30" // 2^48 − 2^16
	tmp  = "Z31"
)

func t(i int) string { return fmt.Sprintf("Z%d", 16+i) }

func text(name, args string, size int) {
	fmt.Fprintf(&out, "\n// func %s(%s)\nTEXT ·%s(SB), NOSPLIT, $0-%d\n", name, args, name, size)
}

func constants() {
	op("VMOVDQU64 ·mask52(SB), %s", mask)
	op("VMOVDQU64 ·quot1(SB), %s", c1)
	op("VMOVDQU64 ·quot4(SB), %s", c4)
}

func zero(r string) { op("VPXORQ %s, %s, %s", r, r, r) }

// reduce adds q·p for the q that clears column i. As p + 1 is
// 2^52·(2^12−2^44) + 2^208·(2^48−2^16), two products and a difference do; the
// column's own low bits cancel, the others are carried, sign and all.
func reduce(i int) {
	op("VPANDQ %s, %s, %s", mask, t(i), q)
	op("VPSRAQ $52, %s, %s", t(i), tmp)
	op("VPADDQ %s, %s, %s", tmp, t(i+1), t(i+1))
	op("VPMADD52LUQ %s, %s, %s", c1, q, t(i+1))
	op("VPMADD52HUQ %s, %s, %s", c1, q, t(i+2))
	op("VPSUBQ %s, %s, %s", q, t(i+2), t(i+2))
	op("VPMADD52LUQ %s, %s, %s", c4, q, t(i+4))
	op("VPMADD52HUQ %s, %s, %s", c4, q, t(i+5))
}

// carry makes columns 5 to 9 limbs below 2^52.
func carry() {
	for i := 5; i < 9; i++ {
		op("VPSRAQ $52, %s, %s", t(i), tmp)
		op("VPANDQ %s, %s, %s", mask, t(i), t(i))
		op("VPADDQ %s, %s, %s", tmp, t(i+1), t(i+1))
	}
}

func store(from int, reg string) {
	for i := range 5 {
		op("VMOVDQU64 %s, %d(%s)", t(from+i), 64*i, reg)
	}
}

func mul() {
	text("mulIFMA", "z, x, y *fe", 24)
	op("MOVQ z+0(FP), DI")
	op("MOVQ x+8(FP), SI")
	op("MOVQ y+16(FP), DX")
	constants()
	for i := range 6 {
		zero(t(i))
	}
	for i := range 5 {
		op("VMOVDQU64 %d(SI), %s", 64*i, fact)
		if i > 0 {
			zero(t(i + 5))
		}
		for j := range 5 {
			op("VPMADD52LUQ %d(DX), %s, %s", 64*j, fact, t(i+j))
		}
		for j := range 5 {
			op("VPMADD52HUQ %d(DX), %s, %s", 64*j, fact, t(i+j+1))
		}
		reduce(i)
	}
	carry()
	store(5, "DI")
	op("RET")
}

// sqr is the square n times; x and z may be one.
func sqr() {
	text("sqrIFMA", "z, x *fe, n int", 24)
	op("MOVQ z+0(FP), DI")
	op("MOVQ x+8(FP), SI")
	op("MOVQ n+16(FP), CX")
	constants()
	fmt.Fprintln(&out, "again:")
	for i := range 10 {
		zero(t(i))
	}
	for i := range 4 {
		op("VMOVDQU64 %d(SI), %s", 64*i, fact)
		for j := i + 1; j < 5; j++ {
			op("VPMADD52LUQ %d(SI), %s, %s", 64*j, fact, t(i+j))
		}
		for j := i + 1; j < 5; j++ {
			op("VPMADD52HUQ %d(SI), %s, %s", 64*j, fact, t(i+j+1))
		}
	}
	for i := 1; i < 9; i++ {
		op("VPADDQ %s, %s, %s", t(i), t(i), t(i))
	}
	for i := range 5 {
		op("VMOVDQU64 %d(SI), %s", 64*i, fact)
		op("VPMADD52LUQ %s, %s, %s", fact, fact, t(2*i))
		op("VPMADD52HUQ %s, %s, %s", fact, fact, t(2*i+1))
	}
	for i := range 5 {
		reduce(i)
	}
	carry()
	store(5, "DI")
	op("MOVQ DI, SI")
	op("DECQ CX")
	op("JNZ again")
	op("RET")
}

// times adds 2^s·src to dst, or subtracts it.
func times(what, src, dst string, s int) {
	if s > 0 {
		op("VPSLLQ $%d, %s, %s", s, src, tmp)
		src = tmp
	}
	op("%s %s, %s, %s", what, src, dst, dst)
}

// sum writes z = 2^a·x ± 2^b·y, below 2^256·(1+2^-24). A difference is kept
// positive by 16·p.
func sum(name string, a int, what string, b int) {
	text(name, "z, x, y *fe", 24)
	op("MOVQ z+0(FP), DI")
	op("MOVQ x+8(FP), SI")
	op("MOVQ y+16(FP), DX")
	op("VMOVDQU64 ·mask52(SB), %s", mask)
	for i := range 5 {
		r := t(i)
		op("VMOVDQU64 %d(SI), %s", 64*i, r)
		if a > 0 {
			op("VPSLLQ $%d, %s, %s", a, r, r)
		}
		if what == "VPSUBQ" {
			op("VPADDQ ·times16+%d(SB), %s, %s", 64*i, r, r)
		}
		op("VMOVDQU64 %d(DX), %s", 64*i, fact)
		times(what, fact, r, b)
	}
	fold()
	op("RET")
}

// fold replaces v·2^256 by v·(2^224 + 2^96 − 2^64 + 1), carries and stores.
func fold() {
	op("VPSRLQ $48, %s, %s", t(4), q)
	op("VPANDQ ·mask48(SB), %s, %s", t(4), t(4))
	op("VPADDQ %s, %s, %s", q, t(0), t(0))
	op("VPMADD52LUQ ·fold1(SB), %s, %s", q, t(1))
	op("VPSLLQ $16, %s, %s", q, tmp)
	op("VPADDQ %s, %s, %s", tmp, t(4), t(4))
	for i := range 4 {
		op("VPSRAQ $52, %s, %s", t(i), tmp)
		op("VPANDQ %s, %s, %s", mask, t(i), t(i))
		op("VPADDQ %s, %s, %s", tmp, t(i+1), t(i+1))
	}
	store(0, "DI")
}

// pick reads every entry of the table and keeps, lane by lane, the one of the
// digit: 1 to 16, or zeros for 0.
func pick() {
	text("pickIFMA", "z *triple, table *[16]triple, digit *lane", 24)
	op("MOVQ z+0(FP), DI")
	op("MOVQ table+8(FP), SI")
	op("MOVQ digit+16(FP), DX")
	op("VMOVDQU64 (DX), %s", mask)
	op("VMOVDQU64 ·ones(SB), %s", c1)
	op("VMOVDQU64 %s, %s", c1, c4)
	for i := range 10 {
		zero(t(i))
	}
	zero(fact)
	for _, r := range []string{q, "Z0", "Z1", "Z2", tmp} {
		if r != tmp {
			zero(r)
		}
	}
	op("MOVQ $16, CX")
	regs := []string{}
	for i := range 10 {
		regs = append(regs, t(i))
	}
	regs = append(regs, fact, q, "Z0", "Z1", "Z2")
	fmt.Fprintln(&out, "next:")
	op("VPCMPEQQ %s, %s, K1", mask, c4)
	for i, r := range regs {
		op("VMOVDQU64 %d(SI), K1, %s", 64*i, r)
	}
	op("VPADDQ %s, %s, %s", c1, c4, c4)
	op("ADDQ $960, SI")
	op("DECQ CX")
	op("JNZ next")
	for i, r := range regs {
		op("VMOVDQU64 %s, %d(DI)", r, 64*i)
	}
	op("VZEROUPPER")
	op("RET")
}

// choose is z = x where the lane's bit is 1, else y.
func choose() {
	text("chooseIFMA", "z, x, y *fe, bit *lane", 32)
	op("MOVQ z+0(FP), DI")
	op("MOVQ x+8(FP), SI")
	op("MOVQ y+16(FP), DX")
	op("MOVQ bit+24(FP), CX")
	op("VMOVDQU64 (CX), %s", mask)
	op("VPTESTMQ %s, %s, K1", mask, mask)
	for i := range 5 {
		op("VMOVDQU64 %d(DX), %s", 64*i, t(i))
		op("VMOVDQU64 %d(SI), K1, %s", 64*i, t(i))
	}
	store(0, "DI")
	op("RET")
}

func forget() {
	text("forgetIFMA", "", 0)
	for i := range 16 {
		zero(fmt.Sprintf("Z%d", 16+i))
	}
	op("VZEROALL")
	op("RET")
}

func main() {
	log.SetFlags(0)
	out.WriteString("// Code generated by gen.go; DO NOT EDIT.\n\n//go:build !purego\n\n#include \"textflag.h\"\n")
	mul()
	sqr()
	sum("addIFMA", 0, "VPADDQ", 0)
	sum("add2IFMA", 0, "VPADDQ", 1)
	sum("subIFMA", 0, "VPSUBQ", 0)
	sum("sub2IFMA", 0, "VPSUBQ", 1)
	sum("sub8IFMA", 0, "VPSUBQ", 3)
	sum("four1IFMA", 2, "VPSUBQ", 0)
	pick()
	choose()
	forget()
	if err := os.WriteFile("field_amd64.s", out.Bytes(), 0o644); err != nil {
		log.Fatal(err)
	}
}
