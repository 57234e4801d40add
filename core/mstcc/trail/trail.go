// Package trail is the terminal's audit log: one chain of SM3 digests in an
// append-only file, which an agent writes at level 2 (G-7.6-03).
//
// An event is durable when Add returns, and no answer leaves the agent before
// its event: a log that cannot be written serves nobody. The log names no user
// and holds no secret.
//
// A line is "HEAD JSON": HEAD is SM3(enc("terminal-audit", head before, JSON)) in
// hex. The newest head also stands in a file of its own, so that a log that was
// cut or put back alone is noticed; whoever owns the account can replace both,
// and is found out by a head that was noted elsewhere (keposs audit verify
// shows it).
package trail

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/enc"
	"github.com/keposs/keposs/core/mstcc/internal/durable"
	"github.com/keposs/keposs/core/sm"
)

// An Event is one line. Texts are cut to MaxText bytes.
type Event struct {
	Seq   uint64 `json:"seq"`             // from 1; set by Add
	Time  int64  `json:"time"`            // Unix milliseconds; set by Add
	Kind  string `json:"kind"`            // sign, locked, refused-peer, …
	Code  string `json:"code,omitempty"`  // of the failure
	Text  string `json:"text,omitempty"`  // what an alarm says, which test failed, what was taken over
	Role  string `json:"role,omitempty"`  // taken for this service: "user" once PPD was accepted
	State string `json:"state,omitempty"` // of the module afterwards
	PID   int    `json:"pid,omitempty"`   // of the process that asked
	UID   int    `json:"uid,omitempty"`   // of a peer that was refused
}

// Bounds, checked before memory is taken.
const (
	MaxText    = 256
	maxLine    = 1 << 12
	perSegment = 10_000 // events in one file
	maxSegment = perSegment * maxLine
)

const headFile = "head"

type head [32]byte

// next is the chain's head after one line's JSON.
func (h head) next(body []byte) head {
	return head(sm.SM3(enc.Join(enc.Str("terminal-audit"), h[:], body)))
}

// A Log is open for appending by one process. Safe for concurrent use.
type Log struct {
	mu     sync.Mutex
	dir    string
	file   *os.File
	seq    uint64 // events so far
	first  uint64 // events before this file
	head   head
	clock  func() time.Time
	broken error // the first failure: nothing is written after it
}

// Open continues the log in dir, which it makes with mode 0700, after checking
// its newest file against the head. What a crash left half-written is cut off
// and told by an event. Integrity is the code for a log that was changed.
func Open(dir string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, core.Errorf(core.Environment, "audit", "%w", err)
	}
	l := &Log{dir: dir, clock: time.Now}
	torn, err := l.load()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if torn {
		err = l.Add(Event{Kind: "torn", Text: "the line a crash left unfinished was cut off"})
	} else if l.seq > 0 {
		err = l.saveHead() // one line may be ahead of it
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// load finds the end of the newest file and opens it there.
func (l *Log) load() (torn bool, err error) {
	const op = "audit"
	list, err := segments(l.dir)
	if err != nil {
		return false, err
	}
	kept, err := readHead(l.dir)
	if err != nil {
		return false, err
	}
	if len(list) == 0 {
		if kept.Seq != 0 {
			return false, core.Errorf(core.Integrity, op, "the log is gone, its head says %d events: find out why before anything else", kept.Seq)
		}
		return false, l.begin()
	}
	s, err := readSegment(l.dir, list[len(list)-1])
	if err == nil {
		err = s.check(kept)
	}
	if err != nil {
		return false, err
	}
	l.first, l.seq, l.head = s.first, s.first+uint64(len(s.events)), s.head
	if l.file, err = os.OpenFile(filepath.Join(l.dir, segmentName(l.first)), os.O_RDWR|os.O_APPEND, 0o600); err != nil {
		return false, core.Errorf(core.Environment, op, "%w", err)
	}
	if s.torn {
		err = l.file.Truncate(s.good)
	}
	if err != nil {
		return false, core.Errorf(core.Exhausted, op, "%w", err)
	}
	return s.torn, nil
}

// begin starts a file for the events after l.seq.
func (l *Log) begin() error {
	if l.file != nil {
		if err := l.file.Close(); err != nil {
			return err
		}
	}
	l.first = l.seq
	f, err := os.OpenFile(filepath.Join(l.dir, segmentName(l.first)), os.O_RDWR|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	l.file = f
	_, err = fmt.Fprintf(f, "%s%x\n", opening, l.head)
	return errors.Join(err, f.Sync(), durable.Folder(l.dir))
}

// Add stores one event; it is durable when Add returns. After a failure every
// further call fails: the log is in the state its reader will find.
func (l *Log) Add(e Event) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken != nil {
		return l.broken
	}
	if err := l.add(e); err != nil {
		l.broken = core.Errorf(core.Environment, "audit", "the terminal's audit log cannot be written, so nothing is served: mend it and start the agent again: %w", err)
	}
	return l.broken
}

// Err is why the log takes no more events; nil while it does.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

// Head is the number of events and the newest head in hex, to be noted outside.
func (l *Log) Head() (uint64, string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq, hex.EncodeToString(l.head[:])
}

func (l *Log) add(e Event) error {
	if l.seq-l.first >= perSegment {
		if err := l.begin(); err != nil {
			return err
		}
	}
	e.Seq, e.Time = l.seq+1, l.clock().UnixMilli()
	e.Kind, e.Text, e.Role = cut(e.Kind), cut(e.Text), cut(e.Role)
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if len(body) > maxLine-66 {
		return fmt.Errorf("an event of %d bytes", len(body))
	}
	next := l.head.next(body)
	if _, err := fmt.Fprintf(l.file, "%x %s\n", next, body); err != nil {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.seq, l.head = e.Seq, next
	return l.saveHead()
}

func cut(s string) string { return s[:min(len(s), MaxText)] }

// savedHead is the file beside the log.
type savedHead struct {
	Seq  uint64 `json:"seq"`
	Head string `json:"head"`
}

func (l *Log) saveHead() error {
	b, err := json.Marshal(savedHead{l.seq, hex.EncodeToString(l.head[:])})
	if err != nil {
		return err
	}
	tmp := filepath.Join(l.dir, "."+headFile)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(l.dir, headFile))
}

// Close ends the log; it may be called repeatedly.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	if l.broken == nil {
		l.broken = core.Errorf(core.Closed, "audit", "the log is closed")
	}
	return err
}
