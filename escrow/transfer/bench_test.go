package transfer_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/transfer"
)

// records of 2 KiB in a store on disk.
const benched = 20_000

func filled(b *testing.B) transfer.Store {
	b.Helper()
	s := onDisk(b)
	hot, blob := make([]byte, 448), make([]byte, 1600)
	for i := 0; i < benched; i += 1000 {
		recs := make([]core.Record, 1000)
		for j := range recs {
			recs[j] = core.Record{Key: key(i + j), Version: 1, Hot: hot, Blob: blob}
		}
		must(b, s.Import(bg, recs, nil))
	}
	put(b, s, core.Mutation{Key: last, Op: core.OpPut, Hot: []byte{1}, Blob: []byte("root")})
	return s
}

// What saving, putting back and moving cost, in records a second: the sizing
// table of docs/operations.md.
func BenchmarkTransfer(b *testing.B) {
	s := filled(b)
	rate := func(b *testing.B) { b.ReportMetric(float64(benched*b.N)/b.Elapsed().Seconds(), "records/s") }
	var file bytes.Buffer
	_, err := transfer.Snapshot(bg, s, &file, 1, nil)
	must(b, err)
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			_, err := transfer.Snapshot(bg, s, io.Discard, 1, nil)
			must(b, err)
		}
		rate(b)
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			_, err := transfer.Read(bytes.NewReader(file.Bytes()), nil)
			must(b, err)
		}
		rate(b)
	})
	b.Run("restore", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			to := onDisk(b)
			b.StartTimer()
			_, err := transfer.Restore(bg, to, from(file.Bytes()), transfer.RestoreOptions{Last: last, Mark: marker})
			must(b, err)
		}
		rate(b)
	})
	b.Run("copy and compare", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			to := onDisk(b)
			b.StartTimer()
			_, err := transfer.Copy(bg, s, to, transfer.Options{Last: last})
			must(b, err)
		}
		rate(b)
	})
}
