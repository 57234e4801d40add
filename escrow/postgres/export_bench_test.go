package postgres_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/escrow/postgres"
	"github.com/keposs/keposs/escrow/postgres/internal/pgtest"
	"github.com/keposs/keposs/internal/pgserver"
)

// What reading a whole store costs, in records of 2 KiB a second, from a server
// with PostgreSQL's own default of memory.
func BenchmarkExport(b *testing.B) {
	const records = 40_960
	c := pgtest.With(b, pgserver.Options{Buffers: "128MB"})
	s := postgres.New().(*postgres.Store)
	if err := s.Configure(context.Background(), core.Config{Values: map[string]string{"query_timeout": "1m"}, Secrets: map[string]*secret.Buffer{"dsn": secret.Copy([]byte(c.DSN()))}}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	hot, blob := make([]byte, 448), make([]byte, 1600)
	_, _ = rand.Read(hot)
	_, _ = rand.Read(blob)
	for i := 0; i < records; i += core.MaxBatch {
		recs := make([]core.Record, core.MaxBatch)
		for j := range recs {
			k := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i+j)))
			recs[j] = core.Record{Key: k[:], Version: 1, Hot: hot, Blob: blob}
		}
		if err := s.Import(context.Background(), recs, nil); err != nil {
			b.Fatal(err)
		}
	}
	n := 0
	for b.Loop() {
		for req := (core.ScanRequest{Limit: 1000}); ; {
			p, err := s.Export(context.Background(), req)
			if err != nil {
				b.Fatal(err)
			}
			if n += len(p.Records); p.Next == nil {
				break
			}
			req.After = p.Next
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}
