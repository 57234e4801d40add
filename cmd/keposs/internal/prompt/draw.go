//go:build unix

package prompt

import (
	"context"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/ppd/gesture"
)

// Where the grid stands on the screen, in cells: the mouse is matched to it.
const (
	gridTop, gridLeft = 3, 4
	stepX, stepY      = 6, 2
)

// dotKeys name the dots of a 4×4 grid by the left block of a keyboard; on 3×3
// the digits 1 to 9 are the dots themselves.
const dotKeys = "1234qwerasdfzxcv"

// drawing is the screen of one gesture. The dots live in path, of fixed size
// and wiped at the end. Two copies are beyond our reach: the library hands
// each key over as a short string, and its renderer keeps the last screen,
// which shows the dots only after Tab asked for it.
type drawing struct {
	q      core.Prompt
	grid   int
	path   gesture.Path
	at     int // cursor, 0-based
	show   bool
	done   bool
	cancel bool
}

func newDrawing(q core.Prompt) *drawing {
	grid := q.Grid
	if grid != 4 {
		grid = 3
	}
	return &drawing{q: q, grid: grid, path: make(gesture.Path, 0, grid*grid)}
}

// drawGesture lets the person draw with keys or the mouse. The caller owns the
// dots as text.
func drawGesture(ctx context.Context, tty *os.File, q core.Prompt) (*secret.Buffer, error) {
	d := newDrawing(q)
	defer d.path.Wipe()
	_, err := tea.NewProgram(d, tea.WithContext(ctx), tea.WithInput(tty), tea.WithOutput(tty), tea.WithoutSignalHandler()).Run()
	switch {
	case ctx.Err() != nil:
		return nil, core.Errorf(core.Canceled, "terminal", "%w", ctx.Err())
	case err != nil:
		return nil, core.Errorf(core.Environment, "terminal", "draw: %w", err)
	case d.cancel || !d.done:
		return nil, core.Errorf(core.Canceled, "terminal", "%s: given up", q.Label)
	}
	return secret.Own(d.path.Text()), nil
}

// Init implements tea.Model.
func (d *drawing) Init() tea.Cmd { return nil }

// touch draws on to dot (0-based) and takes along what lies in between.
func (d *drawing) touch(dot int) {
	d.at = dot
	d.path = append(d.path, gesture.Next(d.grid, d.path, uint8(dot+1))...)
}

// Update implements tea.Model.
func (d *drawing) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	switch m := m.(type) {
	case tea.KeyPressMsg:
		return d, d.key(m.String())
	case tea.MouseClickMsg:
		if m.Button == tea.MouseLeft {
			d.mouse(m.X, m.Y)
		}
	case tea.MouseMotionMsg:
		if m.Button == tea.MouseLeft {
			d.mouse(m.X, m.Y)
		}
	}
	return d, nil
}

func (d *drawing) mouse(x, y int) {
	for dot := range d.grid * d.grid {
		dx, dy := x-gridLeft-dot%d.grid*stepX, y-gridTop-dot/d.grid*stepY
		if dx >= -1 && dx <= 1 && dy == 0 {
			d.touch(dot)
		}
	}
}

func (d *drawing) key(k string) tea.Cmd {
	x, y := d.at%d.grid, d.at/d.grid
	switch k {
	case "esc", "ctrl+c":
		d.cancel = true
		return tea.Quit
	case "enter":
		d.done = len(d.path) > 0
		if d.done {
			return tea.Quit
		}
	case "tab":
		d.show = !d.show
	case "backspace", "delete":
		if n := len(d.path); n > 0 {
			d.path[n-1] = 0
			d.path = d.path[:n-1]
		}
	case "ctrl+u":
		d.path.Wipe()
		d.path = d.path[:0]
	case "left":
		d.at = y*d.grid + max(x-1, 0)
	case "right":
		d.at = y*d.grid + min(x+1, d.grid-1)
	case "up":
		d.at = max(y-1, 0)*d.grid + x
	case "down":
		d.at = min(y+1, d.grid-1)*d.grid + x
	case "space":
		d.touch(d.at)
	default:
		keys := dotKeys
		if d.grid == 3 {
			keys = "123456789"
		}
		if i := strings.Index(keys, k); i >= 0 && len(k) == 1 {
			d.touch(i)
		}
	}
	return nil
}

// View implements tea.Model.
func (d *drawing) View() tea.View {
	var b strings.Builder
	b.WriteString("  " + heading(d.q) + "\n  ")
	if d.q.Refusal != "" {
		b.WriteString("\x1b[31m✗ " + d.q.Refusal + "\x1b[0m")
	}
	b.WriteString("\n\n")
	for y := range d.grid {
		b.WriteString(strings.Repeat(" ", gridLeft-1))
		for x := range d.grid {
			dot := y*d.grid + x
			mark := "·"
			if d.show && strings.IndexByte(string(d.path), byte(dot+1)) >= 0 {
				mark = "\x1b[32m●\x1b[0m"
			}
			if dot == d.at {
				mark = "\x1b[1m[\x1b[0m" + mark + "\x1b[1m]\x1b[0m"
			} else {
				mark = " " + mark + " "
			}
			b.WriteString(mark + strings.Repeat(" ", stepX-3))
		}
		b.WriteString(strings.Repeat("\n", stepY))
	}
	keys := "1-9"
	if d.grid == 4 {
		keys = "1234 qwer asdf zxcv"
	}
	b.WriteString("  \x1b[2mdraw with the mouse, or arrows + space, or " + keys + "\n")
	b.WriteString("  enter done · backspace undo · ctrl+u clear · tab show or hide · esc cancel\x1b[0m\n")
	v := tea.NewView(b.String())
	v.AltScreen = true
	v.MouseMode = tea.MouseModeCellMotion
	return v
}
