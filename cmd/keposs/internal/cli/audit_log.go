package cli

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// auditPage names the events of a log to show: SS-CC's or the terminal's.
type auditPage struct {
	from uint64
	most int
}

func (p *auditPage) register(c *cobra.Command) {
	c.Flags().Uint64Var(&p.from, "from", 0, "`number` of the first event")
	c.Flags().IntVar(&p.most, "most", 100, "`count` of events, up to 1000")
}

func (p *auditPage) check(op string) error {
	if p.most < 1 || p.most > 1000 {
		return usagef(op, "--most %d, want 1 to 1000", p.most)
	}
	return nil
}

// reportEvents writes one JSON line for each event: what a log tool reads. With
// --json they are one object.
func reportEvents[T any](e *Env, events []T) error {
	out := struct {
		Events []T `json:"events"`
	}{append([]T{}, events...)} // [] where there are none
	return e.Report(out, func(w io.Writer) {
		for _, v := range out.Events {
			b, err := json.Marshal(v)
			if err != nil {
				continue
			}
			fmt.Fprintf(w, "%s\n", b)
		}
	})
}

// printChain tells what verifying a log found.
func printChain(w io.Writer, ok bool, events uint64, head string, faults []string) {
	fmt.Fprintf(w, "%s: %d events, head %s\n", pickText(ok, "intact", "NOT intact"), events, head)
	for _, f := range faults {
		fmt.Fprintf(w, "fault: %s\n", f)
	}
}
