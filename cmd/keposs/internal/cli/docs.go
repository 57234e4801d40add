package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Markdown renders docs/cli.md from the command tree and the table of exit
// statuses, so that the page cannot differ from the program.
func Markdown() string {
	root := New(NewEnv())
	var b strings.Builder
	b.WriteString(`# The command line

Made from the program by ` + "`go test ./cmd/keposs/internal/cli -run Docs -update`" + `; a test keeps it equal.

Every command takes ` + "`--dir FOLDER`" + ` (default ` + "`$XDG_DATA_HOME/keposs`" + `, else ` + "`~/.local/share/keposs`" + `) and
` + "`--json`" + `. Flags may stand before or after arguments. ` + "`-`" + ` as a file name is standard input or output.
` + "`keposs completion bash|zsh|fish|powershell`" + ` prints completion for a shell.

Secrets never stand in arguments or the environment. A password is asked for on the terminal or read
from a descriptor: ` + "`--password-fd 3 3<file`" + `. PINs, gestures and other PPD likewise: ` + "`--ppd-fd 3 3<file`" + `;
results of such a run are marked ` + "`approved: false`" + `.

## Output

The result goes to standard output; notes and progress to standard error. With ` + "`--json`" + ` standard output
is exactly one object: the result, or ` + "`{\"error\": {\"code\", \"op\", \"message\", \"advice\"}}`" + `. Without it an error
is told on standard error as what, why, what to do.

## Exit status

| status | family | codes | meaning |
|---|---|---|---|
| 0 | ok | | done; a question was answered yes |
| 1 | no | | a question was answered no: the signature does not verify, a self-test failed |
`)
	for _, f := range Families {
		var codes []string
		for _, c := range f.Codes {
			codes = append(codes, "`"+c.String()+"`")
		}
		fmt.Fprintf(&b, "| %d | %s | %s | %s |\n", f.Exit, f.Name, strings.Join(codes, " "), f.Means)
	}
	b.WriteString("\n## Commands\n")
	for _, g := range root.Groups() {
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && c.Name() != "help" && c.Name() != "completion" {
				document(&b, c)
			}
		}
	}
	return b.String()
}

// document writes one command and those below it.
func document(b *strings.Builder, c *cobra.Command) {
	if c.Hidden {
		return
	}
	if _, empty := c.Annotations[onlyGroup]; c.Runnable() && !empty {
		fmt.Fprintf(b, "\n### %s\n\n%s\n", c.CommandPath(), strings.TrimSpace(firstOf(c.Long, c.Short+".")))
		fmt.Fprintf(b, "\n```\n%s\n```\n", c.UseLine())
		flags := false
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			if !flags {
				b.WriteString("\n| flag | default | |\n|---|---|---|\n")
				flags = true
			}
			name, usage := pflag.UnquoteUsage(f)
			if name != "" {
				name = " " + name
			}
			def := f.DefValue
			if def != "" && def != "false" && def != "-1" && def != "0" && def != "[]" {
				def = "`" + def + "`"
			} else {
				def = ""
			}
			fmt.Fprintf(b, "| `--%s%s` | %s | %s |\n", f.Name, name, def, strings.ReplaceAll(usage, "|", "\\|"))
		})
		if c.Example != "" {
			fmt.Fprintf(b, "\n```\n%s\n```\n", dedent(c.Example))
		}
	}
	for _, sub := range c.Commands() {
		document(b, sub)
	}
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func dedent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], "  ")
	}
	return strings.Join(lines, "\n")
}
