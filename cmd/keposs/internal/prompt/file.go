package prompt

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
)

// readCapped reads r to its end into a wiped-as-it-grows buffer; more than
// limit bytes is TooLarge. The caller owns the buffer, also with an error.
func readCapped(r io.Reader, limit int) (*secret.Buffer, error) {
	b := secret.New(min(limit+1, 4096))
	n := 0
	for {
		if n == b.Len() {
			if n > limit {
				return b, core.Errorf(core.TooLarge, "", "more than %d bytes", limit)
			}
			bigger := secret.New(min(limit+1, 4*n))
			copy(bigger.Bytes(), b.Bytes())
			b.Wipe()
			b = bigger
		}
		k, err := r.Read(b.Bytes()[n:])
		n += k
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			return b, core.Errorf(core.Usage, "", "read: %w", err)
		}
		if n > limit {
			return b, core.Errorf(core.TooLarge, "", "more than %d bytes", limit)
		}
		out := secret.Copy(b.Bytes()[:n])
		b.Wipe()
		return out, nil
	}
}

// readSample reads a sample file: a regular file of 1 to MaxSample bytes.
func readSample(path string) (*secret.Buffer, error) {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, core.Errorf(core.NotFound, "", "%s does not exist", path)
	case err != nil:
		return nil, core.Errorf(core.Usage, "", "%w", err)
	case !st.Mode().IsRegular():
		return nil, core.Errorf(core.Usage, "", "%s is no regular file", path)
	case st.Size() > MaxSample:
		return nil, core.Errorf(core.TooLarge, "", "%s has %d bytes, at most %d", path, st.Size(), MaxSample)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, core.Errorf(core.Usage, "", "%w", err)
	}
	defer f.Close()
	b, err := readCapped(f, MaxSample)
	if err != nil {
		b.Wipe()
		return nil, core.Errorf(core.CodeOf(err), "", "%s: %w", path, err)
	}
	if b.Len() == 0 {
		return nil, core.Errorf(core.Invalid, "", "%s is empty", path)
	}
	return b, nil
}

// Files answers prompts for sensor-like samples from files: --sample
// LABEL=FILE, repeated for several captures. Typed factors never come from a
// file. Safe for concurrent use.
type Files struct {
	mu    sync.Mutex
	paths map[string][]string
	next  map[string]int
}

var _ core.Prompter = (*Files)(nil)

// NewFiles reads the flag values, each LABEL=FILE. Files are opened when asked
// for. A label answers prompts of that label, and of labels made from it
// ("face" answers "face:door" unless "face:door" is given itself).
func NewFiles(flags []string) (*Files, error) {
	f := &Files{paths: map[string][]string{}, next: map[string]int{}}
	for _, v := range flags {
		label, path, ok := strings.Cut(v, "=")
		if !ok || path == "" || !validLabel([]byte(label)) {
			return nil, core.Errorf(core.Usage, "sample", "want --sample LABEL=FILE, such as --sample face=me.npy")
		}
		f.paths[label] = append(f.paths[label], path)
	}
	return f, nil
}

// FileKinds are the sample kinds Files answers.
func FileKinds() []core.SampleKind {
	return []core.SampleKind{core.SampleISOFMR, core.SampleFaceEmbedding, core.SampleBytes}
}

// Ask implements core.Prompter. Files are used in order; when all have been
// used, a new collection begins with the first.
func (f *Files) Ask(ctx context.Context, q core.Prompt) (core.Sample, error) {
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
	f.mu.Lock()
	label := q.Label
	if len(f.paths[label]) == 0 {
		label, _, _ = strings.Cut(label, ":")
	}
	paths, i := f.paths[label], f.next[q.Label]
	if i >= len(paths) && q.Index <= 1 && q.Refusal == "" {
		i = 0
	}
	f.next[q.Label] = i + 1
	f.mu.Unlock()
	switch {
	case len(paths) == 0:
		return core.Sample{}, core.Errorf(core.NotFound, op, "no file for %s; add --sample %s=FILE", q.Label, q.Label)
	case i >= len(paths) && q.Refusal != "":
		return core.Sample{}, core.Errorf(core.CaptureRefused, op, "%s: %s; no further file is given", q.Label, q.Refusal)
	case i >= len(paths):
		return core.Sample{}, core.Errorf(core.NotFound, op, "%s: sample %d of %d is asked for, %d files are given", q.Label, q.Index, q.Total, len(paths))
	}
	b, err := readSample(paths[i])
	if err != nil {
		return core.Sample{}, core.Errorf(core.CodeOf(err), op, "%s: %w", q.Label, err)
	}
	return core.Sample{Kind: kind, Model: "file", Data: b}, nil
}
