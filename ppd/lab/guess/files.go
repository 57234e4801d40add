package guess

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/keposs/keposs/core"
)

// Bounds on what is read.
const (
	MaxFile  = 256 << 20 // bytes
	MaxRows  = 4 << 20
	MaxValue = 128 // bytes of one value
)

// A Value is one PIN or gesture and how often it was seen.
type Value struct {
	Text  string
	Count uint64
}

// ReadCounts reads "value,count" lines, no header. Values repeat never; counts
// are plain decimals. Invalid and TooLarge name the line.
func ReadCounts(r io.Reader) ([]Value, error) {
	const op = "guess: read counts"
	c := csv.NewReader(io.LimitReader(r, MaxFile))
	c.FieldsPerRecord, c.ReuseRecord = 2, true
	seen := map[string]bool{}
	var out []Value
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, core.Errorf(core.Invalid, op, "want lines of value,count: %w", err)
		}
		n, err := strconv.ParseUint(row[1], 10, 40)
		switch {
		case err != nil:
			return nil, core.Errorf(core.Invalid, op, "line %d: the count is no plain number below 2^40", len(out)+1)
		case row[0] == "" || len(row[0]) > MaxValue:
			return nil, core.Errorf(core.Invalid, op, "line %d: a value of %d bytes, want 1 to %d", len(out)+1, len(row[0]), MaxValue)
		case seen[row[0]]:
			return nil, core.Errorf(core.Invalid, op, "line %d: a value stands twice", len(out)+1)
		case len(out) == MaxRows:
			return nil, core.Errorf(core.TooLarge, op, "more than %d lines", MaxRows)
		}
		v := strings.Clone(row[0])
		seen[v] = true
		out = append(out, Value{v, n})
	}
	return out, nil
}

// ReadOrder reads one value a line, likeliest first, without frequencies.
func ReadOrder(r io.Reader) ([]string, error) {
	const op = "guess: read order"
	s := bufio.NewScanner(io.LimitReader(r, MaxFile))
	s.Buffer(make([]byte, 0, 4096), 4096)
	var out []string
	for s.Scan() {
		v := strings.TrimSuffix(s.Text(), "\r")
		if v == "" || len(v) > MaxValue || strings.ContainsRune(v, ',') {
			return nil, core.Errorf(core.Invalid, op, "line %d: want one value of 1 to %d bytes, no comma", len(out)+1, MaxValue)
		}
		if len(out) == MaxRows {
			return nil, core.Errorf(core.TooLarge, op, "more than %d lines", MaxRows)
		}
		out = append(out, v)
	}
	if err := s.Err(); err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	return out, nil
}

// ReadPatterns reads the JSON of collections of unlock patterns:
// {"patterns": [{"nodes": [0, 1, 2, 5], "frequency": 8}, …]}, dots from 0. The
// values come out in this project's form, "1-2-3-6".
func ReadPatterns(r io.Reader) ([]Value, error) {
	const op = "guess: read patterns"
	b, err := io.ReadAll(io.LimitReader(r, MaxFile))
	if err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	var f struct {
		Patterns []struct {
			Nodes     []int  `json:"nodes"`
			Frequency uint64 `json:"frequency"`
		} `json:"patterns"`
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, core.Errorf(core.Invalid, op, "%w", err)
	}
	seen := map[string]bool{}
	var out []Value
	for i, p := range f.Patterns {
		var t strings.Builder
		for j, n := range p.Nodes {
			if n < 0 || n > 15 || len(p.Nodes) > 16 {
				return nil, core.Errorf(core.Invalid, op, "pattern %d: want up to 16 dots numbered 0 to 15", i+1)
			}
			if j > 0 {
				t.WriteByte('-')
			}
			t.WriteString(strconv.Itoa(n + 1))
		}
		if t.Len() == 0 || seen[t.String()] || p.Frequency >= 1<<40 {
			return nil, core.Errorf(core.Invalid, op, "pattern %d is empty, stands twice, or its frequency is 2^40 or more", i+1)
		}
		seen[t.String()] = true
		out = append(out, Value{t.String(), p.Frequency})
	}
	return out, nil
}

// Load opens path and reads it by its content: JSON patterns, value,count lines,
// or an order. counted is false for an order, whose values have no counts.
func Load(path string) (values []Value, counted bool, err error) {
	const op = "guess: load"
	st, err := os.Stat(path)
	if err != nil {
		return nil, false, core.Errorf(core.NotFound, op, "%w", err)
	}
	if st.Size() > MaxFile {
		return nil, false, core.Errorf(core.TooLarge, op, "%s has %d bytes, at most %d", path, st.Size(), MaxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, false, core.Errorf(core.NotFound, op, "%w", err)
	}
	line, _, _ := bytes.Cut(bytes.TrimLeft(b, " \r\n"), []byte{'\n'})
	switch {
	case bytes.HasPrefix(line, []byte{'{'}):
		values, err = ReadPatterns(bytes.NewReader(b))
		return values, true, err
	case bytes.ContainsRune(line, ','):
		values, err = ReadCounts(bytes.NewReader(b))
		return values, true, err
	default:
		var list []string
		list, err = ReadOrder(bytes.NewReader(b))
		for _, v := range list {
			values = append(values, Value{Text: v})
		}
		return values, false, err
	}
}
