package kdf_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/pbkdf2"
	"hash"
	"testing"

	gmsm "github.com/emmansun/gmsm/sm3"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/argon2id"
	"github.com/keposs/keposs/kdf/balloonsm3"
	"github.com/keposs/keposs/kdf/bcrypt"
	"github.com/keposs/keposs/kdf/hkdfsm3"
	"github.com/keposs/keposs/kdf/hybrid"
	"github.com/keposs/keposs/kdf/kdftest"
	"github.com/keposs/keposs/kdf/pbkdf2sm3"
	"github.com/keposs/keposs/kdf/scrypt"
	"github.com/keposs/keposs/kdf/sm2kdf"
	"github.com/keposs/keposs/kdf/sm3crypt"
)

func params(t testing.TB, s string) core.Params {
	t.Helper()
	p, err := core.ParseParams(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func value(k core.KDF) func() (core.KDF, error) {
	return func() (core.KDF, error) { return k, nil }
}

// pbkdf2Reference is the standard library's loop over gmsm's hash.
func pbkdf2Reference(p core.Params, secret, salt []byte, n int) ([]byte, error) {
	i, _ := p.Get("i")
	w, wide := p.Get("w")
	if !wide {
		return pbkdf2.Key(gmsm.New, string(secret), salt, int(i), n)
	}
	all, err := pbkdf2.Key(gmsm.New, string(secret), salt, int(i), int(32*w))
	return sm.KDF(all, n), err
}

func harnesses(t testing.TB) []kdftest.Harness {
	hs := []kdftest.Harness{
		{
			Name: pbkdf2sm3.Name, New: value(pbkdf2sm3.New()), Wipes: true, Steps: true,
			Cheap: params(t, "pbkdf2sm3$i=1024"), Costly: params(t, "pbkdf2sm3$i=300000"), Reference: pbkdf2Reference,
		},
		{
			Name: "pbkdf2sm3-wide", New: value(pbkdf2sm3.New()), Wipes: true, Steps: true,
			Cheap: params(t, "pbkdf2sm3$i=1024,w=8"), Costly: params(t, "pbkdf2sm3$i=60000,w=16"), Reference: pbkdf2Reference,
		},
		{
			Name: sm2kdf.Name, New: value(sm2kdf.New()), Wipes: true, Cheap: params(t, "sm2kdf$"),
			Reference: func(_ core.Params, secret, salt []byte, n int) ([]byte, error) {
				return sm.KDF(enc.Join(secret, salt), n), nil
			},
		},
		{
			Name: hkdfsm3.Name, New: value(hkdfsm3.New()), Wipes: true, Cheap: params(t, "hkdfsm3$"),
			Reference: func(_ core.Params, secret, salt []byte, n int) ([]byte, error) {
				return hkdf.Key(func() hash.Hash { return gmsm.New() }, secret, salt, "", n)
			},
		},
		{
			Name: hybrid.Name, New: value(hybrid.New()), Steps: true,
			Cheap: params(t, "hybrid$i=1024,m=64,p=1,t=1"), Costly: params(t, "hybrid$i=200000,m=65536,p=1,t=1"), Reference: hybridReference,
		},
		{
			Name: argon2id.Name, New: value(argon2id.New()), Steps: true,
			Cheap: params(t, "argon2id$m=64,p=1,t=1"), Costly: params(t, "argon2id$m=65536,p=1,t=2"),
		},
		{
			Name: scrypt.Name, New: value(scrypt.New()),
			Cheap: params(t, "scrypt$ln=4,p=1,r=1"), Costly: params(t, "scrypt$ln=15,p=2,r=8"),
		},
		{
			Name: bcrypt.Name, New: value(bcrypt.New()),
			Cheap: params(t, "bcrypt$c=4"), Costly: params(t, "bcrypt$c=10"),
			// bcrypt's limit is 72 bytes, so the kit's long secrets do not fit: no reference here.
		},
		{
			Name: balloonsm3.Name, New: value(balloonsm3.New()), Steps: true,
			Cheap: params(t, "balloonsm3$s=32,t=1"), Costly: params(t, "balloonsm3$s=16384,t=2"),
		},
		{
			Name: sm3crypt.Name, New: value(sm3crypt.New()), Wipes: true, Steps: true,
			Cheap: params(t, "sm3crypt$r=1000"), Costly: params(t, "sm3crypt$r=300000"),
		},
	}
	for i := range hs {
		hs[i].InProcess = true
	}
	return hs
}

// req: K-15.2-02c, TK-08
func TestConformance(t *testing.T) {
	for _, h := range harnesses(t) {
		t.Run(h.Name, func(t *testing.T) { kdftest.Run(t, h) })
	}
}

// The list, through the shared budget.
func TestBuiltin(t *testing.T) {
	for _, name := range kdf.Names() {
		k, err := kdf.Builtin(name)
		if err != nil {
			t.Fatal(err)
		}
		in, err := k.Describe(t.Context())
		if err != nil || in.Name != name {
			t.Errorf("%s describes itself as %s, %v", name, in.Name, err)
		}
		l, err := kdf.DefaultLimits(name)
		if err != nil {
			t.Error(err)
		}
		if err := k.Validate(in.Default, l); err != nil {
			t.Errorf("the default is out of the default limits: %v", err)
		}
	}
	if _, err := kdf.Builtin("md5"); core.CodeOf(err) != core.NotFound {
		t.Errorf("err = %v", err)
	}
	k, _ := kdf.Builtin(argon2id.Name)
	if err := k.Validate(params(t, "argon2id$m=1048577,p=1,t=1"), core.Limits{MaxMemory: 1 << 40}); core.CodeOf(err) != core.TooLarge {
		t.Errorf("more than the process's budget: %v", err)
	}
}

// Approved and non-approved derivations never meet in one key space: another
// name gives another output, whatever else is alike.
// req: G-7.2-02, G-7.2-03, X-23, K-8.3-01
func TestKeySpaces(t *testing.T) {
	seen := map[string]string{}
	approved := map[string]bool{pbkdf2sm3.Name: true, sm2kdf.Name: true, hkdfsm3.Name: true}
	for _, h := range harnesses(t) {
		k, _ := h.New()
		in, err := k.Describe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if in.Approved != approved[in.Name] {
			t.Errorf("%s says approved = %v", in.Name, in.Approved)
		}
		out := make([]byte, 32)
		if err := k.Derive(t.Context(), h.Cheap, []byte("123456"), bytes.Repeat([]byte{7}, 16), out); err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[string(out)]; ok {
			t.Errorf("%s and %s derive the same key", h.Name, other)
		}
		seen[string(out)] = h.Name
	}
}

func BenchmarkConformance(b *testing.B) {
	for _, h := range harnesses(b) {
		b.Run(h.Name, func(b *testing.B) { kdftest.Bench(b, h) })
	}
}
