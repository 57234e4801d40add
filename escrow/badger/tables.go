package badger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"

	db "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/pb"
	"github.com/dgraph-io/badger/v4/table"
	"github.com/dgraph-io/badger/v4/y"
	"github.com/dgraph-io/ristretto/v2/z"
	"google.golang.org/protobuf/proto"

	"github.com/keposs/keposs/core"
)

// checkTables reads every table the store is made of and verifies its
// checksums, before Badger opens it. Badger itself opens without a table whose
// index is damaged, takes a damaged block for an absent key, so that an older
// state of it shows, drops what is in it at the next compaction, and ends the
// process over a damaged footer.
//
// It is not put off until a table is read: a compaction may put another in a
// table's place meanwhile, and Badger cuts the old one to nothing before it
// removes it, so that a second name of the file does not keep it either.
func checkTables(o db.Options) error {
	f, err := os.Open(filepath.Join(o.Dir, db.ManifestFilename))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return core.Errorf(core.Unavailable, "escrow/badger: open", "%w", err)
	}
	m, _, err := db.ReplayManifestFile(f, o.ExternalMagicVersion, o)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return core.Errorf(core.Corrupt, "escrow/badger: open", "the list of tables of %s does not read; restore from a snapshot: %w", o.Dir, err)
	}
	ids := make(chan uint64)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(4, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			debug.SetPanicOnFault(true)
			for id := range ids {
				if terr := checkTable(table.NewFilename(id, o.Dir)); terr != nil {
					mu.Lock()
					err = core.Errorf(core.Corrupt, "escrow/badger: open", "table %s is damaged; restore from a snapshot: %w", table.IDToFilename(id), terr)
					mu.Unlock()
				}
			}
		})
	}
	for id := range m.Tables {
		ids <- id
	}
	close(ids)
	wg.Wait()
	return err
}

// checkTable verifies one file.
func checkTable(path string) (err error) {
	f, err := z.OpenMmapFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(-1)) }()
	return checkBytes(f.Data)
}

// checkBytes verifies a table's blocks, index, checksum of the index and the
// lengths of both, from the end.
func checkBytes(b []byte) (err error) {
	defer func() {
		if r := recover(); r != nil { // a damaged mapping, or an index that was made to fit its checksum
			err = fmt.Errorf("%v", r)
		}
	}()
	rest, sum, err := summed(b)
	if err != nil {
		return err
	}
	rest, index, err := tail(rest)
	if err != nil {
		return err
	}
	if err := y.VerifyChecksum(index, sum); err != nil {
		return err
	}
	t := fb.GetRootAsTableIndex(index, 0)
	if t.OffsetsLength() == 0 {
		return errors.New("no blocks") // which ends the process in Badger
	}
	var at fb.BlockOffset
	for i := range t.OffsetsLength() {
		if !t.Offsets(&at, i) || uint64(at.Offset())+uint64(at.Len()) > uint64(len(rest)) {
			return errors.New("a block lies outside")
		}
		data, sum, err := summed(rest[at.Offset() : at.Offset()+at.Len()])
		if err == nil {
			err = y.VerifyChecksum(data, sum)
		}
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// tail splits off what the length in the last four bytes covers.
func tail(b []byte) (rest, part []byte, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("too short")
	}
	n := binary.BigEndian.Uint32(b[len(b)-4:])
	if b = b[:len(b)-4]; uint64(n) > uint64(len(b)) {
		return nil, nil, errors.New("a length goes beyond the file")
	}
	return b[:len(b)-int(n)], b[len(b)-int(n):], nil
}

// summed splits off a checksum, which names its own algorithm.
func summed(b []byte) (rest []byte, sum *pb.Checksum, err error) {
	rest, part, err := tail(b)
	if err != nil {
		return nil, nil, err
	}
	sum = &pb.Checksum{}
	if err := proto.Unmarshal(part, sum); err != nil {
		return nil, nil, err
	}
	return rest, sum, nil
}
