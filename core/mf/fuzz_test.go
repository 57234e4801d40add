package mf

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// FuzzParsePolicy: one encoding for one policy; an error has code Policy and
// comes alone; JSON comes back. (Attack 31.)
// req: TK-12, G-7.3-05
func FuzzParsePolicy(f *testing.F) {
	for _, v := range readVectors(f, "testdata/vectors.json") {
		f.Add([]byte(v.Out.Policy))
	}
	f.Add([]byte{Version})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			if p != nil || !errors.Is(err, ErrPolicy) {
				t.Fatalf("policy %v with error %v", p, err)
			}
			return
		}
		if !bytes.Equal(EncodePolicy(p), b) {
			t.Fatal("parses and encodes to other bytes")
		}
		j, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Policy
		if err := json.Unmarshal(j, &q); err != nil || !bytes.Equal(EncodePolicy(&q), b) {
			t.Fatalf("JSON does not come back: %v", err)
		}
	})
}

// FuzzOpenBlob: nothing but the sealed bytes opens.
// req: TK-12, G-7.3-05
func FuzzOpenBlob(f *testing.F) {
	v := readVectors(f, "testdata/vectors.json")[0]
	p, err := ParsePolicy(v.Out.Policy)
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(v.Out.Blob), []byte{})
	f.Add([]byte{}, []byte("x"))
	f.Add(make([]byte, blobIV+blobTag), []byte{1})
	f.Fuzz(func(t *testing.T, blob, bundle []byte) {
		b, err := openBlob(v.Out.RK, p, testApp, blob)
		if err == nil {
			b.Wipe()
			if !bytes.Equal(blob, v.Out.Blob) {
				t.Fatal("a forged blob opens")
			}
		} else if b != nil || !errors.Is(err, core.Corrupt) {
			t.Fatalf("bundle %v with error %v", b, err)
		}
		if b, err := parseBundle(bundle); err == nil {
			if e := b.encode(); !bytes.Equal(e.Bytes(), bundle) {
				t.Fatal("a bundle parses and encodes to other bytes")
			}
			b.Wipe()
		}
	})
}

// FuzzTrustRecord: nothing but the sealed bytes opens; a body that parses
// encodes to the same bytes.
// req: TK-12
func FuzzTrustRecord(f *testing.F) {
	for _, v := range readVectors(f, "testdata/vectors.json") {
		f.Add([]byte(v.Out.Trust))
		body, err := OpenFile(FileTrust, v.Out.Trust, secret.Copy(v.In.Trust.Secret))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(body))
	}
	dev := secret.Copy(bytes.Repeat([]byte{9}, DeviceSecret))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := OpenTrustRecord(b, dev); r != nil || !errors.Is(err, core.Integrity) {
			t.Fatalf("record %v with error %v", r, err)
		}
		if _, err := TrustSlot(b); err != nil && !errors.Is(err, core.Integrity) {
			t.Fatal(err)
		}
		r, err := parseTrust(b)
		if err != nil {
			return
		}
		again, err := r.Encode("device-1", dev)
		if err != nil {
			t.Fatal(err)
		}
		body, err := OpenFile(FileTrust, again, dev)
		if err != nil || !bytes.Equal(body, b) {
			t.Fatalf("a body parses and encodes to other bytes: %v", err)
		}
	})
}

// FuzzSheet: a payload that parses is the payload of what it parses to; words
// likewise, after their spelling is made plain.
func FuzzSheet(f *testing.F) {
	for _, v := range readVectors(f, "testdata/vectors.json") {
		if v.Out.Payload != "" {
			f.Add([]byte(v.Out.Payload))
			f.Add([]byte(v.Out.Details))
			f.Add([]byte(v.Out.Words))
		}
	}
	f.Add([]byte(sheetPrefix))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := ParseSheet(b); err == nil {
			p := s.Payload()
			again, err := ParseSheet(p.Bytes())
			if err != nil || again.Bind != s.Bind || again.Endpoint != s.Endpoint || !again.Code.b.Equal(s.Code.b) {
				t.Fatalf("a sheet does not come back: %v", err)
			}
		} else if !errors.Is(err, core.Invalid) {
			t.Fatal(err)
		}
		if s, err := ParseDetails(b, nil); err == nil {
			if again, err := ParseDetails([]byte(s.Details()), nil); err != nil || again.Bind != s.Bind {
				t.Fatalf("details do not come back: %v", err)
			}
		}
		if c, err := ParseWords(b); err == nil {
			again, err := ParseWords(c.Words().Bytes())
			if err != nil || !again.b.Equal(c.b) {
				t.Fatalf("words do not come back: %v", err)
			}
		}
	})
}

// FuzzPolicyView: JSON never yields what the decoder would refuse.
func FuzzPolicyView(f *testing.F) {
	for _, v := range readVectors(f, "testdata/vectors.json")[:2] {
		p, err := ParsePolicy(v.Out.Policy)
		if err != nil {
			f.Fatal(err)
		}
		j, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(j)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Policy
		if p.UnmarshalJSON(b) == nil {
			if _, err := ParsePolicy(EncodePolicy(&p)); err != nil {
				t.Fatal(err)
			}
		}
	})
}
