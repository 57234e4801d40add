package codec_test

import (
	"bytes"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/escrow/internal/codec"
)

func sample() (core.Key, codec.Meta, []byte) {
	return core.Key("0123456789abcdef0123456789abcdef"),
		codec.Meta{Version: 7, BlobRev: 3, ReqID: core.ReqID{1, 2}, Hot: []byte("hot")}, []byte("blob bytes")
}

// Every single flipped bit of a record, its key included, is Corrupt.
func TestBitFlipIsCorrupt(t *testing.T) {
	key, m, blob := sample()
	good := codec.EncodeRecord(nil, key, m, blob)
	for i := 0; i < len(good)*8; i++ {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		if _, _, err := codec.DecodeRecord(key, bad); core.CodeOf(err) != core.Corrupt {
			t.Fatalf("bit %d: %v, want corrupt", i, err)
		}
	}
	other := bytes.Clone(key)
	other[3] ^= 1
	if _, _, err := codec.DecodeRecord(other, good); core.CodeOf(err) != core.Corrupt {
		t.Fatalf("record moved to another key: %v, want corrupt", err)
	}
	for n := range good {
		if _, _, err := codec.DecodeRecord(key, good[:n]); core.CodeOf(err) != core.Corrupt {
			t.Fatalf("cut to %d bytes: %v, want corrupt", n, err)
		}
	}
}

// A blob of another version under a hot part is noticed.
func TestMixedHalves(t *testing.T) {
	key, m, blob := sample()
	if _, err := codec.DecodeBlob(key, m.BlobRev, codec.EncodeBlob(nil, key, m.BlobRev+1, blob)); core.CodeOf(err) != core.Corrupt {
		t.Fatalf("blob of another revision: %v, want corrupt", err)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	key, m, blob := sample()
	f.Add([]byte(key), codec.EncodeRecord(nil, key, m, blob))
	f.Add([]byte("k"), codec.EncodeRecord(nil, core.Key("k"), codec.Meta{Version: 2, Deleted: true}, nil))
	f.Add([]byte("k"), []byte{0, 0})
	f.Fuzz(func(t *testing.T, key, b []byte) {
		if len(key) > core.MaxKey {
			return
		}
		m, blob, err := codec.DecodeRecord(key, b)
		if err != nil {
			if core.CodeOf(err) != core.Corrupt || blob != nil || m.Version != 0 && m.BlobRev == 0 {
				t.Fatalf("error with a value or another code: %v", err)
			}
			return
		}
		if again := codec.EncodeRecord(nil, key, m, blob); !bytes.Equal(again, b) {
			t.Fatalf("accepted a second spelling: %x, canonical %x", b, again)
		}
	})
}
