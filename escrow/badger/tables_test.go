package badger

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/core"
)

// filled is the folder of a closed store of n records of 400 bytes.
func filled(t testing.TB, n int) config {
	t.Helper()
	s := New().(*Store)
	if err := s.Configure(t.Context(), core.Config{Values: map[string]string{"dir": t.TempDir(), "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "0"}}); err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += 1000 {
		var ms []core.Mutation
		for i := from; i < min(n, from+1000); i++ {
			ms = append(ms, core.Mutation{Key: binary.BigEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15), Op: core.OpPut, Hot: make([]byte, 400)})
		}
		if res, err := s.CommitMany(t.Context(), ms); err != nil || res[0].Err != nil {
			t.Fatal(err, res)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return s.set
}

// Whatever byte of a table changes, the table does not check; whole it does.
func TestEveryByteOfATableCounts(t *testing.T) {
	set := filled(t, 20)
	o := set.options(&logger{})
	if err := checkTables(o); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(set.dir, "*.sst"))
	if err != nil || len(names) == 0 {
		t.Fatal(err, names)
	}
	whole, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1 << (i % 8)
		if err := checkBytes(bad); err == nil {
			t.Errorf("byte %d of %d changed without notice", i, len(whole))
		}
	}
	for _, n := range []int{0, 1, 3, 4, 7, len(whole) / 2, len(whole) - 1} {
		if err := checkBytes(whole[:n]); err == nil {
			t.Errorf("%d of %d bytes check", n, len(whole))
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1})
	set := filled(f, 3)
	names, _ := filepath.Glob(filepath.Join(set.dir, "*.sst"))
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(_ *testing.T, b []byte) { _ = checkBytes(b) })
}

// BenchmarkTables is what verifying costs at every opening.
func BenchmarkTables(b *testing.B) {
	set := filled(b, 200_000)
	names, _ := filepath.Glob(filepath.Join(set.dir, "*.sst"))
	var size int64
	for _, name := range names {
		if st, err := os.Stat(name); err == nil {
			size += st.Size()
		}
	}
	b.SetBytes(size)
	for b.Loop() {
		if err := checkTables(set.options(&logger{})); err != nil {
			b.Fatal(err)
		}
	}
}
