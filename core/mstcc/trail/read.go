package trail

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
)

const opening = "keposs terminal audit 1 " // then the head before the first event

// segmentName names the file of the events after first.
func segmentName(first uint64) string { return fmt.Sprintf("events-%012d", first) }

// segments lists the files by the number of events before each.
func segments(dir string) ([]uint64, error) {
	list, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.Environment, "audit", "%w", err)
	}
	var out []uint64
	for _, e := range list {
		rest, ok := strings.CutPrefix(e.Name(), "events-")
		if n, err := strconv.ParseUint(rest, 10, 64); ok && err == nil && e.Name() == segmentName(n) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out, nil
}

// segment is one file as it was read.
type segment struct {
	first  uint64
	before head // the head before its first event
	head   head
	heads  []head // after each event
	events []Event
	good   int64 // bytes up to the last whole line
	torn   bool  // bytes follow that no newline ends
}

func readSegment(dir string, first uint64) (*segment, error) {
	const op = "audit"
	name := segmentName(first)
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSegment+1))
	if err != nil {
		return nil, core.Errorf(core.Environment, op, "%w", err)
	}
	s, err := parseSegment(first, b)
	if err != nil {
		return nil, core.Errorf(core.Integrity, op, "%s: %w", name, err)
	}
	return s, nil
}

// parseSegment reads a file and checks that it chains within itself.
func parseSegment(first uint64, b []byte) (*segment, error) {
	if len(b) > maxSegment {
		return nil, errors.New("longer than a file of the log gets")
	}
	s := &segment{first: first}
	line, rest, whole := bytes.Cut(b, []byte{'\n'})
	text, ok := bytes.CutPrefix(line, []byte(opening))
	if n, err := hex.Decode(s.before[:min(32, len(text)/2)], text[:min(64, len(text))]); !whole || !ok || err != nil || n != 32 || len(text) != 64 {
		return nil, errors.New("it does not begin as a file of the log")
	}
	s.head, s.good = s.before, int64(len(line)+1)
	for len(rest) > 0 {
		if line, rest, whole = bytes.Cut(rest, []byte{'\n'}); !whole {
			s.torn = true
			break
		}
		seq := first + uint64(len(s.events)) + 1
		var said head
		if len(line) < 66 || len(line) > maxLine || line[64] != ' ' {
			return nil, fmt.Errorf("event %d is malformed", seq)
		}
		if _, err := hex.Decode(said[:], line[:64]); err != nil {
			return nil, fmt.Errorf("event %d is malformed", seq)
		}
		body := line[65:]
		if s.head.next(body) != said {
			return nil, fmt.Errorf("event %d does not chain with the one before", seq)
		}
		var e Event
		d := json.NewDecoder(bytes.NewReader(body))
		d.DisallowUnknownFields()
		if err := d.Decode(&e); err != nil || e.Seq != seq {
			return nil, fmt.Errorf("event %d is malformed", seq)
		}
		s.head, s.good = said, s.good+int64(len(line)+1)
		s.events, s.heads = append(s.events, e), append(s.heads, said)
	}
	return s, nil
}

// check holds the newest file against the head beside it, which a crash leaves
// at most one event behind.
func (s *segment) check(kept savedHead) error {
	end := s.first + uint64(len(s.events))
	at := s.before
	switch {
	case kept.Seq > end:
		return core.Errorf(core.Integrity, "audit", "the log has %d events and its head says %d: it was cut or put back", end, kept.Seq)
	case kept.Seq+1 < end:
		return core.Errorf(core.Integrity, "audit", "the log has %d events and its head says %d: the head was put back", end, kept.Seq)
	case kept.Seq > s.first:
		at = s.heads[kept.Seq-s.first-1]
	case kept.Seq < s.first: // the file before this one ends there; Verify looks
		return nil
	}
	if kept.Seq > 0 && hex.EncodeToString(at[:]) != kept.Head {
		return core.Errorf(core.Integrity, "audit", "the log is not the one its head was made of")
	}
	return nil
}

// readHead is the zero head where there is none.
func readHead(dir string) (h savedHead, err error) {
	b, err := os.ReadFile(filepath.Join(dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return h, nil
	}
	if err != nil {
		return h, core.Errorf(core.Environment, "audit", "%w", err)
	}
	if err := json.Unmarshal(b, &h); err != nil || len(h.Head) != 64 {
		return h, core.Errorf(core.Integrity, "audit", "the head of the log is not what was written")
	}
	return h, nil
}

// Read returns up to most events (1 to 1000) from number from on, oldest first.
func Read(dir string, from uint64, most int) (out []Event, err error) {
	if most < 1 || most > 1000 {
		return nil, core.Errorf(core.Invalid, "audit", "page of %d events, want 1 to 1000", most)
	}
	list, err := segments(dir)
	if err != nil {
		return nil, err
	}
	for _, first := range list {
		if first+perSegment < from {
			continue
		}
		if len(out) == most {
			break
		}
		s, err := readSegment(dir, first)
		if err != nil {
			return nil, err
		}
		for _, e := range s.events {
			if e.Seq >= from && len(out) < most {
				out = append(out, e)
			}
		}
	}
	return out, nil
}

// A Report is what Verify found.
type Report struct {
	OK     bool     `json:"ok"`
	Events uint64   `json:"events"`
	Head   string   `json:"head"` // after the last event: note it outside
	Faults []string `json:"faults,omitempty"`
}

// Verify reads the whole log: every link of the chain, from the first event to
// the head beside it. It may run while an agent writes.
func Verify(dir string) (r Report, err error) {
	kept, err := readHead(dir) // before the log: that only grows
	fault := func(err error) { r.Faults = append(r.Faults, err.Error()) }
	if errors.Is(err, core.Integrity) {
		fault(err)
	} else if err != nil {
		return r, err
	}
	list, err := segments(dir)
	if err != nil {
		return r, err
	}
	var at head
	found := kept.Seq == 0
	for _, first := range list {
		s, err := readSegment(dir, first)
		if errors.Is(err, core.Integrity) {
			fault(err)
			break
		}
		if err != nil {
			return r, err
		}
		if s.first != r.Events || s.before != at {
			fault(fmt.Errorf("%s does not continue after event %d", segmentName(first), r.Events))
			break
		}
		for i, e := range s.events {
			found = found || e.Seq == kept.Seq && hex.EncodeToString(s.heads[i][:]) == kept.Head
		}
		at, r.Events = s.head, s.first+uint64(len(s.events))
	}
	if !found {
		fault(fmt.Errorf("the head says %d events and is not in the log of %d: it was cut, changed or put back", kept.Seq, r.Events))
	} else if kept.Seq == 0 && r.Events > 1 {
		fault(errors.New("the head of the log is gone"))
	}
	r.Head, r.OK = hex.EncodeToString(at[:]), len(r.Faults) == 0
	return r, nil
}
