package escrowtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/keposs/keposs/core"
)

var scans = []Case{
	{"OrderedAndWhole", "Scan gives every key once, ascending, at any page size, and ends with a nil Next.",
		"Look at the page border: Next is exclusive.", "D", 0, orderedAndWhole},
	{"BinaryOrder", "Keys are ordered as bytes, a prefix before what it begins.",
		"Collations and length-first encodings break this.", "D", 0, binaryOrder},
	{"Parts", "Hot, Blob and Tombs choose what a page carries; tombstones have a version, no content and Deleted.",
		"Deleted runs parallel to Records.", "D", 0, scanParts},
	{"StartAnywhere", "After is exclusive and need not exist.", "Seek to the next possible key.", "D", 0, startAnywhere},
	{"PageBounds", "A limit outside 1..1000 is Invalid.", "Check the request first.", "D", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			for _, n := range []int{0, -1, 1001} {
				if _, err := b.Scan(ctx, core.ScanRequest{Limit: n}); isCode(err, core.Invalid, 0) != nil {
					return fmt.Errorf("limit %d: %v, want invalid", n, err)
				}
			}
			return nil
		}},
	{"WholeUnderChurn", "Every key present throughout the whole scan appears exactly once while others come, change and go.",
		"Positions must be keys, not offsets.", "D", 0, wholeUnderChurn},
}

// walk reads all pages of a scan.
func walk(ctx context.Context, b core.Backend, req core.ScanRequest, each func(core.Record, bool) error) error {
	return paged(ctx, b.Scan, req, each)
}

// paged reads all pages that read gives.
func paged(ctx context.Context, read func(context.Context, core.ScanRequest) (core.Page, error), req core.ScanRequest, each func(core.Record, bool) error) error {
	for pages := 0; ; pages++ {
		p, err := read(ctx, req)
		if err != nil {
			return err
		}
		switch {
		case len(p.Records) > req.Limit:
			return fmt.Errorf("page of %d records, asked for %d", len(p.Records), req.Limit)
		case req.Tombs && len(p.Records) > 0 && p.Deleted != nil && len(p.Deleted) != len(p.Records):
			return fmt.Errorf("%d records but %d deletion marks", len(p.Records), len(p.Deleted))
		case pages > 100_000:
			return errors.New("the scan does not end")
		}
		for i, rec := range p.Records {
			if err := each(rec, p.Deleted != nil && p.Deleted[i]); err != nil {
				return err
			}
		}
		if p.Next == nil {
			return nil
		}
		if bytes.Compare(p.Next, req.After) <= 0 {
			return errors.New("the page's Next does not move on")
		}
		req.After = p.Next
	}
}

// fill creates n records ks.at(0..n-1).
func fill(ctx context.Context, b core.Backend, ks keys, n int, blob string) error {
	for from := 0; from < n; from += 500 {
		var ms []core.Mutation
		for i := from; i < min(n, from+500); i++ {
			ms = append(ms, put(ks.at(i), 0, fmt.Sprint(i), blob))
		}
		res, err := b.CommitMany(ctx, ms)
		if err != nil {
			return err
		}
		for i, one := range res {
			if one.Err != nil {
				return fmt.Errorf("create record %d: %w", from+i, one.Err)
			}
		}
	}
	return nil
}

func orderedAndWhole(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks, n := newKeys(), 1003
	if err := fill(ctx, b, ks, n, "b"); err != nil {
		return err
	}
	for _, limit := range []int{17, 59, 1000, 501} { // 17·59 = 1003: the last page is full
		i := 0
		err := walk(ctx, b, core.ScanRequest{Limit: limit, Hot: true}, func(rec core.Record, dead bool) error {
			if dead || i >= n || !bytes.Equal(rec.Key, ks.at(i)) || rec.Version != 1 || string(rec.Hot) != fmt.Sprint(i) || rec.Blob != nil {
				return fmt.Errorf("record %d is wrong, doubled or out of order", i)
			}
			i++
			return nil
		})
		if err != nil {
			return fmt.Errorf("pages of %d: %w", limit, err)
		}
		if i != n {
			return fmt.Errorf("pages of %d show %d of %d records", limit, i, n)
		}
	}
	return nil
}

