package badger

import (
	"context"
	"testing"

	db "github.com/dgraph-io/badger/v4"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
)

// A blob part that is gone, or of another version, is Corrupt to a scan that
// asks for blobs; others and what lies before it are not concerned.
func TestScanNoticesABlobAmiss(t *testing.T) {
	s := New().(*Store)
	if err := s.Configure(t.Context(), core.Config{Values: map[string]string{"dir": t.TempDir(), "memtable_mb": "16", "watermark_mb": "96", "ballast_mb": "1"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var recs []core.Record
	for _, k := range []string{"a", "b", "c"} {
		recs = append(recs, core.Record{Key: core.Key(k), Version: 2, Hot: []byte("hot " + k), Blob: []byte("blob " + k)})
	}
	if err := s.Import(t.Context(), recs, nil); err != nil {
		t.Fatal(err)
	}
	amiss := func(name string, change func(*batch) error) {
		t.Helper()
		if err := s.admin(t.Context(), "test", change); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Export(context.Background(), core.ScanRequest{Limit: 3}); core.CodeOf(err) != core.Corrupt {
			t.Errorf("%s: %v, want corrupt", name, err)
		}
		p, err := s.Scan(t.Context(), core.ScanRequest{Limit: 3, Hot: true})
		if err != nil || len(p.Records) != 3 {
			t.Errorf("%s, without blobs: %d records, %v", name, len(p.Records), err)
		}
		if p, err = s.Export(t.Context(), core.ScanRequest{Limit: 1}); err != nil || string(p.Records[0].Blob) != "blob a" {
			t.Errorf("%s, the page before it: %v", name, err)
		}
	}
	put := func(rev core.Version) func(*batch) error {
		return func(b *batch) error {
			return b.set(blobKey(core.Key("b")), codec.EncodeBlob(nil, core.Key("b"), rev, []byte("blob b")))
		}
	}
	amiss("another version", put(1))
	amiss("gone", func(b *batch) error { b.writes++; return b.txn.Delete(blobKey(core.Key("b"))) })
	if err := s.admin(t.Context(), "test", put(2)); err != nil {
		t.Fatal(err)
	}
	if p, err := s.Export(t.Context(), core.ScanRequest{Limit: 3}); err != nil || len(p.Records) != 3 || string(p.Records[2].Blob) != "blob c" {
		t.Errorf("put back: %d records, %v", len(p.Records), err)
	}
	_ = s.view(t.Context(), "test", func(txn *db.Txn) error {
		parts, err := blobs(t.Context(), "test", txn, core.Key("a"), 1)
		if err != nil || len(parts) != 1 || string(parts[0].blob) != "blob b" {
			t.Errorf("the first blob behind a: %v, %v", parts, err)
		}
		return nil
	})
}
