package mf

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
)

// gf is an element of GCM's field, bit 0 of byte 0 first.
type gf [16]byte

func (a gf) add(b gf) (c gf) {
	for i := range c {
		c[i] = a[i] ^ b[i]
	}
	return c
}

func (a gf) mul(b gf) (z gf) {
	v := b
	for i := range 128 {
		if a[i/8]>>(7-i%8)&1 == 1 {
			z = z.add(v)
		}
		low := v[15] & 1
		hi, lo := binary.BigEndian.Uint64(v[:8]), binary.BigEndian.Uint64(v[8:])
		binary.BigEndian.PutUint64(v[8:], lo>>1|hi<<63)
		binary.BigEndian.PutUint64(v[:8], hi>>1)
		if low == 1 {
			v[0] ^= 0xe1
		}
	}
	return z
}

func (a gf) inv() gf { // a^(2^128-2)
	r, e := gf{0: 0x80}, a
	for range 127 {
		e = e.mul(e)
		r = r.mul(e)
	}
	return r
}

// twoKeyGCM makes one AES-GCM text (two blocks and a tag) that opens under
// both keys: the tag is linear in the blocks, so one block is solved for.
func twoKeyGCM(t *testing.T, k1, k2, nonce []byte) []byte {
	t.Helper()
	c1 := gf{0: 0x42}
	lens := gf{15: 0} // no additional data, 256 bits of text
	binary.BigEndian.PutUint64(lens[8:], 256)
	var h, e [2]gf
	for i, k := range [][]byte{k1, k2} {
		b, err := aes.NewCipher(k)
		if err != nil {
			t.Fatal(err)
		}
		b.Encrypt(h[i][:], make([]byte, 16))
		b.Encrypt(e[i][:], append(bytes.Clone(nonce), 0, 0, 0, 1))
	}
	sq := [2]gf{h[0].mul(h[0]), h[1].mul(h[1])}
	cu := [2]gf{sq[0].mul(h[0]), sq[1].mul(h[1])}
	rest := c1.mul(cu[0].add(cu[1])).add(lens.mul(h[0].add(h[1]))).add(e[0].add(e[1]))
	c2 := rest.mul(sq[0].add(sq[1]).inv())
	tag := c1.mul(cu[0]).add(c2.mul(sq[0])).add(lens.mul(h[0])).add(e[0])
	return slices.Concat(c1[:], c2[:], tag[:])
}

// req: K-7.1-D4, X-12, G-7.9-09
func TestAttack17TwoKeyCiphertext(t *testing.T) {
	// Planted: plain GCM opens one text under two keys.
	k1, k2, nonce := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16), make([]byte, 12)
	ct := twoKeyGCM(t, k1, k2, nonce)
	for _, k := range [][]byte{k1, k2} {
		b, _ := aes.NewCipher(k)
		g, _ := cipher.NewGCM(b)
		if _, err := g.Open(nil, nonce, ct, nil); err != nil {
			t.Errorf("the planted variant commits to its key: %v", err)
		}
	}
	// Ours: the tag is HMAC under a key derived with MK. The same freedom (any
	// ciphertext, any iv, a tag right for one key) never opens under another.
	u := newUser(t, "17")
	s := u.enrol(u.params("pin", protocol.ModePlain, 1))
	p := mustParse(t, s.sealed.Policy)
	rk1, rk2 := secret.Copy(bytes.Repeat([]byte{1}, 32)), secret.Copy(bytes.Repeat([]byte{2}, 32))
	for i := range 64 {
		blob, err := sealBlob(rk1.Bytes(), p, testApp, u.bundle, u.rand)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openBlob(rk2.Bytes(), p, testApp, blob); !errors.Is(err, core.Corrupt) {
			t.Fatalf("text %d opens under another key: %v", i, err)
		}
	}
	// The tag binds app, generation, keys: the same blob elsewhere is corrupt.
	blob, _ := sealBlob(rk1.Bytes(), p, testApp, u.bundle, u.rand)
	for name, change := range map[string]func(q *Policy, app *protocol.ID){
		"app": func(_ *Policy, app *protocol.ID) { app[0]++ }, "generation": func(q *Policy, _ *protocol.ID) { q.MKGen++ },
		"key id": func(q *Policy, _ *protocol.ID) { q.KeyID[0]++ }, "public keys": func(q *Policy, _ *protocol.ID) { q.Pubs[0]++ },
		"suite": func(q *Policy, _ *protocol.ID) { q.Suite++ },
	} {
		q, app := *p, testApp
		change(&q, &app)
		if _, err := openBlob(rk1.Bytes(), &q, app, blob); !errors.Is(err, core.Corrupt) {
			t.Errorf("another %s: %v, want corrupt", name, err)
		}
	}
}

