package ask_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/internal/ask"
)

var prompt = core.Prompt{Kinds: []core.SampleKind{core.SamplePIN}}

// A prompter that ignores its context does not hold the caller, and what it
// answers too late is wiped.
func TestLateAnswerIsWiped(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	release := make(chan struct{})
	data := []byte("late answer")
	deaf := core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) {
		<-release
		return core.Sample{Kind: core.SamplePIN, Data: secret.Own(data)}, nil
	})
	time.AfterFunc(10*time.Millisecond, cancel)
	start := time.Now()
	_, err := ask.Once(ctx, "test", deaf, prompt, 64)
	if !errors.Is(err, core.Canceled) || time.Since(start) > 100*time.Millisecond+10*time.Millisecond {
		t.Fatalf("err = %v after %s", err, time.Since(start))
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the cause is lost: %v", err)
	}
	close(release)
	deadline := time.Now().Add(2 * time.Second)
	for !allZero(data) {
		if time.Now().After(deadline) {
			t.Fatal("the late answer was not wiped")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestDefectsOfThePrompter(t *testing.T) {
	for name, s := range map[string]core.Sample{
		"other kind": core.NewSample(core.SampleBytes, []byte("123456")),
		"no data":    {Kind: core.SamplePIN},
		"too long":   core.NewSample(core.SamplePIN, make([]byte, 65)),
	} {
		_, err := ask.Once(context.Background(), "test", core.PrompterFunc(func(context.Context, core.Prompt) (core.Sample, error) { return s, nil }), prompt, 64)
		if !errors.Is(err, core.Invalid) || s.Data.Len() != 0 {
			t.Errorf("%s: err = %v, %d bytes left", name, err, s.Data.Len())
		}
	}
	if _, err := ask.Once(context.Background(), "test", nil, prompt, 64); !errors.Is(err, core.Usage) {
		t.Errorf("no prompter: %v", err)
	}
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// Where the work outlasted the time of the answer and the call was given up
// meanwhile, nothing is handed out, and it is wiped.
func TestAnswerAfterItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan time.Time)
	close(end)
	if got, err := ask.Answer(ctx, "test", end, secret.Own([]byte("found"))); err != nil || got.Len() != 5 {
		t.Fatalf("%d bytes, %v", got.Len(), err)
	}
	cancel()
	for range 64 { // both are ready each time
		data := []byte("found")
		got, err := ask.Answer(ctx, "test", end, secret.Own(data))
		if got != nil || !errors.Is(err, core.Canceled) || !errors.Is(err, context.Canceled) || !allZero(data) {
			t.Fatalf("%v, %v, wiped: %t", got, err, allZero(data))
		}
	}
}
