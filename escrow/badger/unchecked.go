package badger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"

	"github.com/keposs/keposs/core"
)

// Badger opens without a table whose index is damaged, takes a damaged block for
// absent keys, so that an older state of them shows, drops what is in it at the
// next compaction, and ends the process over a damaged footer. So every table is
// verified here, and nothing that comes out of one is told before it is.
//
// A store that was not closed is verified before it opens, one that was closed
// only as far as Badger reads it to open, and its newest tables up to eager bytes:
// a table beyond is verified when the first key it may hold is asked for, else in
// the background. Until then a link keeps it: a compaction may put another in its
// place, and what a damaged block lost by that would be told by nothing else.
// Should the process end over a block while it compacts, the next opening
// verifies everything.

const openOp = "escrow/badger: open"

// eager is how much of a large store is verified before it opens, in bytes.
const eager = 64 << 20

// An old table was there when the store was opened.
type old struct {
	link  string // its own name in the folder of links
	first []byte // key without timestamp
	check sync.Once
	err   error
}

// unchecked is what is left to verify.
type unchecked struct {
	dir    string
	left   atomic.Int64
	levels [][]*old // by level, then by first key
	fail   func(error)
}

// checkTables verifies what must be before Badger opens the store. fail is told
// of damage that is found later, once for each table.
func checkTables(o db.Options, eager int64, fail func(error)) (*unchecked, error) {
	u := &unchecked{dir: filepath.Join(o.Dir, "unchecked"), fail: fail}
	tables, err := listTables(o)
	if err != nil {
		return nil, err
	}
	clean, err := takeClean(o.Dir)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, openOp, "%w", err)
	}
	kept, err := filepath.Glob(filepath.Join(u.dir, "*.sst"))
	if err != nil {
		return nil, core.Errorf(core.Unavailable, openOp, "%w", err)
	}
	for _, path := range kept {
		tables, clean = append(tables, listed{path: path}), false
	}
	now := len(tables)
	if clean {
		for now = 0; now < len(tables) && eager >= 0; now++ {
			eager -= tables[now].size
		}
	}
	if err := each(tables[:now], func(t listed) error { return checkTable(t.path) }); err != nil {
		return nil, err
	}
	if err := os.RemoveAll(u.dir); err != nil {
		return nil, core.Errorf(core.Unavailable, openOp, "%w", err)
	}
	return u, u.keep(tables[now:])
}

// keep verifies the outline of tables and links them.
func (u *unchecked) keep(tables []listed) error {
	if len(tables) == 0 {
		return nil
	}
	if err := os.Mkdir(u.dir, 0o700); err != nil {
		return core.Errorf(core.Unavailable, openOp, "%w", err)
	}
	u.levels = make([][]*old, tables[len(tables)-1].level+1)
	var mu sync.Mutex
	err := each(tables, func(t listed) error {
		link := filepath.Join(u.dir, filepath.Base(t.path))
		if os.Link(t.path, link) != nil { // not every file system can
			return checkTable(t.path)
		}
		first, err := outline(t.path)
		if err != nil {
			return err
		}
		if len(first) < 8 {
			return errors.New("a key without timestamp")
		}
		mu.Lock()
		u.levels[t.level] = append(u.levels[t.level], &old{link: link, first: y.ParseKey(first)})
		mu.Unlock()
		u.left.Add(1)
		return nil
	})
	for _, l := range u.levels {
		slices.SortFunc(l, func(a, b *old) int { return bytes.Compare(a.first, b.first) })
	}
	if err == nil { // the links, and that the store is no longer closed
		if err = errors.Join(syncDir(u.dir), syncDir(filepath.Dir(u.dir))); err != nil {
			err = core.Errorf(core.Unavailable, openOp, "%w", err)
		}
	}
	return err
}

// span verifies every table that may hold a key from low to high, both
// included; high nil: to the end.
func (u *unchecked) span(low, high []byte) error {
	if u.left.Load() == 0 {
		return nil
	}
	for level, tables := range u.levels {
		for i, t := range tables {
			if high != nil && bytes.Compare(t.first, high) > 0 {
				break
			}
			// Tables below the topmost level do not overlap.
			if level > 0 && i+1 < len(tables) && bytes.Compare(tables[i+1].first, low) <= 0 {
				continue
			}
			if err := u.verify(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// keys verifies every table that may hold a part of these records.
func (u *unchecked) keys(keys ...core.Key) error {
	if u.left.Load() == 0 {
		return nil
	}
	for _, k := range keys {
		for _, part := range [][]byte{hotKey(k), blobKey(k)} {
			if err := u.span(part, part); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *unchecked) verify(t *old) error {
	t.check.Do(func() {
		if err := checkTable(t.link); err != nil {
			t.err = damagedTable(t.link, err)
			u.fail(t.err)
			return // the link stays: the next opening finds it too
		}
		_ = os.Remove(t.link) // what is not removed is verified again
		if u.left.Add(-1) == 0 {
			_ = os.Remove(u.dir)
		}
	})
	return t.err
}

// rest verifies what nobody asked for, at half speed, until it is done or stop is
// closed. A damaged table ends it: the store has stopped.
func (u *unchecked) rest(stop <-chan struct{}) {
	for _, l := range u.levels {
		for _, t := range l {
			begun := time.Now()
			if u.verify(t) != nil {
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(time.Since(begun)):
			}
		}
	}
}
