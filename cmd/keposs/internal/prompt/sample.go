package prompt

import (
	"context"
	"strings"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/face"
)

// Samples answers prompts for sensor-like samples from files, --sample
// LABEL=FILE, repeated for several files. A face file of several rows (.npy)
// gives one answer a row; every other file gives one. Typed factors never come
// from a file. Safe for concurrent use.
type Samples struct {
	mu    sync.Mutex
	paths map[string][]string
	rows  map[string][]answer // of the labels asked for so far
	next  map[string]int      // by the prompt's label
}

// answer is one row of one file.
type answer struct {
	path string
	row  int
}

var _ core.Prompter = (*Samples)(nil)

// NewSamples reads the flag values, each LABEL=FILE. Files are opened when
// asked for and not kept. A label answers prompts of that label, and of labels
// made from it ("face" answers "face:door" unless "face:door" is given itself).
func NewSamples(flags []string) (*Samples, error) {
	f, err := NewFiles(flags)
	if err != nil {
		return nil, err
	}
	return &Samples{paths: f.paths, rows: map[string][]answer{}, next: map[string]int{}}, nil
}

// Ask implements core.Prompter. Answers are used in order. A collection that
// finds too few left begins with the first again, so one file serves an
// enrolment, and its later rows the services after it.
func (s *Samples) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
	const op = "sample"
	if err := ctx.Err(); err != nil {
		return core.Sample{}, core.Errorf(core.Canceled, op, "%w", err)
	}
	kind := core.SampleKind("")
	for _, k := range q.Kinds {
		if !typed(k) {
			kind = k
			break
		}
	}
	if kind == "" {
		return core.Sample{}, core.Errorf(core.Unsupported, op, "%s: a PIN or gesture never comes from a file", q.Label)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	label := q.Label
	if len(s.paths[label]) == 0 {
		label, _, _ = strings.Cut(label, ":")
	}
	all, err := s.answers(label, kind)
	if err != nil {
		return core.Sample{}, err
	}
	i := s.next[q.Label]
	if q.Index <= 1 && q.Refusal == "" && i+max(q.Total, 1) > len(all) {
		i = 0
	}
	switch {
	case len(all) == 0:
		return core.Sample{}, core.Errorf(core.NotFound, op, "no file for %s; add --sample %s=FILE", q.Label, q.Label)
	case i >= len(all) && q.Refusal != "":
		return core.Sample{}, core.Errorf(core.CaptureRefused, op, "%s: %s; no further sample is given", q.Label, q.Refusal)
	case i >= len(all):
		return core.Sample{}, core.Errorf(core.NotFound, op, "%s: sample %d of %d is asked for, %d are given", q.Label, q.Index, q.Total, len(all))
	}
	s.next[q.Label] = i + 1
	parts, err := split(all[i].path, kind)
	if err != nil {
		return core.Sample{}, core.Errorf(core.CodeOf(err), op, "%s: %w", q.Label, err)
	}
	var data *secret.Buffer
	for n, p := range parts {
		if n == all[i].row {
			data = p
		} else {
			p.Wipe()
		}
	}
	if data == nil {
		return core.Sample{}, core.Errorf(core.Invalid, op, "%s: the file became shorter while it was used", q.Label)
	}
	return core.Sample{Kind: kind, Data: data}, nil
}

// answers lists what the files of a label hold.
func (s *Samples) answers(label string, kind core.SampleKind) ([]answer, error) {
	if s.rows[label] != nil {
		return s.rows[label], nil
	}
	var all []answer
	for _, path := range s.paths[label] {
		parts, err := split(path, kind)
		if err != nil {
			return nil, core.Errorf(core.CodeOf(err), "sample", "%s: %w", label, err)
		}
		for row, p := range parts {
			p.Wipe()
			all = append(all, answer{path, row})
		}
	}
	s.rows[label] = all
	return all, nil
}

// split reads a file as the answers it holds.
func split(path string, kind core.SampleKind) ([]*secret.Buffer, error) {
	b, err := readSample(path)
	if err != nil {
		return nil, err
	}
	if kind != core.SampleFaceEmbedding {
		return []*secret.Buffer{b}, nil
	}
	defer b.Wipe()
	return face.Split(b.Bytes())
}
