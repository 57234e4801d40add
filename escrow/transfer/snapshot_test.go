package transfer_test

import (
	"bytes"
	"context"
	"io"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/transfer"
)

func snapshot(t testing.TB, s transfer.Store) ([]byte, transfer.SnapshotReport) {
	t.Helper()
	var b bytes.Buffer
	r, err := transfer.Snapshot(bg, s, &b, 1_800_000_000, nil)
	must(t, err)
	return b.Bytes(), r
}

func from(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

var marker = core.Record{Key: core.Key("restored"), Version: 1, Hot: []byte("restored")}

// A snapshot of one engine restores into another: the same records, and the
// mark that has their users frozen.
func TestSnapshotRestore(t *testing.T) {
	a, b := onDisk(t), inMemory(t)
	fill(t, a, 1500)
	file, r := snapshot(t, a)
	read, err := transfer.Read(bytes.NewReader(file), nil)
	must(t, err)
	if read != r || r.Bytes != uint64(len(file)) || r.Records+r.Tombstones != 1501 {
		t.Fatalf("read %+v, written %+v", read, r)
	}
	got, err := transfer.Restore(bg, b, from(file), transfer.RestoreOptions{Last: last, Mark: marker})
	must(t, err)
	if got.Store != r.Store {
		t.Fatalf("restored %s, want %s", got.Store, r.Store)
	}
	have := dump(t, b)
	if have["restored"] == "" {
		t.Fatal("nothing says that the store was restored")
	}
	delete(have, "restored")
	equal(t, dump(t, a), have)
	// Over an SS-CC nothing is restored: it could give tries back.
	_, err = transfer.Restore(bg, b, from(file), transfer.RestoreOptions{Last: last, Mark: marker})
	want(t, err, core.State)
}

// Interrupted after any block, a restore has marked the store, has not made it
// servable, and is completed by running it again.
func TestRestoreInterrupted(t *testing.T) {
	a := inMemory(t)
	fill(t, a, 2200)
	file, _ := snapshot(t, a)
	for stop := 1; ; stop++ {
		b := inMemory(t)
		ctx, cancel := context.WithCancel(bg)
		n := 0
		_, err := transfer.Restore(ctx, b, from(file), transfer.RestoreOptions{Last: last, Mark: marker, Progress: func(transfer.Progress) {
			if n++; n == stop {
				cancel()
			}
		}})
		cancel()
		if n < stop {
			must(t, err)
			if stop < 3 {
				t.Fatalf("only %d blocks", stop)
			}
			return
		}
		have := dump(t, b)
		if have["restored"] == "" || have[string(last)] != "" {
			t.Fatalf("stopped at block %d: marked %q, root %q", stop, have["restored"], have[string(last)])
		}
		_, err = transfer.Restore(bg, b, from(file), transfer.RestoreOptions{Last: last, Mark: marker})
		must(t, err)
		have = dump(t, b)
		delete(have, "restored")
		equal(t, dump(t, a), have)
	}
}

// Every changed byte, every cut and every addition is noticed before anything is
// written.
func TestSnapshotChanged(t *testing.T) {
	a := inMemory(t)
	fill(t, a, 30)
	file, _ := snapshot(t, a)
	refused := func(what string, at int, b []byte) {
		t.Helper()
		s := inMemory(t)
		_, err := transfer.Restore(bg, s, from(b), transfer.RestoreOptions{Last: last, Mark: marker})
		if c := core.CodeOf(err); c != core.Corrupt && c != core.Unsupported {
			t.Fatalf("%s at %d: %v", what, at, err)
		}
		if len(dump(t, s)) != 0 {
			t.Fatalf("%s at %d: something was written", what, at)
		}
	}
	for i := 0; i < len(file); i += 1 + i/64 {
		b := bytes.Clone(file)
		b[i] ^= 1 << (i % 8)
		refused("flip", i, b)
		refused("cut", i, file[:i])
	}
	refused("addition", len(file), append(bytes.Clone(file), 0))
	// Nor is anything written of a snapshot that is whole and not the caller's.
	s := inMemory(t)
	not := func(boot core.Record) error {
		return core.Errorf(core.State, "test", "%s is another's", boot.Key)
	}
	_, err := transfer.Restore(bg, s, from(file), transfer.RestoreOptions{Last: last, Accept: not, Mark: marker})
	want(t, err, core.State)
	if len(dump(t, s)) != 0 {
		t.Fatal("another's: something was written")
	}
	// Without its SS-CC a snapshot restores nothing.
	b := inMemory(t)
	put(t, b, core.Mutation{Key: key(1), Op: core.OpPut})
	file, _ = snapshot(t, b)
	_, err = transfer.Restore(bg, inMemory(t), from(file), transfer.RestoreOptions{Last: last, Mark: marker})
	want(t, err, core.State)
}

// Whatever is read is refused or is exactly what Snapshot writes for it.
func FuzzSnapshot(f *testing.F) {
	s := inMemory(f)
	fill(f, s, 12)
	file, _ := snapshot(f, s)
	f.Add(file)
	f.Add(file[:40])
	f.Add([]byte("KEPOSS-SNAPSHOT\n\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var recs []core.Record
		var gone []bool
		r, err := transfer.Read(bytes.NewReader(b), func(rs []core.Record, g []bool) error {
			recs, gone = append(recs, rs...), append(gone, g...)
			return nil
		})
		if err != nil {
			return
		}
		s := inMemory(t)
		if len(recs) == 0 || len(recs) > core.MaxBatch {
			return
		}
		must(t, s.Import(bg, recs, gone))
		var out bytes.Buffer
		again, err := transfer.Snapshot(bg, s, &out, r.Created, nil)
		must(t, err)
		if again.Store != r.Store {
			t.Fatalf("store digest %s, want %s", again.Store, r.Store)
		}
	})
}
