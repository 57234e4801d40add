package cputime

import (
	"runtime"
	"testing"
	"time"
)

// Work advances both clocks, sleep hardly any.
func TestClocks(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, th := Process(), Thread()
	x := uint32(1)
	for begun := time.Now(); Thread()-th < 5*time.Millisecond && time.Since(begun) < 10*time.Second; {
		for range 1000 {
			x = x*1664525 + 1013904223
		}
	}
	if Thread()-th < 5*time.Millisecond || Process()-p < 5*time.Millisecond {
		t.Errorf("after work: thread %v, process %v (%d)", Thread()-th, Process()-p, x)
	}
	th = Thread()
	time.Sleep(30 * time.Millisecond)
	if d := Thread() - th; runtime.GOOS == "linux" && d > 25*time.Millisecond {
		t.Errorf("a thread that slept used %v", d)
	}
}
