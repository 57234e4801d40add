package check

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// Bounds of a folder of samples.
const (
	maxPeople     = 200
	maxTakes      = 64      // of one person
	maxSampleFile = 1 << 20 // bytes, as a host takes them
)

// someone is one person of a folder of samples: what was taken of them, in the
// order of the files' names.
type someone struct {
	name  string
	kind  core.SampleKind
	takes [][]byte
}

// readSamples reads a folder with one folder for each person and in it one file
// for each take, in the form of kind. A line end after a text is no part of it.
// Usage for a folder that has no two people.
func readSamples(dir string, kind core.SampleKind) ([]someone, error) {
	const op = "plugin check: samples"
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, core.Errorf(core.NotFound, op, "%w", err)
	}
	var out []someone
	for _, d := range list {
		if !d.IsDir() || strings.HasPrefix(d.Name(), ".") || len(out) == maxPeople {
			continue
		}
		p := someone{name: d.Name(), kind: kind}
		files, err := os.ReadDir(filepath.Join(dir, d.Name()))
		if err != nil {
			return nil, core.Errorf(core.NotFound, op, "%w", err)
		}
		sort.Slice(files, func(i, j int) bool { return files[i].Name() < files[j].Name() })
		for _, f := range files {
			if !f.Type().IsRegular() || strings.HasPrefix(f.Name(), ".") || len(p.takes) == maxTakes {
				continue
			}
			name := filepath.Join(dir, d.Name(), f.Name())
			if st, err := f.Info(); err != nil || st.Size() == 0 || st.Size() > maxSampleFile {
				return nil, core.Errorf(core.Invalid, op, "%s: want 1 byte to 1 MiB: %w", name, errors.Join(err, errSize))
			}
			b, err := os.ReadFile(name)
			if err != nil {
				return nil, core.Errorf(core.NotFound, op, "%w", err)
			}
			if kind == core.SamplePIN || kind == core.SamplePattern {
				b = []byte(strings.TrimRight(string(b), "\r\n"))
			}
			p.takes = append(p.takes, b)
		}
		if len(p.takes) > 0 {
			out = append(out, p)
		}
	}
	if len(out) < 2 {
		return nil, core.Errorf(core.Usage, op, "%s has %d people, want a folder for each of two at least, with a file for each take", dir, len(out))
	}
	return out, nil
}

var errSize = errors.New("the file's size")

// presenter answers prompts with the takes of one person, in order, from a
// first one on; the entry again is the same take.
type presenter struct {
	who  someone
	next int // of takes
	used int // enrolment: how many were given
}

func (p *presenter) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, "samples", "%w", err)
	}
	if q.Purpose == core.PurposeConfirm && p.next > 0 && q.Refusal == "" {
		p.next--
	}
	if p.next >= len(p.who.takes) {
		return core.Sample{}, core.Errorf(core.CaptureRefused, "samples", "no take of %s is left", p.who.name)
	}
	b := p.who.takes[p.next]
	p.next++
	p.used = max(p.used, p.next)
	return core.Sample{Kind: p.who.kind, Model: "samples", Data: secret.Copy(b)}, nil
}
