package escrowtest

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/keposs/keposs/core"
)

var borders = []Case{
	{"Borders", "Keys of 1 to 64 bytes of any value, Hot of 0 to 512, Blob of 0 to 64 KiB are kept as they are.",
		"Look for terminators, encodings and column limits.", "A", 0, keptBorders},
	{"RefusesOutOfBounds", "Larger input is TooLarge, a broken form Invalid, before anything is written.",
		"Check before the first byte is stored.", "A", 0, outOfBounds},
	{"EmptyCalls", "A call without keys or mutations succeeds with nothing.", "Return early.", "A", 0,
		func(ctx context.Context, r *Rig) error {
			b, err := r.Common(ctx)
			if err != nil {
				return err
			}
			rs, err := b.GetMany(ctx, nil, core.ReadOpts{})
			if err != nil || len(rs) != 0 {
				return fmt.Errorf("GetMany of nothing: %d records, %v", len(rs), err)
			}
			res, err := b.CommitMany(ctx, nil)
			if err != nil || len(res) != 0 {
				return fmt.Errorf("CommitMany of nothing: %d results, %v", len(res), err)
			}
			return nil
		}},
}

func keptBorders(ctx context.Context, r *Rig) error {
	b, err := r.Fresh(ctx)
	if err != nil {
		return err
	}
	sizes := []struct{ hot, blob int }{{0, 0}, {1, 1}, {core.MaxHot, core.MaxBlob}, {100, 1023}, {100, 1024}, {100, 1025}, {0, 70}, {70, 0}}
	ks := []core.Key{{0}, {0xff}, bytes.Repeat([]byte{0xff}, core.MaxKey), make(core.Key, core.MaxKey),
		{0, 0}, core.Key("a\x00b"), core.Key("A"), core.Key("a")}
	for i, k := range ks {
		s := sizes[i%len(sizes)]
		hot, blob := strings.Repeat("\x00", s.hot), strings.Repeat("\xfe", s.blob)
		if err := want(ctx, b, put(k, 0, hot, blob), 1); err != nil {
			return fmt.Errorf("key of %d bytes, hot %d, blob %d: %w", len(k), s.hot, s.blob, err)
		}
	}
	for i, k := range ks {
		s := sizes[i%len(sizes)]
		if err := holds(ctx, b, k, 1, strings.Repeat("\x00", s.hot), strings.Repeat("\xfe", s.blob)); err != nil {
			return fmt.Errorf("key %x: %w", []byte(k), err)
		}
	}
	return nil
}

func outOfBounds(ctx context.Context, r *Rig) error {
	b, err := r.Common(ctx)
	if err != nil {
		return err
	}
	k := newKeys().at(0)
	if err := want(ctx, b, put(k, 0, "h", "b"), 1); err != nil {
		return err
	}
	for _, c := range []struct {
		name string
		m    core.Mutation
		code core.Code
	}{
		{"hot of 513", core.Mutation{Key: k, Expect: 1, Op: core.OpPutHot, Hot: make([]byte, core.MaxHot+1)}, core.TooLarge},
		{"blob of 64 KiB + 1", core.Mutation{Key: k, Expect: 1, Op: core.OpPut, Blob: make([]byte, core.MaxBlob+1)}, core.TooLarge},
		{"key of 65", core.Mutation{Key: make(core.Key, core.MaxKey+1), Op: core.OpPut}, core.TooLarge},
		{"empty key", core.Mutation{Op: core.OpPut}, core.Invalid},
		{"op 0", core.Mutation{Key: k, Expect: 1}, core.Invalid},
		{"op 9", core.Mutation{Key: k, Expect: 1, Op: 9}, core.Invalid},
		{"put-hot that expects nothing", core.Mutation{Key: k, Op: core.OpPutHot}, core.Invalid},
	} {
		if err := refused(ctx, b, c.m, c.code, 0); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	if _, err := b.GetMany(ctx, []core.Key{make(core.Key, core.MaxKey+1)}, core.ReadOpts{}); isCode(err, core.TooLarge, 0) != nil {
		return fmt.Errorf("reading a key of 65 bytes: %v, want too-large", err)
	}
	if _, err := b.GetMany(ctx, []core.Key{{}}, core.ReadOpts{}); isCode(err, core.Invalid, 0) != nil {
		return fmt.Errorf("reading an empty key: %v, want invalid", err)
	}
	return holds(ctx, b, k, 1, "h", "b")
}
