package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/keposs/keposs/client/clienttest"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/internal/memscan"
	"github.com/keposs/keposs/internal/testenv"
	"github.com/keposs/keposs/ppd/face"
	"github.com/keposs/keposs/ppd/fingerprint"
	"github.com/keposs/keposs/ppd/ppdtest"
)

// keptSample keeps what the control forgets to wipe.
var keptSample []byte

// samplesChild uses a terminal with a gesture, a finger and a face. It tells what
// it is asked for, a line each, and is answered with a length and masked bytes.
func samplesChild() {
	ctx := context.Background()
	go collect()
	die := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(5)
		}
	}
	profile := DefaultProfile()
	profile.Mode, profile.SlowFloor = ModePlain, mstcc.MinSlowFloor
	var one sync.Mutex // sources ask at once
	c, err := Open(ctx, Options{Dir: os.Getenv(zeroiseDir), Profile: profile, Prompter: PrompterFunc(func(_ context.Context, p Prompt) (Sample, error) {
		one.Lock()
		defer one.Unlock()
		fmt.Printf("%s %d %d\n", p.Label, p.Purpose, p.Index)
		var n [4]byte
		if _, err := io.ReadFull(os.Stdin, n[:]); err != nil {
			return Sample{}, err
		}
		s := secret.New(int(binary.BigEndian.Uint32(n[:])))
		if _, err := io.ReadFull(os.Stdin, s.Bytes()); err != nil {
			return Sample{}, err
		}
		memscan.Mask(s.Bytes())
		if os.Getenv(zeroiseMode) == "samples-control" {
			keptSample = s.Clone().Bytes()
		}
		return Sample{Kind: p.Kinds[0], Data: s}, nil
	})})
	die(err)
	_, err = c.Initialize(ctx, InitRequest{Policy: "gesture & fingerprint & face"})
	die(err)
	_, err = c.Sign(ctx, SignRequest{Message: zeroiseMessage})
	die(err)
	fmt.Println("done")
	_, _ = io.Copy(io.Discard, os.Stdin)
	die(c.Close())
	os.Exit(0)
}

// After enrolment and a signature no sample is left in the app's process or in a
// source's: no dots, no part of a fingerprint record or of a face's embedding, as it came or
// as the source's code holds it.
// req: K-5.3-01b, K-5.3-02d, K-7.1-07, K-7.2-07, K-15.4-02b, TK-01
func TestNoSampleStaysInMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector keeps copies of its own")
	}
	for _, mode := range []string{"samples-control", "samples"} {
		t.Run(mode, func(t *testing.T) {
			testenv.NeedLevel(t, 1)
			sampled(t, mode)
		})
	}
}

func sampled(t *testing.T, mode string) {
	e := clienttest.New(t)
	dir := filepath.Join(t.TempDir(), "terminal")
	if _, err := Provision(t.Context(), dir, e.Ticket(t)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), zeroiseMode+"="+mode, zeroiseDir+"="+dir)
	cmd.Stderr = os.Stderr
	in, out := startChild(t, cmd)
	people := map[string]ppdtest.Person{"gesture": fromTheMiddle{ppdtest.Pattern(1)}, "fingerprint": ppdtest.Finger(7), "face": ppdtest.Face(11)}
	patterns := map[string]memscan.Pattern{}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "done" {
		p := Prompt{}
		if _, err := fmt.Sscanf(lines.Text(), "%s %d %d", &p.Label, &p.Purpose, &p.Index); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		s, err := people[p.Label].Ask(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range formsOf(t, p.Label, s.Data.Bytes()) {
			patterns[string(form.Bytes)] = form
		}
		memscan.Mask(s.Data.Bytes())
		b := append(binary.BigEndian.AppendUint32(nil, uint32(s.Data.Len())), s.Data.Bytes()...)
		if _, err := in.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if lines.Text() != "done" {
		t.Fatalf("the child ended: %v", cmd.Wait())
	}
	var list []memscan.Pattern
	for _, p := range patterns {
		list = append(list, p)
	}
	family := append(children(cmd.Process.Pid), cmd.Process.Pid)
	if len(family) < 5 {
		t.Errorf("%d processes: the app, three sources and a KDF are expected", len(family))
	}
	found := map[string]int{}
	for _, pid := range family {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		finds, scanned, err := memscan.Scan(pid, list)
		if err != nil || scanned < 1<<20 {
			t.Fatalf("%d bytes of process %d: %v", scanned, pid, err)
		}
		for _, f := range finds {
			what, _, _ := strings.Cut(f.Pattern, "/")
			found[strings.TrimSpace(string(name))+": "+what]++
			if mode == "samples" && found[strings.TrimSpace(string(name))+": "+what] < 4 {
				t.Errorf("%s: %s", strings.TrimSpace(string(name)), f)
			}
		}
	}
	t.Logf("%d patterns, found: %v", len(list), found)
	if mode == "samples-control" && len(found) == 0 {
		t.Error("control: a sample that was not wiped is not found")
	}
}

// fromTheMiddle is a gesture of ppdtest begun at the middle dot: ppdtest's own
// stand in the program.
type fromTheMiddle struct{ ppdtest.Person }

func (f fromTheMiddle) Ask(ctx context.Context, p Prompt) (Sample, error) {
	s, err := f.Person.Ask(ctx, p)
	if err == nil {
		s.Data = secret.Own(append([]byte("5-"), s.Data.Bytes()...))
	}
	return s, err
}

// formsOf are the forms of a sample as it came, without what every record begins
// with, and as the source holds it.
func formsOf(t *testing.T, label string, sample []byte) (out []memscan.Pattern) {
	t.Helper()
	add := func(name string, b []byte) {
		p, err := memscan.Forms(name, b)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	switch label {
	case "gesture":
		add("dots", sample)
	case "fingerprint":
		add("record", sample[32:])
		views, err := fingerprint.ParseFMR(sample)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range views[0].Minutiae {
			add("minutia", unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m)))
			const at500 = 500 / 2.54 // dpi in pixels a centimetre
			place := [2]float64{float64(m.X) * at500 / float64(views[0].DPCMx), -float64(m.Y) * at500 / float64(views[0].DPCMy)}
			add("point", unsafe.Slice((*byte)(unsafe.Pointer(&place)), unsafe.Sizeof(place)))
		}
	case "face":
		add("embedding", sample)
		captures, _, err := face.ParseSample(sample, len(sample)/4)
		if err != nil {
			t.Fatal(err)
		}
		wide := make([]byte, 0, 8*len(captures[0]))
		for _, x := range captures[0] {
			wide = binary.LittleEndian.AppendUint64(wide, math.Float64bits(x))
		}
		add("vector", wide)
	default:
		t.Fatal(core.Errorf(core.Internal, "test", "no sample for %s", label))
	}
	return out
}
