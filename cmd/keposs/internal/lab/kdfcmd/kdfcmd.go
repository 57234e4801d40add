// Package kdfcmd is `keposs lab kdf`, `lab compare`, `lab export` and
// `keposs kdf`: what derivations cost both sides, here and now.
package kdfcmd

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf/lab"
	"github.com/keposs/keposs/ppd/lab/guess"
)

const op = "lab kdf"

// Command is `lab kdf`. version is this program's.
func Command(version string) *cobra.Command {
	var o lab.Options
	var out, html, prices, from, figure string
	var pins, patterns []string
	var total uint64
	var asJSON, asCSV, schema bool
	c := &cobra.Command{
		Use:   "kdf",
		Short: "Measure every KDF: latency, memory, attack speed, money",
		Long: `Without options: every KDF at its default cost, in half a minute. For each the
defender's time, CPU, memory and allocations, guesses per second and core of the
built-in cracker on this machine, and what that costs against the PINs and
patterns people choose. --full is the sweep over parameters.

With --out FOLDER the folder gets result.json, result.csv and report.html, and
a run that was stopped goes on where it was when the same command is given
again. Files for --pins hold value,count lines; for --patterns the same or a
JSON of unlock patterns, with --total choices counted in all when the file is
only the head of the list.

--prices takes a JSON list in place of the example; see docs/kdf-study.md. Rates
of hardware that is not here are models and always marked as estimates.`,
		Example: `  keposs lab kdf
  keposs lab kdf --full --out study --pins rockyou-4-digit-counts.csv
  keposs lab kdf --json | jq .ratios`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if schema {
				_, err := io.WriteString(cmd.OutOrStdout(), lab.SchemaText)
				return err
			}
			if asJSON && asCSV {
				return core.Errorf(core.Usage, op, "give --json or --csv, not both")
			}
			if from != "" {
				r, err := readResult(from)
				if err != nil {
					return err
				}
				return show(cmd.OutOrStdout(), r, out, html, figure, asJSON, asCSV)
			}
			if o.Budget < 0 {
				return core.Errorf(core.Usage, op, "--budget %v, want more than 0", o.Budget)
			}
			var err error
			if o.Distributions, err = distributions(pins, patterns, total); err != nil {
				return err
			}
			if prices != "" {
				if o.Prices, err = readPrices(prices); err != nil {
					return err
				}
			}
			if out != "" {
				if err := os.MkdirAll(out, 0o755); err != nil {
					return core.Errorf(core.Usage, op, "%w", err)
				}
				if o.Resume, err = lab.OpenState(filepath.Join(out, "state.jsonl")); err != nil {
					return err
				}
			}
			o.Version, o.Command = version, commandLine(o.Full, pins, patterns, total, prices)
			o.Progress = progress(cmd.ErrOrStderr())
			r, err := lab.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			return show(cmd.OutOrStdout(), r, out, html, figure, asJSON, asCSV)
		},
	}
	f := c.Flags()
	f.BoolVar(&o.Full, "full", false, "the sweep over parameters")
	f.DurationVar(&o.Budget, "budget", 0, "longest time of the measurements (default 25s, 9m30s with --full); a cell begun is ended")
	f.StringVar(&out, "out", "", "folder for result.json, result.csv, report.html; resumes")
	f.StringVar(&html, "html", "", "write the report here")
	f.StringArrayVar(&pins, "pins", nil, "counted PINs, value,count lines, repeatable")
	f.StringArrayVar(&patterns, "patterns", nil, "counted unlock patterns, repeatable")
	f.Uint64Var(&total, "total", 0, "choices counted in all, when files of --patterns hold only the most frequent")
	f.StringVar(&prices, "prices", "", "price table, JSON")
	f.StringVar(&from, "from", "", "measure nothing: take this result.json")
	f.StringVar(&figure, "figure", "", "print one picture as SVG: money, money-2, …, latency, memory, heat")
	f.BoolVar(&asJSON, "json", false, "print one JSON object")
	f.BoolVar(&asCSV, "csv", false, "print CSV, one line for each cell, distribution and hardware")
	f.BoolVar(&schema, "schema", false, "print the JSON schema of the result and stop")
	return c
}

