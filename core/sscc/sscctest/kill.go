package sscctest

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sscc"
)

// The environment of a process that is going to be killed.
const (
	envGuesser     = "KEPOSS_TEST_GUESSER" // the folder of its backend
	envAnswerFirst = "KEPOSS_TEST_ANSWER_FIRST"
)

const killLimit = 5

// A Killing is how SS-CC processes are ended at random instants.
type Killing struct {
	Rounds int
	// Open opens the backend in dir and closes it by t's cleanup.
	Open func(t *testing.T, dir string) core.Backend
	// Machine, where the machine under the process is ended as well, is called
	// once, by the process that lives on; nil = a kill -9 alone.
	Machine func(t *testing.T) Place
}

// A Place gives an empty folder, what ends the machine under it and the process
// p with it, and what brings the folder back.
type Place func(t *testing.T) (dir string, cut func(p *os.Process), back func())

// Rounds is how often backends are ended at a test level: enough to see that it
// works at level 0, a hundred times from level 1 on.
func Rounds(level int) int {
	if level == 0 {
		return 3
	}
	return 100
}

// KilledAtRandom runs SS-CC over the backend in a process of its own, where
// four guessers are at work, and ends it at a random instant, Rounds times. The
// process says each answer before it goes on; afterwards every answer it said
// must be in the durable count, and both together must not pass the limit (I1).
// The same is done to a mutant that answers before its count is durable, which
// must be caught. The calling test is run again as that process: it must come
// here first.
func KilledAtRandom(t *testing.T, k Killing) {
	if dir := os.Getenv(envGuesser); dir != "" {
		guesser(t, k.Open(t, dir), os.Getenv(envAnswerFirst) != "")
		return
	}
	place := func(t *testing.T) (string, func(*os.Process), func()) {
		return t.TempDir(), func(p *os.Process) { _ = p.Kill() }, func() {}
	}
	if k.Machine != nil {
		place = k.Machine(t)
	}
	self := t.Name()
	t.Run("counts first", func(t *testing.T) {
		answers := 0
		for i := range k.Rounds {
			t.Run(fmt.Sprint(i+1), func(t *testing.T) {
				n, wrong := k.life(t, place, self, false)
				answers += n
				if wrong != "" {
					t.Error(wrong)
				}
			})
		}
		t.Logf("%d ends, %d answers before them", k.Rounds, answers)
	})
	t.Run("answers first is caught", func(t *testing.T) {
		for i := range max(k.Rounds, 20) {
			var wrong string
			t.Run(fmt.Sprint(i+1), func(t *testing.T) { _, wrong = k.life(t, place, self, true) })
			if wrong != "" {
				t.Logf("at end %d: %s", i+1, wrong)
				return
			}
		}
		t.Error("the mutant was not caught")
	})
}

// life is one process from start to end. wrong tells what I1 says against it.
func (k Killing) life(t *testing.T, place Place, self string, mutant bool) (answers int, wrong string) {
	dir, cut, back := place(t)
	cmd := exec.Command(os.Args[0], "-test.run=^"+self+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), envGuesser+"="+dir)
	if mutant {
		cmd.Env = append(cmd.Env, envAnswerFirst+"=1")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	said := bufio.NewScanner(out)
	u := &user{site: &site{t: t, limit: killLimit}, mode: protocol.ModePlain}
	var log []string
	for said.Scan() && !u.read(said.Text()) {
		log = append(log, said.Text())
	}
	if u.id.IsZero() {
		t.Fatalf("the process did not begin:\n%s", strings.Join(log, "\n"))
	}
	after, wait := rand.IntN(killLimit+1), rand.N(4*time.Millisecond)
	ended := make(chan struct{})
	var once sync.Once
	end := func() {
		once.Do(func() {
			go func() {
				defer close(ended)
				time.Sleep(wait)
				cut(cmd.Process)
			}()
		})
	}
	late := time.AfterFunc(10*time.Second, end)
	defer late.Stop()
	if after == 0 {
		end()
	}
	for said.Scan() {
		if said.Text() == "answered" {
			if answers++; answers == after {
				end()
			}
		}
	}
	<-ended
	_ = cmd.Wait()
	back()
	return answers, u.after(k.Open(t, dir), answers)
}

// after opens the backend anew and holds what was said against it.
func (u *user) after(b core.Backend, answers int) string {
	u.b = b
	u.replicas = []*sscc.Server{u.unsealed()}
	st := u.status(0)
	if uint32(answers) > st.Used || st.Used > killLimit {
		return fmt.Sprintf("%d answers left, %d are counted", answers, st.Used)
	}
	for range killLimit + 2 {
		if _, _, err := u.try(0, newID(), protocol.Point{}); err == nil {
			answers++
		}
	}
	if answers > killLimit {
		return fmt.Sprintf("%d answers in all, the limit is %d", answers, killLimit)
	}
	return ""
}

// guesser is the process: it makes a user, names it, and guesses until the end.
func guesser(t *testing.T, b core.Backend, answerFirst bool) {
	m := &hasty{Backend: b}
	s := newSite(t, m, 1, killLimit)
	u := s.user(protocol.ModePlain)
	m.on.Store(answerFirst)
	fmt.Printf("\nuser %x %x %x %x %x\n", s.realm[:], s.app[:], u.id[:], u.peer.Device[:], u.peer.Key[:])
	for range 4 {
		go func() {
			for range killLimit {
				if _, _, err := u.try(0, newID(), protocol.Point{}); err == nil {
					_, _ = os.Stdout.WriteString("answered\n")
				}
			}
		}()
	}
	time.Sleep(20 * time.Second) // the end comes first
}

// read takes the line in which the process names its user.
func (u *user) read(line string) bool {
	var realm, app, id, device, key string
	if n, _ := fmt.Sscanf(line, "user %s %s %s %s %s", &realm, &app, &id, &device, &key); n != 5 {
		return false
	}
	for text, to := range map[string][]byte{realm: u.realm[:], app: u.app[:], id: u.id[:], device: u.peer.Device[:], key: u.peer.Key[:]} {
		b, err := hex.DecodeString(text)
		if err != nil || len(b) != len(to) {
			return false
		}
		copy(to, b)
	}
	u.peer.App = u.app
	return true
}

// hasty is the mutant: once on, it says that a commit is durable and makes it
// so a little later. Whoever reads or writes next waits for that.
type hasty struct {
	core.Backend
	on   atomic.Bool
	late sync.WaitGroup
	mu   sync.Mutex
}

func (h *hasty) GetMany(ctx context.Context, keys []core.Key, o core.ReadOpts) ([]core.Record, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late.Wait()
	return h.Backend.GetMany(ctx, keys, o)
}

func (h *hasty) CommitMany(ctx context.Context, ms []core.Mutation) ([]core.Result, error) {
	if !h.on.Load() {
		return h.Backend.CommitMany(ctx, ms)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.late.Wait()
	out := make([]core.Result, len(ms))
	for i, m := range ms {
		out[i].Version = m.Expect + 1
	}
	h.late.Go(func() {
		time.Sleep(50 * time.Millisecond)
		_, _ = h.Backend.CommitMany(context.WithoutCancel(ctx), ms)
	})
	return out, nil
}
