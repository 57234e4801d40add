package badger_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/badger"
)

// What a durable compare-and-set of a hot part costs with 64 callers at once, and
// how many share a sync.
func BenchmarkCommit(b *testing.B) {
	const callers = 64
	s := badger.New().(*badger.Store)
	if err := s.Configure(context.Background(), core.Config{Values: map[string]string{"dir": b.TempDir()}}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	hot := make([]byte, 448)
	ask := func(m core.Mutation) {
		res, err := s.CommitMany(context.Background(), []core.Mutation{m})
		if err == nil {
			err = res[0].Err
		}
		if err != nil {
			b.Error(err)
		}
	}
	for i := range callers {
		ask(core.Mutation{Key: key(i), Op: core.OpPut, Hot: hot, Blob: make([]byte, 1600)})
	}
	made, syncs := s.Commits()
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for i := range callers {
		wg.Go(func() {
			for v := core.Version(1); next.Add(1) <= int64(b.N); v++ {
				ask(core.Mutation{Key: key(i), Expect: v, Op: core.OpPutHot, Hot: hot})
			}
		})
	}
	wg.Wait()
	allMade, allSyncs := s.Commits()
	b.ReportMetric(float64(allMade-made)/float64(allSyncs-syncs), "commits/sync")
}

func key(i int) core.Key { return core.Key(fmt.Sprintf("%032x", i)) }
