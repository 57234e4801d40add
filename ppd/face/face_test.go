package face_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/ppdtest"
)

var ctx = context.Background()

// person answers face prompts with captures from a generator.
type person struct {
	gen  *ppdtest.Faces
	who  int
	next int
	seen []core.Prompt
}

func (p *person) Ask(_ context.Context, pr core.Prompt) (core.Sample, error) {
	p.seen = append(p.seen, pr)
	p.next++
	return core.NewSample(core.SampleFaceEmbedding, face.EncodeRaw(p.gen.Capture(p.who, p.next))), nil
}

func source(t testing.TB) *face.Source {
	t.Helper()
	s, err := face.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func key(b byte) *secret.Buffer { return secret.Copy(bytes.Repeat([]byte{b}, 32)) }

func enrol(t testing.TB, s *face.Source, p core.Prompter, k *secret.Buffer) core.Enrollment {
	t.Helper()
	e, err := s.Enroll(ctx, core.EnrollRequest{Label: "face", BindKey: k}, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func recovered(t testing.TB, s *face.Source, p core.Prompter, k *secret.Buffer, helper []byte) (*secret.Buffer, time.Duration) {
	t.Helper()
	c, err := s.Capture(ctx, core.CaptureRequest{Label: "face", Format: 1}, p)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	start := time.Now()
	sec, err := c.Recover(ctx, core.RecoverRequest{Helper: helper, BindKey: k})
	if err != nil {
		t.Fatal(err)
	}
	return sec, time.Since(start)
}

// The same face opens, another gives a secret of the same shape; with another
// bind key the same face gives neither the same helper nor the same secret.
func TestEnrolRecover(t *testing.T) {
	s := source(t)
	gen := ppdtest.NewFaces(128, 7)
	same, other := 0, 0
	for who := range 12 {
		p := &person{gen: gen, who: who}
		e := enrol(t, s, p, key(byte(who)))
		if len(e.Helper) != face.HelperSize || e.Secret.Len() != face.SecretSize {
			t.Fatalf("helper %d bytes, secret %d", len(e.Helper), e.Secret.Len())
		}
		got, _ := recovered(t, s, p, key(byte(who)), e.Helper)
		if got.Equal(e.Secret) {
			same++
		}
		wrong, _ := recovered(t, s, &person{gen: gen, who: who + 100}, key(byte(who)), e.Helper)
		if wrong.Len() != face.SecretSize {
			t.Fatalf("a wrong face gives %d bytes", wrong.Len())
		}
		if wrong.Equal(e.Secret) {
			other++
		}
		if rebound, _ := recovered(t, s, p, key(byte(who)+50), e.Helper); rebound.Equal(e.Secret) {
			t.Error("another bind key recovers the same secret")
		}
	}
	if same < 10 || other != 0 {
		t.Errorf("%d of 12 genuine and %d of 12 impostors opened", same, other)
	}
}

// A refused and an accepted face answer in the same time, the declared one.
func TestConstantAnswerTime(t *testing.T) {
	s := source(t)
	gen := ppdtest.NewFaces(128, 7)
	p := &person{gen: gen, who: 1}
	e := enrol(t, s, p, key(1))
	for _, who := range []int{1, 99} {
		_, took := recovered(t, s, &person{gen: gen, who: who, next: 20}, key(1), e.Helper)
		if took < face.AnswerTime {
			t.Errorf("person %d answered after %v, before %v", who, took, face.AnswerTime)
		}
	}
}

// Poor captures are asked for again, with a reason, and cost nothing.
func TestRefusals(t *testing.T) {
	prof := face.Identity(128)
	prof.NormP10 = 5
	s, err := face.New(&face.Options{Profile: prof})
	if err != nil {
		t.Fatal(err)
	}
	gen := ppdtest.NewFaces(128, 3)
	var prompts []core.Prompt
	n := 0
	p := core.PrompterFunc(func(_ context.Context, pr core.Prompt) (core.Sample, error) {
		prompts = append(prompts, pr)
		n++
		v := gen.Capture(1, n)
		switch n {
		case 2:
			for i := range v {
				v[i] /= 100 // blurred: a short embedding
			}
		case 4:
			v = gen.Capture(1, 3) // the previous frame again
		}
		return core.NewSample(core.SampleFaceEmbedding, face.EncodeRaw(v)), nil
	})
	if _, err := s.Enroll(ctx, core.EnrollRequest{Label: "face", BindKey: key(1)}, p); err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, pr := range prompts {
		if pr.Refusal != "" {
			reasons = append(reasons, pr.Refusal)
		}
	}
	if len(reasons) != 2 || n != 7 {
		t.Errorf("%d prompts, refusals %q; want 7 and two reasons", n, reasons)
	}
	mixed := core.PrompterFunc(func(_ context.Context, pr core.Prompt) (core.Sample, error) {
		n++
		return core.NewSample(core.SampleFaceEmbedding, face.EncodeRaw(gen.Capture(n, 1))), nil
	})
	if _, err := s.Enroll(ctx, core.EnrollRequest{BindKey: key(1)}, mixed); !errors.Is(err, core.CaptureRefused) {
		t.Errorf("five people enrolled as one: %v", err)
	}
}

// Another model's embedding is refused at capture, before anything is tried.
func TestCrossModel(t *testing.T) {
	prof := face.Identity(128)
	prof.Model = "mobile-1"
	s, err := face.New(&face.Options{Profile: prof})
	if err != nil {
		t.Fatal(err)
	}
	p := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		sm := core.NewSample(core.SampleFaceEmbedding, face.EncodeRaw(ppdtest.NewFaces(128, 1).Capture(1, 1)))
		sm.Model = "other-2"
		return sm, nil
	})
	if _, err := s.Capture(ctx, core.CaptureRequest{Format: 1}, p); !errors.Is(err, core.Invalid) {
		t.Errorf("err = %v", err)
	}
}

func TestSecondRecoverIsState(t *testing.T) {
	s := source(t)
	p := &person{gen: ppdtest.NewFaces(128, 7), who: 1}
	e := enrol(t, s, p, key(1))
	c, err := s.Capture(ctx, core.CaptureRequest{Format: 1}, p)
	if err != nil {
		t.Fatal(err)
	}
	req := core.RecoverRequest{Helper: e.Helper, BindKey: key(1)}
	if _, err := c.Recover(ctx, req); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Recover(ctx, req); !errors.Is(err, core.State) {
		t.Errorf("second Recover: %v", err)
	}
}

// What is stored is uniform: over many records of one face each bit is set half
// the time, and two records of one face agree as two random words do.
// Control: without the codeword the offset would be the signs themselves, equal
// for a fixed rotation.
func TestStoredRecordsUnlinkable(t *testing.T) {
	s := source(t)
	gen := ppdtest.NewFaces(128, 5)
	const records = 200
	var helpers [][]byte
	for i := range records {
		e := enrol(t, s, &person{gen: gen, who: 1, next: 5 * i}, key(byte(i)))
		helpers = append(helpers, e.Helper)
	}
	agree, pairs := 0, 0
	for i := range helpers {
		for j := range i {
			for b := range helpers[i] {
				for x := helpers[i][b] ^ helpers[j][b] ^ 0xff; x != 0; x &= x - 1 {
					agree++
				}
			}
			pairs++
		}
	}
	mean := float64(agree) / float64(pairs)
	// 19,900 pairs of 128 fair bits; dependence through shared records widens
	// the spread to about that of 200 records: six deviations are 2.4.
	if math.Abs(mean-64) > 2.4 {
		t.Errorf("two records agree in %.2f of 128 bits, want 64", mean)
	}
	sk, err := face.NewSketcher(face.Code29)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := sk.Project(key(1), gen.Capture(1, 1))
	b, _ := sk.Project(key(1), gen.Capture(1, 2))
	linked := 0
	for i := range a {
		if (a[i] < 0) == (b[i] < 0) {
			linked++
		}
	}
	if linked < 80 {
		t.Errorf("control: with one fixed rotation two captures agree in only %d bits", linked)
	}
}

func TestParseSampleRefusals(t *testing.T) {
	good := face.EncodeRaw(ppdtest.NewFaces(128, 1).Capture(1, 1))
	nan := append([]byte(nil), good...)
	copy(nan, face.EncodeRaw([]float64{math.NaN()}))
	for name, c := range map[string]struct {
		b    []byte
		code core.Code
	}{
		"empty":       {nil, core.Invalid},
		"short":       {good[:500], core.Invalid},
		"nan":         {nan, core.Invalid},
		"zero":        {make([]byte, 512), core.Invalid},
		"huge":        {make([]byte, face.MaxSample+1), core.TooLarge},
		"json dim":    {[]byte(`{"dim":64,"embedding":[1]}`), core.Invalid},
		"json both":   {[]byte(`{"embedding":[1],"captures":[[1]]}`), core.Invalid},
		"json extra":  {[]byte(`{"embedding":[1],"pin":1}`), core.Invalid},
		"npy header":  {[]byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f"), core.TooLarge},
		"npy shape":   {npyHeader("(99999999, 99999999)"), core.TooLarge},
		"npy object":  {bytes.Replace(npyHeader("(128,)"), []byte("<f4"), []byte("|O8"), 1), core.Unsupported},
		"npy missing": {npyHeader("(128,)"), core.Invalid},
	} {
		if _, _, err := face.ParseSample(c.b, 128); core.CodeOf(err) != c.code {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func npyHeader(shape string) []byte {
	h := "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + ", }\n"
	return append([]byte{0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, byte(len(h)), 0}, h...)
}

func TestProfileRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	p := face.Identity(64)
	p.Model, p.NormP10, p.W = "m-1", 3.5, make([]float64, 64*64)
	for i := range p.W {
		p.W[i] = r.NormFloat64()
	}
	var b bytes.Buffer
	if err := face.WriteProfile(&b, p); err != nil {
		t.Fatal(err)
	}
	q, err := face.ReadProfile(b.Bytes())
	if err != nil || q.Hash() != p.Hash() {
		t.Errorf("round trip: %v", err)
	}
	q.Mu[3] += 1e-9
	if q.Hash() == p.Hash() {
		t.Error("the hash leaves mu out")
	}
}

// Golden values of every stage: a change would lock every enrolled face out.
func TestGoldenStages(t *testing.T) {
	v := ppdtest.NewFaces(128, 11).Capture(1, 1)
	s, err := face.Accept(face.Identity(128), v, nil)
	if err != nil {
		t.Fatal(err)
	}
	sk, err := face.NewSketcher(face.Code29)
	if err != nil {
		t.Fatal(err)
	}
	p, err := sk.Project(key(9), s.Z)
	if err != nil {
		t.Fatal(err)
	}
	helper, sec, err := sk.Enrol(bytes.NewReader([]byte{1, 2, 3, 4, 5, 6, 7, 8}), p, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{hexOf(helper[:]), hexOf(sec.Bytes())}
	want := []string{"f869cfc30c294d9d0327a43330bf885f", "753156d633307dadc630d8e0815db322eecec023ddb1db6c3252ffb055330ac6"}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("stage %d: %s, want %s", i, got[i], want[i])
		}
	}
}

func FuzzParseSample(f *testing.F) {
	f.Add(face.EncodeRaw(ppdtest.NewFaces(64, 1).Capture(1, 1)))
	f.Add([]byte(`{"model":"m","dim":64,"captures":[[1,2]]}`))
	f.Add(npyHeader("(2, 64)"))
	f.Fuzz(func(t *testing.T, b []byte) {
		caps, _, err := face.ParseSample(b, 64)
		if (err == nil) == (len(caps) == 0) {
			t.Fatalf("captures %d with error %v", len(caps), err)
		}
	})
}

func FuzzReadProfile(f *testing.F) {
	var b bytes.Buffer
	_ = face.WriteProfile(&b, face.Identity(64))
	f.Add(b.Bytes())
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := face.ReadProfile(b)
		if err == nil && p.Check() != nil {
			t.Fatal("an unusable profile was accepted")
		}
	})
}

func BenchmarkEnrol(b *testing.B) {
	s := source(b)
	p := &person{gen: ppdtest.NewFaces(128, 7), who: 1}
	for b.Loop() {
		enrol(b, s, p, key(1)).Secret.Wipe()
	}
}

// What a recovery costs beside the constant answer time: rotate and decode.
func BenchmarkDecode(b *testing.B) {
	for name, kind := range map[string]face.Code{"29": face.Code29, "36": face.Code36} {
		b.Run(name, func(b *testing.B) {
			sk, err := face.NewSketcher(kind)
			if err != nil {
				b.Fatal(err)
			}
			s, err := face.Accept(face.Identity(128), ppdtest.NewFaces(128, 7).Capture(1, 1), nil)
			if err != nil {
				b.Fatal(err)
			}
			k := key(1)
			b.ReportMetric(face.HelperSize, "helper-bytes")
			for b.Loop() {
				p, err := sk.Project(k, s.Z)
				if err != nil {
					b.Fatal(err)
				}
				sk.Decode(p, [face.HelperSize]byte{})
			}
		})
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
