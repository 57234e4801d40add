package escrowtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/keposs/keposs/core"
)

var damages = []Case{
	{"BitFlipped", "One bit changed in any file makes a store that says Corrupt, or one that is right: never an older state, never another content.",
		"Carry a checksum that covers the key with every record, and check it on every read.", "J", 1,
		func(ctx context.Context, r *Rig) error {
			return damaged(ctx, r, 10, func(rnd *rand.Rand, b []byte) []byte {
				out := bytes.Clone(b)
				out[used(rnd, b)] ^= 1 << rnd.IntN(8)
				return out
			})
		}},
	{"Truncated", "A file cut short makes a store that says Corrupt, or one that is right: never an older state.",
		"Remember outside the file how far it was acknowledged.", "J", 1,
		func(ctx context.Context, r *Rig) error {
			return damaged(ctx, r, 6, func(rnd *rand.Rand, b []byte) []byte { return b[:used(rnd, b)] })
		}},
	{"Overwritten", "Zeros or noise over part of a file make a store that says Corrupt, or one that is right.",
		"The same.", "J", 1,
		func(ctx context.Context, r *Rig) error {
			return damaged(ctx, r, 6, func(rnd *rand.Rand, b []byte) []byte {
				out, at := bytes.Clone(b), used(rnd, b)
				part := out[at:min(len(out), at+1+rnd.IntN(4096))]
				clear(part)
				if rnd.IntN(2) == 0 {
					for i := range part {
						part[i] = byte(rnd.Uint32())
					}
				}
				return out
			})
		}},
}

// used is a random place in b, mostly where there is something: engines make
// their files larger than what is in them.
func used(rnd *rand.Rand, b []byte) int {
	n := len(bytes.TrimRight(b, "\x00"))
	if n == 0 || rnd.IntN(8) == 0 {
		n = len(b)
	}
	return rnd.IntN(n)
}

// A state is what was acknowledged: a record with its deletion mark, by key.
type state map[string]struct {
	core.Record
	dead bool
}

// contents writes n records of different ages through b and returns what it was
// told.
func contents(ctx context.Context, b core.Backend, ks keys, n int) (state, error) {
	want := state{}
	write := func(m core.Mutation) error {
		v, err := commit(ctx, b, m)
		if err != nil {
			return err
		}
		was := want[string(m.Key)]
		was.Record = core.Record{Key: m.Key, Version: v, Hot: m.Hot, Blob: m.Blob, ReqID: m.ReqID}
		if m.Op == core.OpPutHot {
			was.Blob = want[string(m.Key)].Blob
		}
		was.dead = m.Op == core.OpDelete
		want[string(m.Key)] = was
		return nil
	}
	for i := range n {
		k := ks.at(i)
		steps := []core.Mutation{put(k, 0, fmt.Sprint("first", i), strings.Repeat("blob", 100*(i%9))), putHot(k, 1, fmt.Sprint("second", i))}
		switch i % 4 {
		case 1:
			steps = append(steps, put(k, 2, "third", strings.Repeat(fmt.Sprint("rev", i), 300)))
		case 2:
			steps = append(steps, del(k, 2))
		}
		for _, m := range steps {
			if err := write(m); err != nil {
				return nil, err
			}
		}
	}
	return want, nil
}

// honest expects b to hold want, or to say Corrupt where it does not.
func (want state) honest(ctx context.Context, b core.Backend) error {
	for key, w := range want {
		r, err := get(ctx, b, core.Key(key))
		if err != nil {
			if errors.Is(err, core.Corrupt) {
				continue
			}
			return fmt.Errorf("read: %w", err)
		}
		if w.dead && r.Version == 0 {
			continue
		}
		if w.dead {
			return fmt.Errorf("a deleted key is readable at version %d", r.Version)
		}
		if what := differs(w.Record, r, false, false); what != "" {
			return fmt.Errorf("read without a word: another %s, version %d, acknowledged %d", what, r.Version, w.Version)
		}
	}
	seen := 0
	err := walk(ctx, b, core.ScanRequest{Limit: 16, Hot: true, Blob: true, Tombs: true}, func(r core.Record, dead bool) error {
		w := want[string(r.Key)]
		if what := differs(w.Record, r, w.dead, dead); what != "" {
			return fmt.Errorf("scanned without a word: another %s, version %d, acknowledged %d", what, r.Version, w.Version)
		}
		seen++
		return nil
	})
	switch {
	case errors.Is(err, core.Corrupt):
		return nil
	case err == nil && seen != len(want):
		return fmt.Errorf("a scan shows %d of %d records without a word", seen, len(want))
	}
	return err
}

// reopened opens p and expects want, or Corrupt.
func (r *Rig) reopened(ctx context.Context, p *Place, want state) (corrupt bool, err error) {
	b, err := r.New()
	if err != nil {
		return false, fmt.Errorf("harness: new backend: %w", err)
	}
	defer b.Close()
	if err := b.Configure(ctx, p.Config); errors.Is(err, core.Corrupt) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("open: %w", err)
	}
	return false, want.honest(ctx, b)
}

// closedStore is a place with a closed store of n records in it.
func closedStore(ctx context.Context, r *Rig, n int) (*Place, state, error) {
	f, err := r.Fresh(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := r.outOfReach(f.Place); err != nil {
		return nil, nil, err
	}
	want, err := contents(ctx, f, newKeys(), n)
	if err != nil {
		return nil, nil, err
	}
	return f.Place, want, f.Backend.Close()
}

func damaged(ctx context.Context, r *Rig, tries int, harm func(*rand.Rand, []byte) []byte) error {
	place, want, err := closedStore(ctx, r, 24)
	if err != nil {
		return err
	}
	whole, err := keep(place.Dir, place.Head)
	if err != nil {
		return err
	}
	names := whole.names()
	rnd := rand.New(rand.NewPCG(11, uint64(tries)))
	if r.Kill != nil { // each takes a process, and changes nothing about the engine
		tries /= 3
	}
	for n := range r.rounds(tries) {
		name := names[(n+rnd.IntN(2))%len(names)]
		if err := os.WriteFile(name, harm(rnd, whole[name]), 0o600); err != nil {
			return fmt.Errorf("harness: damage %s: %w", filepath.Base(name), err)
		}
		if _, err := r.reopened(ctx, place, want); err != nil {
			return fmt.Errorf("try %d, damage in %s: %w", n, filepath.Base(name), err)
		}
		if err := whole.putBack(place.Dir); err != nil {
			return err
		}
	}
	if corrupt, err := r.reopened(ctx, place, want); corrupt || err != nil {
		return fmt.Errorf("the files put back whole: corrupt %t, %w", corrupt, err)
	}
	return nil
}