// Attack 22 at this level: the fail counter is a file of its own whose bytes
// cannot be made without the device secret, nor moved to another slot or kind.
func TestAttack22FailCounterFile(t *testing.T) {
	dev, other := secret.Copy(bytes.Repeat([]byte{7}, 32)), secret.Copy(bytes.Repeat([]byte{8}, 32))
	b, err := SealFile(FileFails, "device-1", dev, []byte{0, 0, 0, 3})
	if err != nil {
		t.Fatal(err)
	}
	if body, err := OpenFile(FileFails, b, dev); err != nil || !bytes.Equal(body, []byte{0, 0, 0, 3}) {
		t.Fatalf("body %x, %v", body, err)
	}
	for name, try := range map[string]func() error{
		"another secret": func() error { _, err := OpenFile(FileFails, b, other); return err },
		"as the trust record": func() error {
			x := bytes.Clone(b)
			x[4] = byte(FileTrust)
			_, err := OpenFile(FileTrust, x, dev)
			return err
		},
		"another slot": func() error {
			_, err := OpenFile(FileFails, bytes.Replace(b, []byte("device-1"), []byte("device-2"), 1), dev)
			return err
		},
		"lower count": func() error {
			x := bytes.Clone(b)
			x[len(x)-33] = 0
			_, err := OpenFile(FileFails, x, dev)
			return err
		},
	} {
		if err := try(); !errors.Is(err, core.Integrity) {
			t.Errorf("%s: %v, want integrity", name, err)
		}
	}
	// Planted: a bare counter file takes any value.
	if bare := []byte{0, 0, 0, 3}; binary.BigEndian.Uint32(bare) != 3 {
		t.Error("control")
	}
}

// opensAsTold enrols a policy and tries every subset of factors against every
// set: authorised ones open, others fail even with the missing factors guessed.
func opensAsTold(u *user, text string) error {
	x := u.params(text, protocol.ModePlain, 1)
	x.NoBoxes = true
	e, err := NewEnrolment(x, u.rand)
	if err != nil {
		return err
	}
	defer e.Wipe()
	u.fill(e, e.Missing()...)
	sealed, err := e.Seal(u.t.Context(), u.kdf, u.bundle)
	if err != nil {
		return err
	}
	s := &state{sealed: sealed, blob: sealed.Blob}
	c, err := Check(sealed.Policy, expect(s))
	if err != nil {
		return err
	}
	p := c.Policy
	labels := p.Tree.Labels()
	authorised := func(m int) bool {
		for _, st := range p.Sets {
			if st.Members&^uint16(m) == 0 {
				return true
			}
		}
		return false
	}
	for m := range 1 << len(labels) {
		ok := authorised(m)
		var have []string
		for i, l := range labels {
			if m>>i&1 == 1 {
				have = append(have, l)
			}
		}
		if ok {
			if _, err := u.attempt(s, c, have, u.secrets, false); err != nil {
				return fmt.Errorf("%s: %v does not open: %w", text, have, err)
			}
			continue
		}
		maximal := true
		for i := range labels {
			maximal = maximal && (m>>i&1 == 1 || authorised(m|1<<i))
		}
		if !maximal {
			continue
		}
		// Unauthorised: refused before the slow call, and with the best set's
		// missing factors guessed, wrong.
		if _, err := u.attempt(s, c, have, u.secrets, false); !errors.Is(err, core.Usage) {
			return fmt.Errorf("%s: %v: %v, want usage", text, have, err)
		}
		best := p.Sets[0]
		for _, st := range p.Sets {
			if bits.OnesCount16(st.Members&^uint16(m)) < bits.OnesCount16(best.Members&^uint16(m)) {
				best = st
			}
		}
		guess := map[string][]byte{}
		var full []string
		for i, l := range labels {
			if best.Members>>i&1 == 1 {
				full = append(full, l)
				guess[l] = u.secrets[l]
				if m>>i&1 == 0 {
					guess[l] = []byte("a guess, 32 bytes long as others")
				}
			}
		}
		if _, err := u.attempt(s, c, full, guess, false); !errors.Is(err, core.Auth) {
			return fmt.Errorf("%s: %v with guesses for %v: %v, want auth", text, have, full, err)
		}
	}
	return nil
}

