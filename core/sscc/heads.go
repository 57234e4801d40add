package sscc

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/sm"
)

// LogHead is the end of the audit log, signed by SS-CC's identity key. Kept
// outside the backend it shows that a backend was rolled back (I7).
type LogHead struct {
	Realm protocol.ID
	Seq   uint64 // events in the log
	Head  protocol.Hash
	Unix  int64
	Sig   protocol.Sig
}

// HeadStore keeps the newest head where a restore of the backend does not
// reach. Load returns a zero Seq when nothing was kept. Save replaces; it is
// durable when it returns.
type HeadStore interface {
	Load(ctx context.Context) (LogHead, error)
	Save(ctx context.Context, h LogHead) error
}

// Verify reports whether SS-CC with that identity signed the head.
func (h LogHead) Verify(identity sm.PublicKey) bool {
	return sm.Verify(identity, headMessage(h.Realm, h.Seq, h.Head, h.Unix), []byte(AuditID), h.Sig)
}

// FileHeads keeps the head in one file, JSON, replaced atomically.
type FileHeads struct{ path string }

// NewFileHeads keeps the head at path; its folder must exist and should be on
// another disk than the backend.
func NewFileHeads(path string) *FileHeads { return &FileHeads{path} }

type headFile struct {
	Version int         `json:"version"`
	Realm   protocol.ID `json:"realm"`
	Seq     uint64      `json:"seq"`
	Head    string      `json:"head"`
	Unix    int64       `json:"unix"`
	Sig     string      `json:"signature"`
}

const maxHeadFile = 4096

// Load implements HeadStore.
func (f *FileHeads) Load(context.Context) (LogHead, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return LogHead{}, nil
	}
	if err != nil {
		return LogHead{}, core.Errorf(core.Unavailable, "sscc: log head", "%w", err)
	}
	return parseHeadFile(b)
}

func parseHeadFile(b []byte) (h LogHead, err error) {
	var v headFile
	if len(b) > maxHeadFile || json.Unmarshal(b, &v) != nil || v.Version != 1 {
		return h, core.Errorf(core.Corrupt, "sscc: log head", "the file of the log head is malformed")
	}
	head, err1 := hex.DecodeString(v.Head)
	sig, err2 := hex.DecodeString(v.Sig)
	if err1 != nil || err2 != nil || len(head) != len(h.Head) || len(sig) != len(h.Sig) {
		return h, core.Errorf(core.Corrupt, "sscc: log head", "the file of the log head is malformed")
	}
	return LogHead{Realm: v.Realm, Seq: v.Seq, Head: protocol.Hash(head), Unix: v.Unix, Sig: protocol.Sig(sig)}, nil
}

// Save implements HeadStore.
func (f *FileHeads) Save(_ context.Context, h LogHead) error {
	b, err := json.Marshal(headFile{1, h.Realm, h.Seq, hex.EncodeToString(h.Head[:]), h.Unix, hex.EncodeToString(h.Sig[:])})
	if err == nil {
		err = replaceFile(f.path, append(b, '\n'))
	}
	if err != nil {
		return core.Errorf(core.Unavailable, "sscc: log head", "%w", err)
	}
	return nil
}

func replaceFile(path string, b []byte) (err error) {
	t, err := os.CreateTemp(filepath.Dir(path), ".head-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(t.Name())
		}
	}()
	if _, err = t.Write(b); err == nil {
		err = t.Sync()
	}
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err = os.Rename(t.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system can; the file itself is synced
	return d.Close()
}

// behind reports whether the backend's log does not reach the head kept
// outside: it was rolled back or changed.
func (s *Server) behind(ctx context.Context, k *keyring, tail part) (bool, error) {
	if s.cfg.Heads == nil {
		return false, nil
	}
	h, err := s.cfg.Heads.Load(ctx)
	if err != nil || h.Seq == 0 {
		return false, err
	}
	if h.Realm != k.realm || !h.Verify(k.identity.Public()) {
		return false, core.Errorf(core.Corrupt, "sscc: log head", "the head kept outside the backend is not signed by this SS-CC: is it the file of another one?")
	}
	ok, err := s.reaches(ctx, k, tail, h)
	return !ok, err
}

// reaches reports whether the stored chain contains h.
func (s *Server) reaches(ctx context.Context, k *keyring, tail part, h LogHead) (bool, error) {
	if tail.version == 0 || tail.end() < h.Seq {
		return false, nil
	}
	n, err := s.partOf(ctx, k, h.Seq-1)
	if err != nil {
		return false, err
	}
	p, err := s.readPart(ctx, k, n, true)
	if err != nil {
		return false, err
	}
	head := p.before
	for i := range p.events {
		head = p.events[i].next(head)
		if p.first+uint64(i)+1 == h.Seq {
			return head == h.Head, nil
		}
	}
	return false, nil
}
