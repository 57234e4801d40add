package escrowtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/keposs/keposs/core"
)

var exports = []Case{
	{"ExportImport", "What Export gives, Import makes again elsewhere, in any order and twice: content, versions, request ids and tombstones.",
		"Copy whole records, not their meaning.", "M", 1, exportImport},
	{"ExportResumes", "An export goes on after any key it gave.", "After is a key, not a position.", "M", 1, exportResumes},
	{"ImportKeepsNewer", "Import leaves what is as new or newer, a tombstone too, and replaces what is older.",
		"Compare versions in the statement that writes.", "M", 1, importKeepsNewer},
	{"MovedGoesOn", "After a move a key's versions go on where they stood, after its tombstone too, and the last request repeated has its answer.",
		"Import the version and the request id with the record.", "M", 1, movedGoesOn},
	{"ImportBounds", "Records that could not have been exported are refused and nothing is written.",
		"Check before the first record is written.", "M", 1, importBounds},
}

const noExport = Skip("this backend does not export")

func exporter(b core.Backend) (core.Exporter, error) {
	x, ok := b.(core.Exporter)
	if !ok {
		return nil, noExport
	}
	return x, nil
}

// freshExporter opens a store that exports, on a place of its own.
func freshExporter(ctx context.Context, r *Rig) (*Fixture, core.Exporter, error) {
	f, err := r.Fresh(ctx)
	if err != nil {
		return nil, nil, err
	}
	x, err := exporter(f.Backend)
	if err != nil {
		return nil, nil, err
	}
	if _, err := x.Export(ctx, core.ScanRequest{Limit: 1}); errors.Is(err, core.Unsupported) {
		return nil, nil, noExport
	} else if err != nil {
		return nil, nil, err
	}
	return f, x, nil
}

// sample is n records of every kind: live, of a high version, large, without a
// blob, deleted.
func sample(ks keys, n int) (recs []core.Record, dead []bool) {
	for i := range n {
		r := core.Record{Key: ks.at(i), Version: core.Version(i%7 + 1), Hot: []byte(fmt.Sprint("hot", i)),
			Blob: []byte(strings.Repeat(fmt.Sprint(i, " "), 100)), ReqID: reqID()}
		switch i % 5 {
		case 1:
			r.Hot, r.Blob = nil, nil
		case 2:
			r.Version = 1 << 40
		case 3:
			r.Blob = nil
		}
		recs, dead = append(recs, r), append(dead, i%5 == 1)
	}
	return recs, dead
}

// bring imports records by pages.
func bring(ctx context.Context, x core.Exporter, recs []core.Record, dead []bool) error {
	for len(recs) > 0 {
		n := min(len(recs), 100)
		if err := x.Import(ctx, recs[:n], dead[:n]); err != nil {
			return fmt.Errorf("import: %w", err)
		}
		recs, dead = recs[n:], dead[n:]
	}
	return nil
}

// export gives all pages.
func export(ctx context.Context, x core.Exporter, limit int, each func(core.Record, bool) error) error {
	return paged(ctx, func(ctx context.Context, req core.ScanRequest) (core.Page, error) {
		p, err := x.Export(ctx, req)
		if err != nil {
			err = fmt.Errorf("export: %w", err)
		}
		return p, err
	}, core.ScanRequest{Limit: limit}, each)
}

func differs(a, b core.Record, aDead, bDead bool) string {
	switch {
	case !bytes.Equal(a.Key, b.Key):
		return "key"
	case aDead != bDead:
		return "deletion mark"
	case a.Version != b.Version:
		return "version"
	case a.ReqID != b.ReqID:
		return "request id"
	case !bytes.Equal(a.Hot, b.Hot):
		return "hot part"
	case !bytes.Equal(a.Blob, b.Blob):
		return "blob"
	}
	return ""
}

// same expects an export to give exactly recs, which are in order.
func same(ctx context.Context, x core.Exporter, recs []core.Record, dead []bool) error {
	i := 0
	if err := export(ctx, x, 61, func(r core.Record, gone bool) error {
		if i >= len(recs) {
			return fmt.Errorf("the export gives more than the %d records there are", len(recs))
		}
		if what := differs(r, recs[i], gone, dead[i]); what != "" {
			return fmt.Errorf("record %d has another %s (version %d, deleted %t; want version %d, deleted %t)", i, what, r.Version, gone, recs[i].Version, dead[i])
		}
		i++
		return nil
	}); err != nil {
		return err
	}
	if i != len(recs) {
		return fmt.Errorf("the export gives %d of %d records", i, len(recs))
	}
	return nil
}

// partly expects an export to give some of recs, each whole.
func partly(ctx context.Context, x core.Exporter, recs []core.Record, dead []bool) error {
	at := map[string]int{}
	for i, r := range recs {
		at[string(r.Key)] = i
	}
	return export(ctx, x, 500, func(r core.Record, gone bool) error {
		i, ok := at[string(r.Key)]
		if !ok {
			return errors.New("a record nobody imported is there")
		}
		if what := differs(r, recs[i], gone, dead[i]); what != "" {
			return fmt.Errorf("record %d was imported with another %s", i, what)
		}
		return nil
	})
}

func exportImport(ctx context.Context, r *Rig) error {
	_, x, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	recs, dead := sample(newKeys(), 300)
	for range 2 { // the second time nothing changes
		for at := len(recs); at > 0; at -= 75 {
			if err := x.Import(ctx, recs[at-75:at], dead[at-75:at]); err != nil {
				return fmt.Errorf("import: %w", err)
			}
		}
		if err := same(ctx, x, recs, dead); err != nil {
			return err
		}
	}
	_, y, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	if err := export(ctx, x, 100, func(one core.Record, gone bool) error {
		return y.Import(ctx, []core.Record{one}, []bool{gone})
	}); err != nil {
		return err
	}
	return same(ctx, y, recs, dead)
}

