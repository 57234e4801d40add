package escrowtest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
)

var limits = []Case{
	{"MillionRecords", "A million records are kept, scanned whole and in order, counted up, and are there after reopening.",
		"Look at what grows with the number of records: memory, the time to open, pages of a scan.", "O", 2,
		func(ctx context.Context, r *Rig) error { return manyRecords(ctx, r, cmp.Or(r.Records, 1_000_000)) }},
	{"DiskFull", "On a full disk changes are refused and reading goes on or says so; with room again, opened anew, nothing acknowledged is lost and work goes on.",
		"Keep a watermark, and a ballast to open with.", "O", 2, diskFull},
}

// many is the content of record i: 400 bytes hot, 200 of a blob.
func many(i int) (hot, blob string) {
	b := string(binary.BigEndian.AppendUint64(nil, uint64(i)))
	return strings.Repeat(b, 50), strings.Repeat(b, 25)
}

func manyRecords(ctx context.Context, r *Rig, n int) error {
	f, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	const writers, batch = 4, 500
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for from := w * batch; from < n && errs[w] == nil; from += writers * batch {
				var ms []core.Mutation
				for i := from; i < min(n, from+batch); i++ {
					hot, blob := many(i)
					ms = append(ms, put(ks.at(i), 0, hot, blob))
				}
				var res []core.Result
				if res, errs[w] = f.CommitMany(ctx, ms); errs[w] == nil {
					for _, one := range res {
						errs[w] = first(errs[w], one.Err)
					}
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	counted := map[int]core.Version{}
	for range 2 {
		for range 200 {
			i := rand.IntN(n)
			hot, blob := many(i)
			v := max(counted[i], 1)
			if err := first(holds(ctx, f, ks.at(i), v, hot, blob), want(ctx, f, putHot(ks.at(i), v, hot), v+1)); err != nil {
				return fmt.Errorf("record %d: %w", i, err)
			}
			counted[i] = v + 1
		}
		if err := countedRecords(ctx, f, ks, n, counted); err != nil {
			return err
		}
		if !r.Durable {
			return nil
		}
		if err := f.Reopen(ctx); err != nil {
			return err
		}
	}
	return countedRecords(ctx, f, ks, n, counted)
}

func countedRecords(ctx context.Context, b core.Backend, ks keys, n int, counted map[int]core.Version) error {
	i := 0
	err := walk(ctx, b, core.ScanRequest{Limit: 1000, Hot: true}, func(rec core.Record, _ bool) error {
		hot, _ := many(i)
		if i >= n || !bytes.Equal(rec.Key, ks.at(i)) || rec.Version != max(counted[i], 1) || string(rec.Hot) != hot {
			return fmt.Errorf("record %d of the scan is wrong, at version %d", i, rec.Version)
		}
		i++
		return nil
	})
	if err == nil && i != n {
		err = fmt.Errorf("a scan shows %d of %d records", i, n)
	}
	return err
}

func diskFull(ctx context.Context, r *Rig) error {
	f, d, done, err := onDisk(ctx, r)
	if err != nil {
		return err
	}
	defer done()
	l, filler := NewLoad(8), ""
	if err := l.During(ctx, f, func() error {
		time.Sleep(instant())
		var err error
		if filler, err = d.Fill(); err != nil {
			return fmt.Errorf("harness: fill the disk: %w", err)
		}
		time.Sleep(2 * time.Second)
		_, err = commit(ctx, f, put(newKeys().at(0), 0, "h", strings.Repeat("b", core.MaxBlob)))
		switch core.CodeOf(err) {
		case core.Unknown, core.Exhausted, core.Unavailable, core.Indeterminate: // there may be room inside the files
		default:
			return fmt.Errorf("a full disk: %w, want exhausted", err)
		}
		return nil
	}); err != nil {
		return err
	}
	if err := os.Remove(filler); err != nil {
		return fmt.Errorf("harness: free the disk: %w", err)
	}
	_ = r.Kill(f.Backend)
	if err := first(f.again(ctx), l.sound(ctx, f)); err != nil {
		return err
	}
	return want(ctx, f, put(newKeys().at(0), 0, "h", "b"), 1)
}
