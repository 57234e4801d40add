package prompt

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/ppd/gesture"
	"github.com/keposs/keposs/ppd/pin"
)

var ctx = context.Background()

func pinPrompt(label string, p core.Purpose) core.Prompt {
	return core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}, Label: label, Purpose: p, Index: 1, Total: 1}
}

// req: K-15.4-02a
func TestAnswers(t *testing.T) {
	face := filepath.Join(t.TempDir(), "face.npy")
	if err := os.WriteFile(face, []byte("sample"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := ReadAnswers(strings.NewReader("# a comment\n\npin=739105\r\npin:work=a=b@c\nface@file:" + face + "\nface@base64:AQID\n"))
	if err != nil {
		t.Fatal(err)
	}
	bio := core.Prompt{Kinds: []core.SampleKind{core.SampleFaceEmbedding}, Label: "face", Total: 2}
	for i, c := range []struct {
		q    core.Prompt
		idx  int
		want string
	}{
		{pinPrompt("pin", core.PurposeEnroll), 1, "739105"},
		{pinPrompt("pin", core.PurposeConfirm), 2, "739105"},
		{pinPrompt("pin", core.PurposeRecover), 1, "739105"},
		{pinPrompt("pin:work", core.PurposeRecover), 1, "a=b@c"},
		{bio, 1, "sample"}, {bio, 2, "\x01\x02\x03"},
	} {
		c.q.Index = c.idx
		s, err := a.Ask(ctx, c.q)
		if err != nil || string(s.Data.Bytes()) != c.want || s.Kind != c.q.Kinds[0] {
			t.Errorf("prompt %d: %v", i, err)
		}
	}
	again := pinPrompt("pin", core.PurposeEnroll)
	again.Refusal = "digits in order; choose others"
	if _, err := a.Ask(ctx, again); !errors.Is(err, core.CaptureRefused) {
		t.Errorf("refused with no further line: %v", err)
	}
	bio.Index = 3
	if _, err := a.Ask(ctx, bio); !errors.Is(err, core.NotFound) {
		t.Errorf("third of two: %v", err)
	}
	if _, err := a.Ask(ctx, pinPrompt("face", core.PurposeRecover)); !errors.Is(err, core.Invalid) && !errors.Is(err, core.NotFound) {
		t.Errorf("a PIN from a file: %v", err)
	}
	if _, err := a.Ask(ctx, pinPrompt("other", core.PurposeRecover)); !errors.Is(err, core.NotFound) {
		t.Errorf("no line: %v", err)
	}
	a.Wipe()
	if _, err := a.Ask(ctx, pinPrompt("pin", core.PurposeRecover)); !errors.Is(err, core.NotFound) {
		t.Errorf("after Wipe: %v", err)
	}
}

func TestAnswersErrorsNameTheLineNotTheValue(t *testing.T) {
	const marker = "91827364"
	for _, in := range []string{
		marker, "PIN=" + marker, "=" + marker, "pin=", "pin=" + marker + "\x00", "pin=" + strings.Repeat(marker, 40),
		"face@base64:" + marker + "!", "face@base64:", "face@file:", "face@hex:" + marker, "p n=" + marker, "face@" + marker,
	} {
		_, err := ReadAnswers(strings.NewReader("# first\n" + in + "\n"))
		if !errors.Is(err, core.Invalid) || !strings.Contains(err.Error(), "line 2") || strings.Contains(err.Error(), marker) {
			t.Errorf("%q: %v", in, err)
		}
	}
	if _, err := ReadAnswers(bytes.NewReader(make([]byte, maxAnswers+1))); !errors.Is(err, core.TooLarge) {
		t.Errorf("too large: %v", err)
	}
}

func FuzzReadAnswers(f *testing.F) {
	f.Add([]byte("# c\npin=739105\nface@base64:AQID\nface@file:/x\n"))
	f.Add([]byte("gesture=1-2-5-8\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ReadAnswers(bytes.NewReader(b))
		if err != nil {
			if a != nil {
				t.Error("an error came with answers")
			}
			return
		}
		// What was read says the same when written again in the plainest form.
		var out bytes.Buffer
		for label, ls := range a.lines {
			for _, l := range ls {
				switch l.form {
				case formText:
					out.WriteString(label + "=")
					out.Write(l.data.Bytes())
				case formBase64:
					out.WriteString(label + "@base64:" + base64.StdEncoding.EncodeToString(l.data.Bytes()))
				case formFile:
					out.WriteString(label + "@file:")
					out.Write(l.data.Bytes())
				}
				out.WriteByte('\n')
			}
		}
		again, err := ReadAnswers(&out)
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		for label, ls := range a.lines {
			for i, l := range ls {
				if len(again.lines[label]) != len(ls) || !l.data.Equal(again.lines[label][i].data) {
					t.Fatal("another value")
				}
			}
		}
	})
}

func TestSyntheticPersonEnrolsAndSlips(t *testing.T) {
	mixed := pin.New()
	if err := mixed.Configure(ctx, core.Config{Values: map[string]string{"alphanumeric": "true"}}); err != nil {
		t.Fatal(err)
	}
	for _, src := range []core.Source{pin.New(), mixed, gesture.New()} {
		s := NewSynthetic(rand.Reader)
		e, err := src.Enroll(ctx, core.EnrollRequest{Label: "x"}, s)
		if err != nil {
			t.Fatal(err)
		}
		for _, wrong := range []bool{false, true, false} {
			s.SetWrong("x", wrong)
			c, err := src.Capture(ctx, core.CaptureRequest{Label: "x", Params: e.Helper}, s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Recover(ctx, core.RecoverRequest{Helper: e.Helper})
			if err != nil || got.Equal(e.Secret) == wrong {
				t.Errorf("wrong=%v: %v", wrong, err)
			}
		}
		s.Wipe()
	}
}

func TestFilesAndMux(t *testing.T) {
	dir := t.TempDir()
	one, big := filepath.Join(dir, "one"), filepath.Join(dir, "big")
	_ = os.WriteFile(one, []byte("1"), 0o600)
	_ = os.WriteFile(big, make([]byte, MaxSample+1), 0o600)
	f, err := NewFiles([]string{"face=" + one, "big=" + big, "gone=" + filepath.Join(dir, "gone"), "dir=" + dir})
	if err != nil {
		t.Fatal(err)
	}
	m := Mux{{Kinds: FileKinds(), To: f}}
	q := core.Prompt{Kinds: []core.SampleKind{core.SampleFaceEmbedding}, Index: 1, Total: 1}
	for label, want := range map[string]core.Code{"face": 0, "face:door": 0, "big": core.TooLarge, "gone": core.NotFound, "dir": core.Usage, "none": core.NotFound} {
		q.Label = label
		if _, err := m.Ask(ctx, q); core.CodeOf(err) != want {
			t.Errorf("%s: %v", label, err)
		}
	}
	if _, err := m.Ask(ctx, pinPrompt("face", core.PurposeRecover)); !errors.Is(err, core.Unsupported) {
		t.Errorf("a PIN: %v", err)
	}
	if _, err := NewFiles([]string{"face"}); !errors.Is(err, core.Usage) {
		t.Errorf("bad flag: %v", err)
	}
}

// The gesture's screen: keys and mouse give the same dots, and nothing of them
// is on the screen unless asked for.
// req: G-7.4-07
func TestDrawing(t *testing.T) {
	d := newDrawing(core.Prompt{Grid: 3})
	blank := d.View().Content
	for _, k := range []string{"1", "6", "7"} {
		d.key(k)
	}
	d.at = 0
	if d.View().Content != blank {
		t.Error("the screen shows what was drawn")
	}
	d.key("tab")
	if strings.Count(d.View().Content, "●") != 3 {
		t.Error("tab does not show the dots")
	}
	m := newDrawing(core.Prompt{Grid: 3})
	for _, dot := range []int{0, 5, 6} {
		m.Update(tea.MouseClickMsg{X: gridLeft + dot%3*stepX, Y: gridTop + dot/3*stepY, Button: tea.MouseLeft})
	}
	if string(m.path) != string(d.path) || string(d.path) != "\x01\x06\x07" {
		t.Errorf("keys %v, mouse %v", d.path, m.path)
	}
	d.key("backspace")
	if len(d.path) != 2 {
		t.Errorf("after undo: %v", d.path)
	}
	d.key("esc")
	if !d.cancel {
		t.Error("esc does not cancel")
	}
}