func binaryOrder(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	sorted := []core.Key{{0}, {0, 0}, {0, 1}, {1}, core.Key("A"), core.Key("AA"), core.Key("B"), core.Key("a"),
		{0x7f, 0xff}, {0x80}, {0xc3, 0xa9}, {0xff}, {0xff, 0}, bytes.Repeat([]byte{0xff}, core.MaxKey)}
	for _, i := range []int{5, 0, 13, 7, 2, 9, 1, 12, 3, 11, 4, 8, 6, 10} {
		if err := want(ctx, b, put(sorted[i], 0, "h", "b"), 1); err != nil {
			return err
		}
	}
	for _, limit := range []int{1, 3, 100} {
		i := 0
		if err := walk(ctx, b, core.ScanRequest{Limit: limit}, func(rec core.Record, _ bool) error {
			if i >= len(sorted) || !bytes.Equal(rec.Key, sorted[i]) {
				return fmt.Errorf("position %d holds key %x", i, []byte(rec.Key))
			}
			i++
			return nil
		}); err != nil {
			return err
		}
		if i != len(sorted) {
			return fmt.Errorf("pages of %d show %d of %d keys", limit, i, len(sorted))
		}
	}
	return nil
}

func scanParts(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	if err := first(
		want(ctx, b, put(ks.at(0), 0, "h0", "b0"), 1), want(ctx, b, put(ks.at(1), 0, "h1", "b1"), 1),
		want(ctx, b, del(ks.at(1), 1), 2), want(ctx, b, put(ks.at(2), 0, "h2", "b2"), 1), want(ctx, b, putHot(ks.at(2), 1, "h3"), 2),
	); err != nil {
		return err
	}
	for mask := range 8 {
		req := core.ScanRequest{Limit: 10, Hot: mask&1 != 0, Blob: mask&2 != 0, Tombs: mask&4 != 0}
		var got []string
		if err := walk(ctx, b, req, func(rec core.Record, dead bool) error {
			got = append(got, fmt.Sprintf("%d:%d:%s:%s:%t", rec.Key[31], rec.Version, rec.Hot, rec.Blob, dead))
			return nil
		}); err != nil {
			return err
		}
		part := func(s string, on bool) string {
			if on {
				return s
			}
			return ""
		}
		wants := []string{fmt.Sprintf("0:1:%s:%s:false", part("h0", req.Hot), part("b0", req.Blob))}
		if req.Tombs {
			wants = append(wants, "1:2:::true")
		}
		wants = append(wants, fmt.Sprintf("2:2:%s:%s:false", part("h3", req.Hot), part("b2", req.Blob)))
		if fmt.Sprint(got) != fmt.Sprint(wants) {
			return fmt.Errorf("%+v gives %v, want %v", req, got, wants)
		}
	}
	return nil
}

func startAnywhere(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks := newKeys()
	for _, i := range []int{2, 4, 6} {
		if err := want(ctx, b, put(ks.at(i), 0, "h", "b"), 1); err != nil {
			return err
		}
	}
	for after, left := range []int{3, 3, 2, 2, 1, 1, 0, 0} {
		n := 0
		if err := walk(ctx, b, core.ScanRequest{After: ks.at(after), Limit: 10}, func(core.Record, bool) error { n++; return nil }); err != nil {
			return err
		}
		if n != left {
			return fmt.Errorf("after key %d come %d records, want %d", after, n, left)
		}
	}
	return nil
}

func wholeUnderChurn(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	ks, n := newKeys(), 300
	if err := fill(ctx, b, ks, n, "b"); err != nil { // every third stays untouched, one is changed, one deleted and made again
		return err
	}
	stop, errs := make(chan struct{}), make([]error, 2)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			at := map[int]core.Version{}
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				at[i%n] = max(at[i%n], 1)
				k, v := ks.at(i%n), at[i%n]
				switch {
				case w == 0 && i%3 == 1:
					_, errs[0] = commit(ctx, b, putHot(k, v, "changed"))
					at[i%n]++
				case w == 1 && i%3 == 2:
					var res []core.Result
					if res, errs[1] = b.CommitMany(ctx, []core.Mutation{del(k, v), put(k, 0, "again", "b")}); errs[1] == nil {
						errs[1] = errors.Join(res[0].Err, res[1].Err)
					}
					at[i%n] += 2
				}
				if errs[w] != nil {
					return
				}
			}
		})
	}
	for round := 0; round < 6 && err == nil; round++ {
		err = churnRound(ctx, b, ks, n, []int{1, 7, 50, 99, 100, 1000}[round])
	}
	close(stop)
	wg.Wait()
	return errors.Join(append(errs, err)...)
}

func churnRound(ctx context.Context, b core.Backend, ks keys, n, limit int) error {
	seen, last := map[string]int{}, core.Key(nil)
	if err := walk(ctx, b, core.ScanRequest{Limit: limit}, func(rec core.Record, _ bool) error {
		if bytes.Compare(rec.Key, last) <= 0 {
			return fmt.Errorf("key %x is doubled or out of order", []byte(rec.Key))
		}
		last = rec.Key
		seen[string(rec.Key)]++
		return nil
	}); err != nil {
		return err
	}
	for i := range n {
		if i%3 != 2 && seen[string(ks.at(i))] != 1 {
			return fmt.Errorf("pages of %d: a key present throughout was not shown", limit)
		}
	}
	return nil
}
