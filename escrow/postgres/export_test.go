package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/keposs/keposs/core"
)

// exportsInHalves expects of large pages, which are read in two halves, what small
// ones give.
func exportsInHalves(t *testing.T, b core.Backend) {
	const records = 701
	for from := 0; from < records; from += 100 {
		var ms []core.Mutation
		for i := from; i < min(records, from+100); i++ {
			ms = append(ms, core.Mutation{Key: core.Key(fmt.Sprintf("half %04d", i)), Op: core.OpPut, Hot: []byte("hot"), Blob: bytes.Repeat([]byte{byte(i)}, 1+i%3000)})
			if i%7 == 0 {
				ms = append(ms, core.Mutation{Key: ms[len(ms)-1].Key, Expect: 1, Op: core.OpDelete})
			}
		}
		res, err := b.CommitMany(t.Context(), ms)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range res {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
	all := func(limit int) (recs []core.Record, dead []bool) {
		for req := (core.ScanRequest{Limit: limit}); ; {
			p, err := b.(core.Exporter).Export(context.Background(), req)
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Records) > limit || len(p.Records) != len(p.Deleted) {
				t.Fatalf("a page of %d has %d records, %d marks", limit, len(p.Records), len(p.Deleted))
			}
			recs, dead = append(recs, p.Records...), append(dead, p.Deleted...)
			if p.Next == nil {
				return recs, dead
			}
			req.After = p.Next
		}
	}
	want, wantDead := all(150)
	if len(want) != records {
		t.Fatalf("%d records, want %d", len(want), records)
	}
	for _, limit := range []int{200, 201, 350, 701, 1000} {
		got, dead := all(limit)
		if len(got) != records {
			t.Fatalf("pages of %d: %d records, want %d", limit, len(got), records)
		}
		for i, r := range got {
			w := want[i]
			if !bytes.Equal(r.Key, w.Key) || r.Version != w.Version || r.ReqID != w.ReqID || !bytes.Equal(r.Hot, w.Hot) || !bytes.Equal(r.Blob, w.Blob) || dead[i] != wantDead[i] {
				t.Fatalf("pages of %d: record %d differs", limit, i)
			}
		}
	}
}
