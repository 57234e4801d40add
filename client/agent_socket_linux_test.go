package client

import (
	"bytes"
	"context"
	"io"
	"net"
	"path/filepath"
	"sync"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/client/internal/link"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/memscan"
)

// A wiretap relays an agent's socket and keeps each side of every connection.
type wiretap struct {
	path string
	mu   sync.Mutex
	said []*bytes.Buffer
	done sync.WaitGroup
}

// tapped listens beside the agent at socket until the test ends.
func tapped(t *testing.T, socket string) *wiretap {
	t.Helper()
	w := &wiretap{path: filepath.Join(t.TempDir(), "tap.sock")}
	l, err := net.Listen("unix", w.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	w.done.Go(func() {
		for {
			app, err := l.Accept()
			if err != nil {
				return
			}
			agent, err := net.Dial("unix", socket)
			if err != nil {
				_ = app.Close()
				continue
			}
			w.relay(app, agent)
			w.relay(agent, app)
		}
	})
	t.Cleanup(func() { _ = l.Close(); w.done.Wait() })
	return w
}

func (w *wiretap) relay(from, to net.Conn) {
	said := &bytes.Buffer{}
	w.mu.Lock()
	w.said = append(w.said, said)
	w.mu.Unlock()
	w.done.Go(func() {
		_, _ = io.Copy(to, io.TeeReader(from, lockedWriter{w, said}))
		_ = to.Close() // whoever ends the call ends it for both
		_ = from.Close()
	})
}

type lockedWriter struct {
	w    *wiretap
	said *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	return l.said.Write(p)
}

// frames reads what crossed, by kind.
func (w *wiretap) frames(t *testing.T) map[link.Kind][][]byte {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[link.Kind][][]byte{}
	for _, s := range w.said {
		for r := bytes.NewReader(s.Bytes()); r.Len() > 0; {
			k, b, err := link.Read(r)
			if err != nil {
				t.Fatal(err)
			}
			out[k] = append(out[k], bytes.Clone(b.Bytes()))
		}
	}
	return out
}

// The agent's socket is a channel like any other: a factor crosses it in the
// frame that answers a prompt and in no other, a plaintext as data, a recovery
// sheet where it is shown. No key and nothing a key is made from crosses it at
// all, nor does any of it stand in an event, a result or an error.
// req: K-15.4-02b, K-15.4-03, K-5.3-02d, X-05, TK-02
func TestWhatCrossesTheAgentsSocket(t *testing.T) {
	ctx := t.Context()
	e := clienttest.New(t)
	dir := provisioned(t, e)
	agentBeside(t, dir)
	tap := tapped(t, AgentSocket(dir))
	pins := map[string][]byte{"pin": digits(), "pin:work": digits(), "wrong": digits()}
	marker := bytes.Repeat(digits(), 2)
	who := func(work string) *Client {
		return atAgent(t, tap.path, PrompterFunc(func(_ context.Context, q Prompt) (Sample, error) {
			if q.Label == "pin:work" {
				return NewSample(SamplePIN, bytes.Clone(pins[work])), nil
			}
			return NewSample(SamplePIN, bytes.Clone(pins["pin"])), nil
		}), level2, func(o *Options) {
			o.Profile.Mode, o.Profile.SlowFloor = ModePlain, mstcc.MinSlowFloor
			o.Events = func(Event) {}
			o.Host = func(context.Context, string) (ProbeVerdict, bool) { return ProbeOK, true }
		})
	}
	c := who("pin:work")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := c.Initialize(ctx, InitRequest{Policy: "pin & pin:work"})
	must(err)
	sig, err := c.Sign(ctx, SignRequest{Message: zeroiseMessage})
	must(err)
	ct, _, err := c.Encrypt(ctx, marker, PublicKey{}, FormEnvelope)
	must(err)
	plain, _, err := c.Decrypt(ctx, ct)
	must(err)
	plain.Wipe()
	_, err = c.Status(ctx, true)
	must(err)
	if err := signs(who("wrong")); err == nil {
		t.Error("a wrong PIN signs")
	}
	must(signs(c))
	secrets := secretsOf(t, dir, pins, sig.Raw())
	secrets["the plaintext"] = marker
	var sheet *Sheet
	_, err = c.CreateRecovery(ctx, keeps(t, &sheet))
	must(err)
	payload, words := sheet.Payload(), sheet.Code.Words()
	defer secret.WipeAll(payload, words)
	heard := tap.frames(t)
	look := func(what string, pattern []byte, allowed ...link.Kind) (found int) {
		t.Helper()
		for kind, list := range heard {
			for _, body := range list {
				if !bytes.Contains(body, pattern) {
					continue
				}
				found++
				if ok := bytes.IndexByte(kinds(allowed), byte(kind)) >= 0; !ok {
					t.Errorf("%s crosses the socket in a frame of kind %d", what, kind)
				}
			}
		}
		return found
	}
	seen := map[string]int{}
	for name, s := range secrets {
		patterns, err := memscan.Forms(name, s)
		must(err)
		for _, p := range patterns {
			switch name {
			case "PIN pin", "PIN pin:work", "PIN wrong":
				seen[name] += look(p.Name, p.Bytes, link.Sample)
			case "the plaintext":
				seen[name] += look(p.Name, p.Bytes, link.Data)
			default:
				look(p.Name, p.Bytes)
			}
		}
	}
	seen["the sheet"] = look("the sheet", payload.Bytes(), link.Show)
	look("the sheet's words", words.Bytes())
	// Controls: what must cross was seen, so the tap hears and can read it.
	for name, least := range map[string]int{"PIN pin": 5, "PIN pin:work": 4, "PIN wrong": 1, "the plaintext": 2, "the sheet": 1} {
		if seen[name] < least {
			t.Errorf("control: %s was seen %d times, at least %d times it crossed", name, seen[name], least)
		}
	}
	for _, kind := range []link.Kind{link.Call, link.Ask, link.Event, link.Result, link.Probe, link.Verdicts} {
		if len(heard[kind]) == 0 {
			t.Errorf("control: no frame of kind %d", kind)
		}
	}
}

func kinds(list []link.Kind) (out []byte) {
	for _, k := range list {
		out = append(out, byte(k))
	}
	return out
}
