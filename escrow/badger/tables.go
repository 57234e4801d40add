package badger

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"google.golang.org/protobuf/proto"

	"github.com/keposs/keposs/core"
)

// A listed table is one the store is made of, by its manifest.
type listed struct {
	path  string
	level int
	size  int64
}

// listTables reads the manifest: tables of upper levels first, which newer states
// lie in. There are none where there is no manifest.
func listTables(o db.Options) ([]listed, error) {
	f, err := os.Open(filepath.Join(o.Dir, db.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, core.Errorf(core.Unavailable, openOp, "%w", err)
	}
	m, _, err := db.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, core.Errorf(core.Corrupt, openOp, "the list of tables of %s does not read; restore from a snapshot: %w", o.Dir, err)
	}
	var out []listed
	for id, t := range m.Tables {
		l := listed{path: table.NewFilename(id, o.Dir), level: int(t.Level)}
		if st, err := os.Stat(l.path); err == nil { // else opening it says what is wrong
			l.size = st.Size()
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b listed) int {
		return cmp.Or(cmp.Compare(a.level, b.level), strings.Compare(a.path, b.path))
	})
	return out, nil
}

// damagedTable is the error for a table that does not verify.
func damagedTable(path string, err error) error {
	return core.Errorf(core.Corrupt, openOp, "table %s is damaged; restore from a snapshot: %w", filepath.Base(path), err)
}

// each runs f on every table and returns one of its errors. More run at once than
// there are processors, for most of it is waiting for a cold disk.
func each(tables []listed, f func(listed) error) (err error) {
	next := make(chan listed)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for t := range next {
				if terr := f(t); terr != nil {
					mu.Lock()
					err = damagedTable(t.path, terr)
					mu.Unlock()
				}
			}
		})
	}
	for _, t := range tables {
		next <- t
	}
	close(next)
	wg.Wait()
	return err
}

// checkTable verifies one file: its blocks, its index, the checksum of the index
// and the lengths of both.
func checkTable(path string) error {
	return opened(path, check)
}

// outline verifies what Badger reads of a file to open it, and where its blocks
// lie, and returns its first key, with Badger's timestamp.
func outline(path string) (first []byte, err error) {
	err = opened(path, func(r io.ReaderAt, size int64) error {
		first, err = outlined(r, size)
		return err
	})
	return first, err
}

// opened reads a file by calls: a mapping holds up the whole processor while the
// disk is asked.
func opened(path string, f func(io.ReaderAt, int64) error) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	st, err := file.Stat()
	if err != nil {
		return err
	}
	return f(file, st.Size())
}

// caught makes a panic an error: an index was made to fit its checksum.
func caught(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%v", r)
	}
}

// window is how much of a table is read at once.
const window = 1 << 20

func check(r io.ReaderAt, size int64) (err error) {
	defer caught(&err)
	t, err := readIndex(r, size)
	if err != nil {
		return err
	}
	var buf []byte
	for i, n := 0, 0; i < t.len(); i += n {
		// As many blocks as follow each other in a window, at least one.
		for n = 1; i+n < t.len() && t.at(i+n) == t.end(i+n-1) && t.end(i+n)-t.at(i) <= window; n++ {
		}
		buf = slices.Grow(buf[:0], int(t.end(i+n-1)-t.at(i)))[:t.end(i+n-1)-t.at(i)]
		if _, err := r.ReadAt(buf, t.at(i)); err != nil {
			return err
		}
		for j := i; j < i+n; j++ {
			if err := checkBlock(buf[t.at(j)-t.at(i) : t.end(j)-t.at(i)]); err != nil {
				return fmt.Errorf("block %d: %w", j, err)
			}
		}
	}
	return nil
}

func outlined(r io.ReaderAt, size int64) (first []byte, err error) {
	defer caught(&err)
	t, err := readIndex(r, size)
	if err != nil {
		return nil, err
	}
	last := make([]byte, t.end(t.len()-1)-t.at(t.len()-1))
	if _, err := r.ReadAt(last, t.at(t.len()-1)); err != nil {
		return nil, err
	}
	var at fb.BlockOffset
	t.index.Offsets(&at, 0)
	return bytes.Clone(at.KeyBytes()), checkBlock(last)
}

// blocks is where the blocks of a table lie, as its index says.
type blocks struct {
	index *fb.TableIndex
}

func (t blocks) len() int { return t.index.OffsetsLength() }

func (t blocks) at(i int) int64 {
	var b fb.BlockOffset
	t.index.Offsets(&b, i)
	return int64(b.Offset())
}

func (t blocks) end(i int) int64 {
	var b fb.BlockOffset
	t.index.Offsets(&b, i)
	return int64(b.Offset()) + int64(b.Len())
}

// readIndex reads and verifies a table's index: it has blocks, and all lie before
// it.
func readIndex(r io.ReaderAt, size int64) (blocks, error) {
	foot := make([]byte, min(size, 512)) // more than the checksum and two lengths
	if _, err := r.ReadAt(foot, size-int64(len(foot))); err != nil {
		return blocks{}, err
	}
	rest, sum, err := summed(foot)
	if err != nil {
		return blocks{}, err
	}
	if len(rest) < 4 {
		return blocks{}, errShort
	}
	end := size - int64(len(foot)-len(rest)) - 4
	n := int64(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	if n > end {
		return blocks{}, errShort
	}
	data := make([]byte, n)
	if _, err := r.ReadAt(data, end-n); err != nil {
		return blocks{}, err
	}
	if err := y.VerifyChecksum(data, sum); err != nil {
		return blocks{}, err
	}
	t := blocks{index: fb.GetRootAsTableIndex(data, 0)}
	if t.len() == 0 {
		return blocks{}, errors.New("no blocks") // which ends the process in Badger
	}
	for i := range t.len() {
		if t.end(i) > end-n {
			return blocks{}, fmt.Errorf("block %d lies outside", i)
		}
	}
	return t, nil
}

func checkBlock(b []byte) error {
	data, sum, err := summed(b)
	if err != nil {
		return err
	}
	return y.VerifyChecksum(data, sum)
}

var errShort = errors.New("a length goes beyond the file")

// summed splits off a checksum, which names its own algorithm, and its length, in
// the last four bytes.
func summed(b []byte) (rest []byte, sum *pb.Checksum, err error) {
	if len(b) < 4 {
		return nil, nil, errShort
	}
	n := binary.BigEndian.Uint32(b[len(b)-4:])
	if b = b[:len(b)-4]; uint64(n) > uint64(len(b)) {
		return nil, nil, errShort
	}
	rest, sum = b[:len(b)-int(n)], &pb.Checksum{}
	return rest, sum, proto.Unmarshal(b[len(rest):], sum)
}
