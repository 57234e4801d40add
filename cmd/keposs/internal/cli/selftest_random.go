package cli

import (
	"fmt"
	"io"
	"os"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/sm"
	"github.com/keposs/keposs/internal/randtest"
)

// maxRandom bounds what the statistics read, in bytes: 4000 samples.
const maxRandom = 4000 * randtest.SampleBytes

// randomTested is what `keposs selftest --random` and `--bytes` print.
type randomTested struct {
	OK      bool              `json:"ok"`
	Source  string            `json:"source"`
	Samples int               `json:"samples"`
	Full    bool              `json:"full"` // enough samples for the standard's own rule
	Tests   []randtest.Result `json:"tests"`
}

// statistics runs the offline tests over a file, or over n bytes of the
// module's own generator.
// req: G-7.9-04
func (e *Env) statistics(file string, n int) error {
	const op = "selftest"
	out := randomTested{Source: "the module's generator"}
	in := sm.Rand()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return core.Errorf(core.Usage, op, "%w", err)
		}
		defer f.Close()
		in, out.Source, n = f, file, maxRandom
	}
	if n < randtest.SampleBytes || n > maxRandom {
		return advise(core.Errorf(core.Usage, op, "%d bytes, want %d to %d", n, randtest.SampleBytes, maxRandom), "one sample has %d bytes", randtest.SampleBytes)
	}
	data, err := io.ReadAll(io.LimitReader(in, int64(n)))
	if err != nil {
		return core.Errorf(core.CodeOf(err), op, "read %s: %w", out.Source, err)
	}
	if len(data) < randtest.SampleBytes {
		return core.Errorf(core.Usage, op, "%s has %d bytes, one sample needs %d", out.Source, len(data), randtest.SampleBytes)
	}
	out.OK = true
	out.Tests, out.Samples = randtest.Run(data, func(done, of int) {
		if done%100 == 0 {
			e.Note("%d of %d samples", done, of)
		}
	})
	out.Full = out.Samples >= 1000
	for _, t := range out.Tests {
		out.OK = out.OK && t.OK
	}
	return e.Verdict(out.OK, out, out.print)
}

func (o randomTested) print(w io.Writer) {
	fmt.Fprintf(w, "%-26s %8s %6s %10s %10s\n", "test", "passed", "least", "lowest P", "even P")
	for _, t := range o.Tests {
		word := "ok"
		if !t.OK {
			word = "FAILED"
		}
		fmt.Fprintf(w, "%-26s %8d %6d %10.6f %10.6f %s\n", t.Name, t.Passed, t.Least, t.Lowest, t.Uniform, word)
	}
	fmt.Fprintf(w, "%d samples of 10^6 bits from %s\n", o.Samples, o.Source)
	if !o.Full {
		fmt.Fprintln(w, "a short look: GM/T 0005 judges 1000 samples, --bytes 125000000")
	}
}
