package sscc

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

var write = flag.Bool("write-records", false, "write golden records that do not exist yet")

// fill makes every field of a fixed-size value tell where it is.
func fill(b []byte, from byte) {
	for i := range b {
		b[i] = from + byte(i)
	}
}

func id(from byte) (v protocol.ID) {
	fill(v[:], from)
	return v
}

// goldenKey is a fixed identity key.
func goldenKey() *sm.PrivateKey {
	d := bytes.Repeat([]byte{7}, 32)
	k, err := sm.NewPrivateKey(d)
	if err != nil {
		panic(err)
	}
	return k
}

func goldenRing() *keyring {
	k := &keyring{realm: id(1), identity: goldenKey(), gens: map[uint16]*sealKeys{3: newSealKeys(bytes.Repeat([]byte{3}, 32)), 4: newSealKeys(bytes.Repeat([]byte{4}, 32))}, newest: 4, rev: 9}
	fill(k.base[:], 50)
	k.derive()
	return k
}

// A codec is one stored form: how it is parsed and written again.
type codec struct {
	name   string
	golden func() []byte
	again  func(b []byte) ([]byte, error) // parse and marshal
}

func codecs() []codec {
	point := goldenKey().Public().Compressed()
	return []codec{
		{"counter", func() []byte {
			h := &hot{state: userLocked, limit: 5, destroy: true, rebound: true, ordered: true, mode: protocol.ModeHardened, gen: 7, blobRev: 3, device: id(9),
				before: id(10), unlockSeq: 2, seq: 40, flushed: 38, lastTry: 1_800_000_000, minute: 30_000_000, inMinute: 4, freeze: 1,
				entries: []entry{{seq: 39, held: true, old: true}, {seq: 40, held: true}}}
			fill(h.blobSum[:], 20)
			fill(h.head[:], 30)
			fill(h.entries[0].tag[:], 40)
			fill(h.entries[1].attempt[:], 60)
			return h.marshal()
		}, func(b []byte) ([]byte, error) {
			h, err := parseHot(b)
			if err != nil {
				return nil, err
			}
			return h.marshal(), nil
		}},
		{"user", func() []byte {
			b := &blob{app: id(1), user: id(2), idem: id(3), mkGen: 4, keyID: id(5), policy: []byte("policy"), sealed: []byte("sealed"), oprfKey: bytes.Repeat([]byte{8}, 32)}
			fill(b.digest[:], 6)
			fill(b.conf[:], 7)
			fill(b.pubs.Sign[:], 8)
			fill(b.pubs.Enc[:], 9)
			return b.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseBlob(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"app", func() []byte {
			return (&app{id: id(1), name: "bank", revoked: true, limit: 5, destroy: true, created: 1_800_000_000}).marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseApp(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"app-attest", func() []byte {
			return (&app{id: id(1), name: "bank", limit: 5, created: 1_800_000_000, attest: "play=com.example.bank"}).marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseApp(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"device-attest", func() []byte {
			return (&device{app: id(1), id: id(2), key: point, created: 1_800_000_000, proved: 1_800_000_001}).marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseDevice(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"device", func() []byte {
			return (&device{app: id(1), id: id(2), key: point, revoked: true, created: 1_800_000_000}).marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseDevice(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"ticket", func() []byte {
			t := &ticket{app: id(1), expires: 1_800_000_000, used: true, device: id(2), point: point}
			fill(t.key[:], 3)
			return t.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseTicket(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"pending", func() []byte {
			p := &pending{idem: id(1), init: true, done: true, user: id(2), oldGen: 3, newGen: 4, expires: 1_800_000_000, past: []pastCommit{{id(5), id(6), 7}}}
			fill(p.digest[:], 8)
			return p.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parsePending(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"staged", func() []byte {
			b := &stagedBody{policy: []byte("policy"), sealed: []byte("sealed"), oprfKey: bytes.Repeat([]byte{8}, 32)}
			fill(b.pubs.Sign[:], 8)
			fill(b.pubs.Enc[:], 9)
			return b.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseStaged(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"try-log", func() []byte {
			c := &chunk{tags: make([]protocol.Tag, 3)}
			fill(c.before[:], 1)
			fill(c.tags[1][:], 2)
			return c.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseChunk(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"reads", func() []byte { return marshalReads([]protocol.Read{{Unix: 1_800_000_000, Device: id(1)}, {Unix: 5}}) },
			func(b []byte) ([]byte, error) {
				v, err := parseReads(b)
				if err != nil {
					return nil, err
				}
				return marshalReads(v), nil
			}},
		{"state", func() []byte { return (&officerState{session: id(1), expires: 1_800_000_000, freeze: 2}).marshal() },
			func(b []byte) ([]byte, error) {
				v, err := parseOfficerState(b)
				if err != nil {
					return nil, err
				}
				return v.marshal(), nil
			}},
		{"apps", func() []byte { return marshalList([]protocol.ID{id(1), id(2)}) }, func(b []byte) ([]byte, error) {
			v, err := parseList(b)
			if err != nil {
				return nil, err
			}
			return marshalList(v), nil
		}},
		{"audit", func() []byte {
			p := &part{number: 1, first: 200, n: 3, unix: 1_800_000_000}
			fill(p.before[:], 1)
			fill(p.head[:], 2)
			fill(p.sig[:], 3)
			return p.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parsePart(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"audit-events", func() []byte {
			e := event{at: 1_800_000_000_000, kind: evTry, code: core.Locked, n: 1, seq: 2, op: "fetch"}
			fill(e.head[:], 3)
			fill(e.subject[:], 4)
			fill(e.device[:], 5)
			return marshalEvents([]event{e, {kind: evLogin}})
		}, func(b []byte) ([]byte, error) {
			v, err := parseEvents(b, maxPart)
			if err != nil {
				return nil, err
			}
			return marshalEvents(v), nil
		}},
		{"session", func() []byte {
			keys := secret.New(SessionKeys)
			fill(keys.Bytes(), 3)
			return marshalSession(protocol.Peer{App: id(1), Device: id(2), Key: point}, keys, 1_800_000_000).Bytes()
		}, func(b []byte) ([]byte, error) {
			p, keys, exp, err := parseSession(b)
			if err != nil {
				return nil, err
			}
			return marshalSession(p, keys, exp).Bytes(), nil
		}},
		{"guard", func() []byte { return guard{bad: 1, rounds: 2, until: 1_800_000_000, ended: true}.marshal() },
			func(b []byte) ([]byte, error) {
				v, err := parseGuard(b)
				if err != nil {
					return nil, err
				}
				return v.marshal(), nil
			}},
		{"boot", func() []byte {
			b := &boot{realm: id(1), identity: goldenKey().Public(), rev: 2, ring: []byte("ring"), link: []byte("link"),
				slots: []slot{{kind: SlotPassword, params: "cheap-test:i=1024", root: []byte("root")}, {kind: SlotAuto, root: []byte("auto")}}}
			fill(b.slots[0].salt[:], 9)
			return b.marshal()
		}, func(b []byte) ([]byte, error) {
			v, err := parseBoot(b)
			if err != nil {
				return nil, err
			}
			return v.marshal(), nil
		}},
		{"keyring", func() []byte { return goldenRing().marshal().Bytes() }, func(b []byte) ([]byte, error) {
			v, err := parseKeyring(b)
			if err != nil {
				return nil, err
			}
			return v.marshal().Bytes(), nil
		}},
	}
}

// The stored forms of version 1 parse for ever and are written as they are
// read. A new form adds a file; no file changes.
func TestGoldenRecords(t *testing.T) {
	for _, c := range codecs() {
		path := filepath.Join("testdata", c.name+".v1.hex")
		if _, err := os.Stat(path); *write && os.IsNotExist(err) {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(c.golden())+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := hex.DecodeString(strings.TrimSpace(string(text)))
		if err != nil {
			t.Fatal(err)
		}
		again, err := c.again(b)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: the golden record is read as another one: %v", c.name, err)
		}
		if !bytes.Equal(c.golden(), b) {
			t.Errorf("%s: records are written in another form than version 1", c.name)
		}
		for n := range b { // a cut record is refused
			if _, err := c.again(b[:n]); core.CodeOf(err) != core.Corrupt {
				t.Errorf("%s cut to %d bytes: %v", c.name, n, err)
				break
			}
		}
		if _, err := c.again(append(bytes.Clone(b), 0)); core.CodeOf(err) != core.Corrupt {
			t.Errorf("%s with a byte too many: %v", c.name, err)
		}
		bad := bytes.Clone(b)
		if bad[0] = 3 - bad[0]; c.name != "staged" {
			if _, err := c.again(bad); core.CodeOf(err) != core.Corrupt {
				t.Errorf("%s of version %d: %v", c.name, bad[0], err)
			}
		}
	}
}

// What parses is written back as it was; nothing panics or allocates by a
// length it was not given.
// req: TK-12, G-7.3-05
func FuzzRecords(f *testing.F) {
	all := codecs()
	for i, c := range all {
		f.Add(uint8(i), c.golden())
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		c := all[int(which)%len(all)]
		again, err := c.again(b)
		if err != nil {
			if core.CodeOf(err) != core.Corrupt {
				t.Fatalf("%s: %v", c.name, err)
			}
			return
		}
		if !bytes.Equal(again, b) {
			t.Fatalf("%s: %x became %x", c.name, b, again)
		}
	})
}

// A frame opens only as what, where and when it was sealed.
// req: G-7.9-09
func TestSealBinds(t *testing.T) {
	k := goldenRing()
	key := k.index([]byte("tenant"), []byte("name"))
	b, err := k.seal(sm.Rand(), kindApp, key, 5, []byte("plain"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := k.open(kindApp, key, 5, b); err != nil || string(p) != "plain" {
		t.Fatal(err)
	}
	other := k.index([]byte("tenan"), []byte("tname"))
	if bytes.Equal(other, key) {
		t.Fatal("two names have one key")
	}
	for name, err := range map[string]error{
		"kind":    second(k.open(kindDevice, key, 5, b)),
		"key":     second(k.open(kindApp, other, 5, b)),
		"version": second(k.open(kindApp, key, 6, b)),
		"empty":   second(k.open(kindApp, key, 5, nil)),
	} {
		if core.CodeOf(err) != core.Corrupt {
			t.Errorf("another %s: %v", name, err)
		}
	}
	for i := range b {
		bad := bytes.Clone(b)
		bad[i] ^= 1
		if _, err := k.open(kindApp, key, 5, bad); core.CodeOf(err) != core.Corrupt && core.CodeOf(err) != core.Fenced {
			t.Errorf("byte %d: %v", i, err)
		}
	}
}

func second(_ []byte, err error) error { return err }

// req: TK-12
func FuzzFrame(f *testing.F) {
	k := goldenRing()
	key := k.index([]byte("tenant"), []byte("name"))
	plain := []byte("plain")
	b, err := k.seal(sm.Rand(), kindApp, key, 5, plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, x []byte) {
		// Every process of a fuzz run seals its own seed, so more than one frame
		// is honest; all of them hold the same text.
		if p, err := k.open(kindApp, key, 5, x); err == nil && !bytes.Equal(p, plain) {
			t.Fatal("a frame nobody sealed opens")
		}
	})
}

// req: TK-12
func FuzzHeadFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"realm":"000102030405060708090a0b0c0d0e0f","seq":3,"head":"","unix":1,"signature":""}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := parseHeadFile(b); err != nil && h != (LogHead{}) {
			t.Fatal("a refused file gave a head")
		}
	})
}

// The counter fits the backend's bound however full it is.
func TestHotFits(t *testing.T) {
	if n := hotSize + sealOverhead; n > core.MaxHot {
		t.Fatalf("a sealed counter is %d bytes, at most %d", n, core.MaxHot)
	}
	p := &pending{past: make([]pastCommit, maxPast)}
	if n := len(p.marshal()) + sealOverhead; n > core.MaxHot {
		t.Fatalf("a sealed pending record is %d bytes", n)
	}
	c := &chunk{tags: make([]protocol.Tag, chunkTries)}
	if n := len(c.marshal()) + sealOverhead; n > core.MaxHot {
		t.Fatalf("a sealed chunk is %d bytes", n)
	}
	if n := len(marshalList(make([]protocol.ID, listIDs))) + sealOverhead; n > core.MaxHot {
		t.Fatalf("a sealed list is %d bytes", n)
	}
	es := make([]event, maxPart)
	for i := range es {
		es[i].op = strings.Repeat("x", maxEventOp)
	}
	if n := len(marshalEvents(es)) + sealOverhead; n > core.MaxBlob {
		t.Fatalf("a full part of the log is %d bytes, at most %d", n, core.MaxBlob)
	}
	b := &stagedBody{policy: make([]byte, protocol.MaxPolicy), sealed: make([]byte, protocol.MaxSealed), oprfKey: make([]byte, 32)}
	if n := len(b.marshal()) + sealOverhead; n > core.MaxBlob {
		t.Fatalf("a staged record is %d bytes", n)
	}
}

// User ids are SS-CC's own 16 random bytes.
// req: K-7.1-09a
func TestIDsAreUnique(t *testing.T) {
	s := &Server{cfg: Config{Rand: sm.Rand()}}
	seen := make(map[protocol.ID]bool, 100_000)
	for range 100_000 {
		id, err := s.newID()
		if err != nil || id.IsZero() || seen[id] {
			t.Fatalf("id %s again: %v", id, err)
		}
		seen[id] = true
	}
}