func monotone(n int) []uint32 {
	fs := []uint32{0, 1}
	for v := range n {
		var next []uint32
		for _, lo := range fs {
			for _, hi := range fs {
				if lo&^hi == 0 {
					next = append(next, lo|hi<<(1<<v))
				}
			}
		}
		fs = next
	}
	return fs
}

// Attack 25: all 7,579 non-constant monotone policies over five factors, for
// real. Level 0 takes a sample of every 40th.
// req: K-15.5-01b, K-5.1-01, X-26
func TestAttack25EveryPolicyOpensAsTold(t *testing.T) {
	step := 40
	if level() > 0 {
		step = 1
	}
	five := []string{"face", "fingerprint", "gesture", "pin", "token"}
	var texts []string
	for _, f := range monotone(5) {
		if f == 0 || f == 1<<32-1 {
			continue
		}
		text := ""
		for x := range 32 {
			minimal := f>>x&1 == 1
			for i := range 5 {
				minimal = minimal && (x>>i&1 == 0 || f>>(x&^(1<<i))&1 == 0)
			}
			if !minimal {
				continue
			}
			if text != "" {
				text += " | "
			}
			set := ""
			for i := range 5 {
				if x>>i&1 == 1 {
					if set != "" {
						set += " & "
					}
					set += five[i]
				}
			}
			text += "(" + set + ")"
		}
		texts = append(texts, text)
	}
	if len(texts) != 7579 {
		t.Fatalf("%d policies, want 7579", len(texts))
	}
	const workers = 4
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			u := newUser(t, fmt.Sprintf("25-%d", w))
			for i := w * step; i < len(texts); i += workers * step {
				if err := opensAsTold(u, texts[i]); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
	// Planted: a policy whose sets are one factor short is noticed.
	u := newUser(t, "25p")
	s := u.enrol(u.params("pin & gesture", protocol.ModePlain, 1))
	if _, err := u.attempt(s, u.check(s), []string{"pin"}, u.secrets, false); !errors.Is(err, core.Usage) {
		t.Errorf("one factor short: %v", err)
	}
}

// Attack 31: what parses encodes to the same bytes, through JSON too.
func TestAttack31BinaryAndJSON(t *testing.T) {
	for _, v := range readVectors(t, "testdata/vectors.json") {
		p := mustParse(t, v.Out.Policy)
		if !bytes.Equal(EncodePolicy(p), v.Out.Policy) {
			t.Errorf("%s: binary does not come back", v.Name)
		}
		j, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Policy
		if err := json.Unmarshal(j, &q); err != nil {
			t.Fatalf("%s: %v", v.Name, err)
		}
		if !bytes.Equal(EncodePolicy(&q), v.Out.Policy) {
			t.Errorf("%s: JSON does not come back", v.Name)
		}
		// Planted: an unknown field and a wrong length are refused.
		for name, bad := range map[string][]byte{
			"unknown field": bytes.Replace(j, []byte(`{"version"`), []byte(`{"note":1,"version"`), 1),
			"short mac":     bytes.Replace(j, []byte(`"mac":"`), []byte(`"mac":"00`), 1),
			"other tree":    bytes.Replace(j, []byte(`"tree":"`), []byte(`"tree":"zz & `), 1),
		} {
			if err := json.Unmarshal(bad, &q); !errors.Is(err, ErrPolicy) {
				t.Errorf("%s: %s: %v, want policy", v.Name, name, err)
			}
		}
	}
}

// Attack 33: over one user's life, no two masks are the same pad, so no XOR of
// equal-position fields is a XOR of secrets.
func TestAttack33NoPadTwice(t *testing.T) {
	u := newUser(t, "33")
	u.code, _ = NewRecoveryCode(u.rand)
	raised := cheap(2)
	type life struct {
		p  *Policy
		rk []byte
		a  []byte
	}
	var all []life
	note := func(s *state, have ...string) {
		op := u.open(s, have...)
		all = append(all, life{mustParse(t, s.sealed.Policy), bytes.Clone(op.rk.Bytes()), bytes.Clone(op.anchor.Bytes())})
		op.Wipe()
	}
	s := u.enrol(u.params("pin & (face | fingerprint)", protocol.ModePlain, 1))
	note(s, "pin", "face")
	for i, ch := range []Change{{KDF: &raised}, {Replace: []string{"pin"}}, {}, {Replace: []string{"face"}}} {
		s = u.change(s, []string{"pin", "fingerprint"}, ch, func() {
			for _, l := range ch.Replace {
				u.secrets[l] = bytes.Repeat([]byte{byte(i)}, 32)
				u.helpers[l] = bytes.Repeat([]byte{byte(i)}, 96)
			}
		})
		note(s, "pin", "face")
	}
	op := u.open(s, "pin", "face")
	u.code, _ = NewRecoveryCode(u.rand)
	s = u.revoke(op, s.blob, "pin & (face | fingerprint)", protocol.ModePlain)
	op.Wipe()
	note(s, "pin", "face")

	pads := map[string]map[string]int{} // field → pad → generation first seen
	repeats := 0
	pad := func(gen int, field string, masked, plain []byte, same bool) {
		x := make([]byte, len(plain))
		for i := range x {
			x[i] = masked[i] ^ plain[i]
		}
		if pads[field] == nil {
			pads[field] = map[string]int{}
		}
		if prev, ok := pads[field][string(x)]; ok && !same {
			repeats++
			t.Errorf("%s: generations %d and %d share a pad", field, prev, gen)
		}
		pads[field][string(x)] = gen
	}
	seenBox, seenV := map[string]bool{}, map[string]bool{}
	for g, l := range all {
		for i, st := range l.p.Sets {
			pad(g, fmt.Sprintf("W%d", i), st.W[:], l.rk, false)
		}
		for _, h := range l.p.Anchor { // an unchanged holder's V is the same bytes
			pad(g, "V "+h.ID, h.V[:], l.a, seenV[string(h.V[:])])
			seenV[string(h.V[:])] = true
		}
		for i := range l.p.Factors {
			f := &l.p.Factors[i]
			if len(f.Box) == 0 {
				continue
			}
			if seenBox[string(f.Box[:16])] {
				t.Errorf("generation %d: box iv of %s used before", g, f.ID)
			}
			seenBox[string(f.Box[:16])] = true
			fs, err := openBox(l.rk, f)
			if err != nil {
				t.Fatal(err)
			}
			pad(g, "box "+f.ID, f.Box[16:], fs.Bytes(), false)
		}
	}
	// Planted: boxes under one iv share a pad, and the XOR of two boxes is the
	// XOR of two factors.
	f := Factor{ID: "pin", Rev: 1}
	a, b := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	var boxes [2][32]byte
	for i, fs := range [][]byte{a, b} {
		if err := boxCTR(all[0].rk, &f, make([]byte, 16), boxes[i][:], fs); err != nil {
			t.Fatal(err)
		}
	}
	for i := range a {
		if boxes[0][i]^boxes[1][i] != a[i]^b[i] {
			t.Fatal("the planted variant hides its pads: this test could not notice it")
		}
	}
}

// Attack 35 at this level: what belongs on the terminal's disk (trust record,
// counter, journal) holds no policy, blob, OPRF key, factor or key.
// req: K-5.3-01b, K-6.1-01b, K-15.6-01, X-26
func TestAttack35TerminalFilesHoldNothing(t *testing.T) {
	u := newUser(t, "35")
	s := u.enrol(u.params("pin & face", protocol.ModeHardened, 1))
	op := u.open(s, "pin", "face")
	defer op.Wipe()
	rec := &TrustRecord{Realm: testRealm, Server: u.key.Public().Compressed(), Floor: cheap(1), Current: &s.sealed.Slot, Pending: &s.sealed.Slot}
	disk, err := rec.Encode("device-1", u.device)
	if err != nil {
		t.Fatal(err)
	}
	mk := masterKey(op.rk.Bytes(), op.c.Policy.KeyID, op.c.Policy.MKGen)
	p := op.c.Policy // its public keys and KDF text are in the record by design
	needles := map[string][]byte{"policy's mac": p.MAC[:], "policy's signature": p.Sig[:], "V": p.Anchor[0].V[:], "blob": s.blob, "OPRF key": s.sealed.OPRFKey.Bytes(), "pin": u.secrets["pin"], "face": u.secrets["face"],
		"helper": op.c.Policy.Factor("face").Helper, "RK": op.rk.Bytes(), "MK": mk.Bytes()[:16], "anchor": op.anchor.Bytes(), "device secret": u.device.Bytes(),
		"salt": op.c.Policy.Factors[0].Salt[:], "W": op.c.Policy.Sets[0].Salt[:]}
	for name, n := range needles {
		for i := 0; i+16 <= len(n); i++ {
			if bytes.Contains(disk, n[i:i+16]) {
				t.Errorf("the trust record holds 16 bytes of the %s", name)
				break
			}
		}
	}
	// Planted: a record that caches the policy is found out.
	if !bytes.Contains(append(disk, s.sealed.Policy...), s.sealed.Policy[:16]) {
		t.Error("the planted variant is not found")
	}
}
