package oprf

import (
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"os"
	"strings"
	"testing"

	circlgroup "github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
)

// p256 is the framing of this package over P-256 with SHA-256, whose answers
// RFC 9497 and circl give.
var p256 = func() *group {
	c := elliptic.P256()
	be := func(v *big.Int) [32]byte { return [32]byte(v.FillBytes(make([]byte, 32))) }
	g := newGroup("P256-SHA256", be(c.Params().P), be(c.Params().N), be(c.Params().B), 10)
	g.hash = func(parts ...[]byte) (out [32]byte) {
		h := sha256.New()
		for _, p := range parts {
			h.Write(p)
		}
		h.Sum(out[:0])
		return out
	}
	from := func(x, y *big.Int) (q point, ok bool) {
		x.FillBytes(q[:32])
		y.FillBytes(q[32:])
		return q, q != point{}
	}
	to := func(q *point) (x, y *big.Int) {
		return new(big.Int).SetBytes(q[:32]), new(big.Int).SetBytes(q[32:])
	}
	g.mults = func(ps []product) {
		for i := range ps {
			p := &ps[i]
			if p.q == nil {
				p.out, p.ok = from(c.ScalarBaseMult(p.k[:]))
				continue
			}
			x, y := to(p.q)
			p.out, p.ok = from(c.ScalarMult(x, y, p.k[:]))
		}
	}
	g.baseMult = func(k *[32]byte) (point, bool) { return from(c.ScalarBaseMult(k[:])) }
	g.add = func(a, b *point) (point, bool) {
		ax, ay := to(a)
		bx, by := to(b)
		return from(c.Add(ax, ay, bx, by))
	}
	g.check = func(b []byte) (point, bool) {
		x, y := elliptic.UnmarshalCompressed(c, b)
		if x == nil {
			return point{}, false
		}
		return from(x, y)
	}
	return g
}()

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// vectorFile is the layout of the RFC's own vectors, used for ours too.
type vectorFile struct {
	Suite   string       `json:"identifier"`
	Hash    string       `json:"hash"`
	Mode    int          `json:"mode"`
	Seed    string       `json:"seed"`
	KeyInfo string       `json:"keyInfo"`
	Secret  string       `json:"skSm"`
	Public  string       `json:"pkSm"`
	Vectors []vectorCase `json:"vectors"`
}

type vectorCase struct {
	Batch      int
	Input      string
	Blind      string
	Blinded    string `json:"BlindedElement"`
	Evaluation string `json:"EvaluationElement"`
	Proof      struct {
		Proof string `json:"proof"`
		R     string `json:"r"`
	}
	Output string
}

func readVectors(t *testing.T, name string) (v vectorFile) {
	t.Helper()
	b, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Vectors) == 0 {
		t.Fatal("no vectors")
	}
	return v
}

func checkVectors(t *testing.T, g *group, f vectorFile) {
	var k [32]byte
	seed := [32]byte(unhex(t, f.Seed))
	if f.Suite != g.suite || f.Mode != mode || !g.deriveKey(&k, &seed, unhex(t, f.KeyInfo)) {
		t.Fatalf("suite %s, mode %d", f.Suite, f.Mode)
	}
	pub, _ := g.baseMult(&k)
	pubc := pub.compress()
	if hex.EncodeToString(k[:]) != f.Secret || hex.EncodeToString(pubc[:]) != f.Public {
		t.Fatalf("key pair %x %x", k, pubc)
	}
	for _, v := range f.Vectors {
		var c, d []point
		inputs, blinds := strings.Split(v.Input, ","), strings.Split(v.Blind, ",")
		blinded, evaluated, outputs := strings.Split(v.Blinded, ","), strings.Split(v.Evaluation, ","), strings.Split(v.Output, ",")
		if len(inputs) != v.Batch {
			t.Fatalf("%d inputs in a batch of %d", len(inputs), v.Batch)
		}
		for i := range inputs {
			in, r := unhex(t, inputs[i]), [32]byte(unhex(t, blinds[i]))
			var q, n, full point
			if !g.blind(&q, &r, in) {
				t.Fatal("blind")
			}
			if b := q.compress(); hex.EncodeToString(b[:]) != blinded[i] {
				t.Errorf("blinded %x, want %s", b, blinded[i])
			}
			e, _ := g.mult(&k, &q)
			if b := e.compress(); hex.EncodeToString(b[:]) != evaluated[i] {
				t.Errorf("evaluated %x, want %s", b, evaluated[i])
			}
			if !g.unblind(&n, &r, &e) || !g.blind(&full, &k, in) {
				t.Fatal("unblind")
			}
			for _, p := range []point{n, full} {
				if out := g.finish(in, &p); hex.EncodeToString(out[:]) != outputs[i] {
					t.Errorf("output %x, want %s", out, outputs[i])
				}
			}
			c, d = append(c, q), append(d, e)
		}
		var proof [64]byte
		r := [32]byte(unhex(t, v.Proof.R))
		if !g.prove(&proof, &k, &r, &pubc, c, d) || hex.EncodeToString(proof[:]) != v.Proof.Proof {
			t.Errorf("proof %x, want %s", proof, v.Proof.Proof)
		}
		if !g.verify(pub, c, d, &proof) {
			t.Error("the proof does not verify")
		}
		for i := range proof {
			bad := proof
			bad[i] ^= 4
			if g.verify(pub, c, d, &bad) {
				t.Errorf("proof with byte %d changed verifies", i)
			}
		}
		if g.verify(g.generator(), c, d, &proof) || g.verify(pub, d, c, &proof) {
			t.Error("the proof verifies for another statement")
		}
	}
}

// The framing gives the RFC's answers where the RFC has some.
func TestRFC9497(t *testing.T) { checkVectors(t, p256, readVectors(t, "rfc9497-p256-voprf.json")) }

func TestSM2Vectors(t *testing.T) { checkVectors(t, sm2, readVectors(t, "sm2-sm3-voprf.json")) }

// Finalize equals circl's on 1,000 random inputs, blinds and keys.
func TestAgainstCircl(t *testing.T) {
	suite := oprf.SuiteP256
	for i := range 1000 {
		key, err := oprf.GenerateKey(suite, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		kb, _ := key.MarshalBinary()
		in := make([]byte, i%70)
		var r [32]byte
		_, _ = rand.Read(in)
		_, _ = rand.Read(r[1:])
		blind := circlgroup.P256.NewScalar()
		if err := blind.UnmarshalBinary(r[:]); err != nil {
			t.Fatal(err)
		}
		client := oprf.NewVerifiableClient(suite, key.Public())
		fin, req, err := client.DeterministicBlind([][]byte{in}, []oprf.Blind{blind})
		if err != nil {
			t.Fatal(err)
		}
		eval, err := oprf.NewVerifiableServer(suite, key).Evaluate(req)
		if err != nil {
			t.Fatal(err)
		}
		outs, err := client.Finalize(fin, eval)
		if err != nil {
			t.Fatal(err)
		}
		var q, n point
		if !p256.blind(&q, &r, in) {
			t.Fatal("blind")
		}
		want, _ := req.Elements[0].MarshalBinaryCompress()
		if b := q.compress(); string(b[:]) != string(want) {
			t.Fatalf("%d: blinded %x, circl %x", i, b, want)
		}
		e, _ := p256.mult((*[32]byte)(kb), &q)
		if !p256.unblind(&n, &r, &e) {
			t.Fatal("unblind")
		}
		if out := p256.finish(in, &n); string(out[:]) != string(outs[0]) {
			t.Fatalf("%d: output %x, circl %x", i, out, outs[0])
		}
	}
}
