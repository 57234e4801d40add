//go:build unix

package oprf

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"testing"
)

// BenchmarkTogether tells the processor time of one Evaluate, without and with
// proof, when several ask at once on one core, as after a common sync.
func BenchmarkTogether(b *testing.B) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	used := func() int64 {
		var u syscall.Rusage
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
		return u.Utime.Nano() + u.Stime.Nano()
	}
	k := newKey(b)
	bl, _ := Blind(nil, []byte("benchmark input"))
	e, err := ParseElement(bl.Element())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"evaluate", func() { _, _ = k.Evaluate(e) }},
		{"evaluate-dleq", func() { _, _, _ = k.EvaluateWithProof(nil, e) }},
	} {
		for _, n := range []int{1, 2, 4, 8, 16} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				start := used()
				var wg sync.WaitGroup
				for i := range n {
					wg.Go(func() {
						for range (b.N + i) / n {
							c.f()
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(used()-start)/float64(b.N)/1e3, "cpu-us/op")
			})
		}
	}
}