// show writes the files asked for and prints r in one form.
func show(w io.Writer, r *lab.Result, out, html, figure string, asJSON, asCSV bool) error {
	if err := write(r, out, html); err != nil {
		return err
	}
	switch {
	case figure != "":
		return lab.WriteFigure(w, r, figure)
	case asJSON:
		return writeJSON(w, r)
	case asCSV:
		return lab.WriteCSV(w, r)
	default:
		return lab.WriteTable(w, r)
	}
}

func readResult(path string) (*lab.Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, core.Errorf(core.NotFound, op, "%w", err)
	}
	defer f.Close()
	return lab.Read(f)
}

// commandLine is what makes a result again, with file names as they were given.
func commandLine(full bool, pins, patterns []string, total uint64, prices string) string {
	var b strings.Builder
	b.WriteString("keposs lab kdf")
	if full {
		b.WriteString(" --full")
	}
	for _, p := range pins {
		fmt.Fprintf(&b, " --pins %s", filepath.Base(p))
	}
	for _, p := range patterns {
		fmt.Fprintf(&b, " --patterns %s", filepath.Base(p))
	}
	if total > 0 {
		fmt.Fprintf(&b, " --total %d", total)
	}
	if prices != "" {
		fmt.Fprintf(&b, " --prices %s", filepath.Base(prices))
	}
	return b.String()
}

// patternSpace is the number of 3×3 patterns of four dots or more.
const patternSpace = 389_112

// distributions joins what files give with the built-in ones; a counted file
// takes the place of the published points of its kind.
func distributions(pins, patterns []string, total uint64) ([]*guess.Distribution, error) {
	var out []*guess.Distribution
	load := func(path string) ([]guess.Value, error) {
		v, counted, err := guess.Load(path)
		if err == nil && !counted {
			err = core.Errorf(core.Invalid, op, "%s is an order without counts: `keposs lab ppd` shows what can be said of it", path)
		}
		return v, err
	}
	for _, p := range pins {
		v, err := load(p)
		if err != nil {
			return nil, err
		}
		d, err := guess.OfCounts("PINs of "+filepath.Base(p), "given file", v)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	for _, p := range patterns {
		v, err := load(p)
		if err != nil {
			return nil, err
		}
		name := "patterns of " + filepath.Base(p)
		d, err := guess.OfCounts(name, "given file", v)
		if total > 0 {
			d, err = guess.OfHead(name, fmt.Sprintf("given file, the head of %d choices; the rest even over all patterns", total), v, total, patternSpace)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	builtin := lab.DefaultDistributions()
	if len(pins) > 0 {
		builtin = builtin[1:]
	}
	return append(out, builtin...), nil
}

func readPrices(path string) ([]lab.Price, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, core.Errorf(core.NotFound, op, "%w", err)
	}
	defer f.Close()
	return lab.ReadPrices(f)
}

// write fills the folder and the report's file.
func write(r *lab.Result, out, html string) error {
	if out != "" {
		if err := create(filepath.Join(out, "result.json"), func(w io.Writer) error { return writeJSON(w, r) }); err != nil {
			return err
		}
		if err := create(filepath.Join(out, "result.csv"), func(w io.Writer) error { return lab.WriteCSV(w, r) }); err != nil {
			return err
		}
		if err := create(filepath.Join(out, "report.html"), func(w io.Writer) error { return lab.WriteReport(w, r) }); err != nil {
			return err
		}
	}
	if html != "" {
		return create(html, func(w io.Writer) error { return lab.WriteReport(w, r) })
	}
	return nil
}

func create(path string, fill func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return core.Errorf(core.Usage, op, "%w", err)
	}
	if err := fill(f); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return core.Errorf(core.Exhausted, op, "%w", err)
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return core.Errorf(core.Exhausted, op, "%w", err)
	}
	return nil
}

// progress keeps one line alive on a terminal and prints plain lines elsewhere.
func progress(w io.Writer) func(done, total int, what string) {
	start := time.Now()
	live := false
	if f, ok := w.(*os.File); ok {
		st, err := f.Stat()
		live = err == nil && st.Mode()&os.ModeCharDevice != 0
	}
	return func(done, total int, what string) {
		line := fmt.Sprintf("%3.0f %%  %4.0f s  %s", 100*float64(done)/float64(total), time.Since(start).Seconds(), what)
		switch {
		case !live:
			fmt.Fprintln(w, line)
		case done == total:
			fmt.Fprintf(w, "\r%-78s\n", line)
		default:
			fmt.Fprintf(w, "\r%-78.78s", line)
		}
	}
}
