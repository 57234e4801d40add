package link

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// frame is one frame as bytes.
func frame(k Kind, length uint32, body string) []byte {
	return append([]byte{byte(k), byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)}, body...)
}

// What is no frame is refused before its length is allocated.
func TestReadRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want core.Code
	}{
		{"nothing", nil, core.Closed},
		{"half a head", []byte{1, 0}, core.Indeterminate},
		{"half a body", frame(Call, 9, "abc"), core.Indeterminate},
		{"an unknown kind", frame(0, 0, ""), core.Invalid},
		{"a kind of later", frame(16, 0, ""), core.Invalid},
		{"a long list of probes", frame(Probe, maxProbes*(1+maxID)+1, ""), core.TooLarge},
		{"too many verdicts", frame(Verdicts, maxProbes+1, ""), core.TooLarge},
		{"a long nonce", frame(Attest, 33, ""), core.TooLarge},
		{"a proof without end", frame(Proof, maxProof+1, ""), core.TooLarge},
		{"a long call", frame(Call, maxJSON+1, ""), core.TooLarge},
		{"endless data", frame(Data, 1<<32-1, ""), core.TooLarge},
		{"a body for shown", frame(Shown, 1, "x"), core.TooLarge},
	} {
		if k, b, err := Read(bytes.NewReader(c.in)); !errors.Is(err, c.want) || k != 0 || b != nil {
			t.Errorf("%s: kind %d, %v, %v; want %s", c.name, k, b, err, c.want)
		}
	}
	k, b, err := Read(bytes.NewReader(frame(Data, 3, "abcdef")))
	if err != nil || k != Data || string(b.Bytes()) != "abc" {
		t.Errorf("a frame: %d %q %v", k, b.Bytes(), err)
	}
}

func TestSampleSurvives(t *testing.T) {
	in := core.Sample{Kind: core.SamplePIN, Model: "keyboard", Data: secret.Copy([]byte("271828"))}
	head, err := EncodeSample(in)
	if err != nil {
		t.Fatal(err)
	}
	body := secret.Copy(append(head, in.Data.Bytes()...))
	out, err := DecodeSample(body)
	if err != nil || out.Kind != in.Kind || out.Model != in.Model || !out.Data.Equal(in.Data) || body.Len() != 0 {
		t.Errorf("%+v, %v; the frame's body has %d bytes left", out, err, body.Len())
	}
	if _, err := EncodeSample(core.Sample{Model: strings.Repeat("m", maxName+1)}); !errors.Is(err, core.Invalid) {
		t.Errorf("a long model: %v", err)
	}
}

// A frame that is read is written as the same bytes; a sample likewise.
func FuzzFrames(f *testing.F) {
	f.Add(frame(Call, 2, "{}"))
	f.Add(frame(Sample, 5, "\x03pin\x00"))
	f.Add(frame(Data, 1<<31, ""))
	f.Add(frame(99, 0, ""))
	f.Add(frame(Probe, 5, "\x04P-13"))
	f.Add(frame(Verdicts, 1, "\x02"))
	f.Add(frame(Proof, 9, "\x04playdata"))
	f.Fuzz(func(t *testing.T, in []byte) {
		k, b, err := Read(bytes.NewReader(in))
		if err != nil {
			if b != nil {
				t.Fatal("an error and a body")
			}
			return
		}
		app, agent := net.Pipe()
		defer app.Close()
		go func() {
			defer agent.Close()
			_ = (&Conn{Conn: agent}).Send(k, b.Bytes())
		}()
		k2, b2, err := (&Conn{Conn: app}).Receive()
		if err != nil || k2 != k || !b2.Equal(b) {
			t.Fatalf("written as %d %v %v", k2, b2, err)
		}
		if s, err := DecodeSample(b2); err == nil {
			head, err := EncodeSample(s)
			if err != nil || !bytes.Equal(append(head, s.Data.Bytes()...), b.Bytes()) {
				t.Fatalf("the sample is written otherwise: %v", err)
			}
		}
	})
}
