// Package needle searches folders for secrets that must not be there.
//
// quickstart shows with it that the database and the terminal's folder hold no
// plaintext, and tests use it after every crash point (attack test 35). A
// needle is looked for as raw bytes, in lower- and upper-case hex, and in
// base64 at all three alignments, in file contents and in file names. A search
// is believed only together with [Control], which plants a needle and finds it.
package needle

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// minNeedle is the shortest needle worth a search: shorter ones occur by chance.
const minNeedle = 4

// A Needle is one value to look for. Data is lent and never printed.
type Needle struct {
	Name string // what it is, for the report
	Data []byte
}

// Hit is one occurrence. It tells where, never what stood there.
type Hit struct {
	Name   string // of the needle
	Form   string // raw, hex, HEX, base64, name
	File   string // relative to the folder searched
	Offset int64
}

// String renders a hit for a person.
func (h Hit) String() string {
	return fmt.Sprintf("%s (%s) in %s at byte %d", h.Name, h.Form, h.File, h.Offset)
}

// Report is what a search did.
type Report struct {
	Files int
	Bytes int64
	Hits  []Hit
}

type form struct {
	name, form string
	data       []byte
}

// forms lists the encodings of every needle.
func forms(needles []Needle) ([]form, error) {
	var out []form
	for _, n := range needles {
		if len(n.Data) < minNeedle {
			return nil, fmt.Errorf("needle: %s has %d bytes, at least %d are needed to mean anything", n.Name, len(n.Data), minNeedle)
		}
		lower := []byte(hex.EncodeToString(n.Data))
		out = append(out,
			form{n.Name, "raw", n.Data},
			form{n.Name, "hex", lower},
			form{n.Name, "HEX", bytes.ToUpper(lower)})
		for shift := range 3 {
			if b := inner64(n.Data, shift); len(b) >= 8 {
				out = append(out, form{n.Name, "base64", b})
			}
		}
	}
	return out, nil
}

// inner64 is the part of data's base64 that does not depend on its neighbours
// when data starts at shift bytes into a group of three.
func inner64(data []byte, shift int) []byte {
	padded := append(make([]byte, shift), data...)
	padded = padded[:len(padded)/3*3]
	text := []byte(base64.StdEncoding.EncodeToString(padded))
	if shift > 0 && len(text) >= 4 {
		text = text[4:]
	}
	return text
}

// Search looks through every regular file below dir.
func Search(dir string, needles []Needle) (Report, error) {
	var r Report
	wanted, err := forms(needles)
	if err != nil {
		return r, err
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, path)
		for _, f := range wanted {
			if strings.Contains(d.Name(), string(f.data)) {
				r.Hits = append(r.Hits, Hit{f.name, "name", rel, 0})
			}
		}
		if !d.Type().IsRegular() {
			return nil
		}
		n, hits, err := searchFile(path, rel, wanted)
		if err != nil {
			return err
		}
		r.Files++
		r.Bytes += n
		r.Hits = append(r.Hits, hits...)
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("needle: search %s: %w", dir, err)
	}
	return r, nil
}

// chunk is read at a time; pieces overlap by the longest form.
const chunk = 4 << 20

func searchFile(path, rel string, needles []form) (int64, []Hit, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer f.Close()
	overlap := 0
	for _, n := range needles {
		overlap = max(overlap, len(n.data)-1)
	}
	buf := make([]byte, overlap+chunk)
	defer clear(buf)
	var hits []Hit
	var at int64 // offset of buf[0]
	kept := 0
	for {
		n, err := io.ReadFull(f, buf[kept:])
		have := buf[:kept+n]
		for _, want := range needles {
			for from := 0; ; {
				i := bytes.Index(have[from:], want.data)
				if i < 0 {
					break
				}
				// What ends inside the overlap was found in the round before.
				if end := from + i + len(want.data); end > kept {
					hits = append(hits, Hit{want.name, want.form, rel, at + int64(from+i)})
				}
				from += i + 1
			}
		}
		if err != nil {
			if err == io.EOF || err == io.ErrUnexpectedEOF {
				return at + int64(len(have)), hits, nil
			}
			return 0, nil, err
		}
		keep := min(overlap, len(have))
		copy(buf, have[len(have)-keep:])
		at += int64(len(have) - keep)
		kept = keep
	}
}

// Control plants every needle, in every form, in a file of its own below a new
// folder in dir, searches there and reports whether all were found. The folder
// is removed.
func Control(dir string, needles []Needle) error {
	tmp, err := os.MkdirTemp(dir, "control-*")
	if err != nil {
		return fmt.Errorf("needle: control: %w", err)
	}
	defer os.RemoveAll(tmp)
	wanted, err := forms(needles)
	if err != nil {
		return err
	}
	for i, f := range wanted {
		pad := bytes.Repeat([]byte{0xA5}, 37*i)
		if err := os.WriteFile(filepath.Join(tmp, fmt.Sprintf("%04d", i)), append(append(pad, f.data...), 0x5A), 0o600); err != nil {
			return fmt.Errorf("needle: control: %w", err)
		}
	}
	r, err := Search(tmp, needles)
	if err != nil {
		return err
	}
	found := map[string]bool{}
	for _, h := range r.Hits {
		found[h.File] = true
	}
	if len(found) != len(wanted) {
		return fmt.Errorf("needle: control: found %d of %d planted values: the search is blind", len(found), len(wanted))
	}
	return nil
}