func exportResumes(ctx context.Context, r *Rig) error {
	_, x, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	recs, dead := sample(newKeys(), 40)
	if err := bring(ctx, x, recs, dead); err != nil {
		return err
	}
	for from := range recs {
		p, err := x.Export(ctx, core.ScanRequest{After: recs[from].Key, Limit: 7})
		if err != nil {
			return err
		}
		rest := recs[from+1:]
		if len(p.Records) != min(7, len(rest)) || (p.Next != nil) != (len(rest) > 7) {
			return fmt.Errorf("after record %d come %d, and more: %t; there are %d", from, len(p.Records), p.Next != nil, len(rest))
		}
		for i, one := range p.Records {
			if what := differs(one, rest[i], p.Deleted != nil && p.Deleted[i], dead[from+1+i]); what != "" {
				return fmt.Errorf("record %d after record %d has another %s", i, from, what)
			}
		}
	}
	return nil
}

func importKeepsNewer(ctx context.Context, r *Rig) error {
	b, x, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	ks := newKeys()
	one := func(k core.Key, v core.Version, hot string, gone bool) error {
		rec := core.Record{Key: k, Version: v, Hot: []byte(hot), Blob: []byte(hot), ReqID: reqID()}
		if gone {
			rec.Hot, rec.Blob = nil, nil
		}
		return x.Import(ctx, []core.Record{rec}, []bool{gone})
	}
	live, gone := ks.at(0), ks.at(1)
	return first(
		want(ctx, b, put(live, 0, "1", "1"), 1), want(ctx, b, putHot(live, 1, "2"), 2), want(ctx, b, putHot(live, 2, "3"), 3),
		want(ctx, b, put(gone, 0, "1", "1"), 1), want(ctx, b, del(gone, 1), 2),
		one(live, 2, "older", false), holds(ctx, b, live, 3, "3", "1"),
		one(live, 3, "as new", false), holds(ctx, b, live, 3, "3", "1"),
		one(live, 2, "", true), holds(ctx, b, live, 3, "3", "1"),
		one(gone, 1, "older", false), holds(ctx, b, gone, 0, "", ""), refused(ctx, b, del(gone, 1), core.NotFound, 2),
		one(live, 9, "newer", false), holds(ctx, b, live, 9, "newer", "newer"),
		one(gone, 5, "newer", false), holds(ctx, b, gone, 5, "newer", "newer"),
		one(live, 10, "", true), holds(ctx, b, live, 0, "", ""), refused(ctx, b, del(live, 9), core.NotFound, 10))
}

func movedGoesOn(ctx context.Context, r *Rig) error {
	b, x, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	to, y, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	ks := newKeys()
	last, gone, again := putHot(ks.at(0), 1, "h2"), del(ks.at(1), 1), put(ks.at(2), 0, "h3", "b3")
	if err := first(
		want(ctx, b, put(ks.at(0), 0, "h", "b"), 1), want(ctx, b, last, 2),
		want(ctx, b, put(ks.at(1), 0, "h", "b"), 1), want(ctx, b, gone, 2),
		want(ctx, b, put(ks.at(2), 0, "h", "b"), 1), want(ctx, b, del(ks.at(2), 1), 2), want(ctx, b, again, 3),
		export(ctx, x, 2, func(one core.Record, dead bool) error {
			return y.Import(ctx, []core.Record{one}, []bool{dead})
		})); err != nil {
		return err
	}
	return first(
		holds(ctx, to, ks.at(0), 2, "h2", "b"), holds(ctx, to, ks.at(1), 0, "", ""), holds(ctx, to, ks.at(2), 3, "h3", "b3"),
		want(ctx, to, last, 2), want(ctx, to, gone, 2), want(ctx, to, again, 3),
		want(ctx, to, put(ks.at(0), 2, "h4", "b4"), 3), want(ctx, to, put(ks.at(1), 0, "h4", "b4"), 3), want(ctx, to, del(ks.at(2), 3), 4))
}

func importBounds(ctx context.Context, r *Rig) error {
	_, x, err := freshExporter(ctx, r)
	if err != nil {
		return err
	}
	good := core.Record{Key: newKeys().at(0), Version: 1, Hot: []byte("h"), ReqID: reqID()}
	bad := func(change func(*core.Record)) []core.Record {
		one := good
		one.Key = newKeys().at(0)
		change(&one)
		return []core.Record{good, one}
	}
	for name, c := range map[string]struct {
		recs []core.Record
		dead []bool
		code core.Code
	}{
		"version 0":              {bad(func(r *core.Record) { r.Version = 0 }), nil, core.Invalid},
		"empty key":              {bad(func(r *core.Record) { r.Key = nil }), nil, core.Invalid},
		"key of 65":              {bad(func(r *core.Record) { r.Key = make(core.Key, core.MaxKey+1) }), nil, core.TooLarge},
		"hot of 513":             {bad(func(r *core.Record) { r.Hot = make([]byte, core.MaxHot+1) }), nil, core.TooLarge},
		"blob of 64 KiB + 1":     {bad(func(r *core.Record) { r.Blob = make([]byte, core.MaxBlob+1) }), nil, core.TooLarge},
		"tombstone with content": {bad(func(*core.Record) {}), []bool{false, true}, core.Invalid},
		"marks of another count": {bad(func(*core.Record) {}), []bool{false}, core.Invalid},
	} {
		if err := isCode(x.Import(ctx, c.recs, c.dead), c.code, 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return same(ctx, x, nil, nil)
}
