// Package quickstart runs the whole system on one machine, on real parts: an
// SS-CC process on loopback with Badger in a plugin process of its own, an app
// and a device provisioned by the administrator's interface, a user whose PIN,
// gesture, finger and face are taken by plugin processes and make one MK, and
// the flows of clause 7 with everything that can go wrong for the user shown
// once.
//
// Nothing is simulated but the person: without --interactive a random PIN, a
// random gesture, and models of a finger and a face are drawn, presented, and
// wiped at the end.
package quickstart

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/cmd/keposs/internal/prompt"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/policy"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// Options tells Run where to work and whom to ask.
type Options struct {
	Dir      string        // kept afterwards; "" = a temporary folder, removed
	Prompter core.Prompter // nil = a drawn person
	Progress io.Writer     // live lines
	Pinned   string        // folder of pinned plugins, which the policy may name

	// Sensor puts sensor plugins before who answers; nil = none. What it
	// returns second ends them.
	Sensor func(core.Prompter) (core.Prompter, func() error, error)

	Policy string        // "" = Everything, or client.DefaultPolicy with a Prompter
	Mode   protocol.Mode // zero = hardened
}

// Result is what --json prints. OK is true only when every step held.
type Result struct {
	OK       bool    `json:"ok"`
	UserID   string  `json:"user_id"`
	Steps    []Step  `json:"steps"`
	Policy   string  `json:"policy"`
	Mode     string  `json:"mode"`     // plain or hardened
	Approved bool    `json:"approved"` // of key and signature, by a person's own entries
	Seconds  float64 `json:"seconds"`
	Dir      string  `json:"dir,omitempty"` // kept folder
	Out      *Files  `json:"out,omitempty"`
}

// Files are what a kept run leaves for other programs.
type Files struct {
	Message   string `json:"message"`
	Signature string `json:"signature"`
	Key       string `json:"key"`
}

// Everything is the policy of a drawn person: one factor of every built-in kind.
const Everything = "pin & gesture & fingerprint & face"

// message is what the user signs.
const message = "keposs quickstart: I agree.\n"

// run is the state of one quickstart.
type run struct {
	o       Options
	dir     string
	screen  *screen
	person  *prompt.Synthetic // nil when interactive
	other   *prompt.Synthetic // somebody else, who knows nothing
	witness *witness
	server  *child
	admin   *administrator
	app     client.ID
	ticket  *secret.Buffer
	user    *client.Initialized
	client  *client.Client
	out     Files
	policy  string
	profile client.Profile
	first   []string // labels of the factors that are entered

	approved bool // the key, and the signature over the message
	quiet    bool // the numbered steps were shown often enough
}

// Run does everything and returns after every child process is reaped. The
// Result is valid also beside an error: it holds the steps that were reached.
func Run(ctx context.Context, o Options) (res *Result, err error) {
	began := time.Now()
	r := &run{o: o, screen: newScreen(o.Progress), dir: o.Dir, policy: o.Policy}
	if r.policy == "" {
		r.policy = Everything
		if o.Prompter != nil {
			r.policy = client.DefaultPolicy
		}
	}
	r.profile = client.DefaultProfile()
	if o.Mode != protocol.ModeUnknown {
		r.profile.Mode = o.Mode
	}
	tree, err := policy.Parse(r.policy)
	if err != nil {
		return &Result{Steps: []Step{}}, err
	}
	r.first = tree.MinimalSets()[0]
	if err := r.folder(); err != nil {
		return &Result{Steps: []Step{}}, err
	}
	r.witness = &witness{to: o.Prompter}
	defer r.witness.wipe()
	r.other = prompt.NewSynthetic(sm.Rand())
	defer r.other.Wipe()
	if o.Prompter == nil {
		if r.person, err = newPerson(sm.Rand()); err != nil {
			return &Result{Steps: []Step{}}, err
		}
		defer r.person.Wipe()
		r.witness.to = r.person
	}
	if o.Sensor != nil {
		var end func() error
		if r.witness.to, end, err = o.Sensor(r.witness.to); err != nil {
			return &Result{Steps: []Step{}}, err
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	err = r.parts(ctx)
	if err != nil {
		err = errors.Join(err, r.lastWords())
	}
	err = errors.Join(err, r.closeAll())
	if o.Dir == "" {
		if rmErr := os.RemoveAll(r.dir); rmErr != nil {
			err = errors.Join(err, core.Errorf(core.Environment, "quickstart", "remove the temporary folder: %w", rmErr))
		} else if err == nil {
			r.screen.did("temporary folder removed")
		}
	}
	res = &Result{OK: err == nil, Steps: r.screen.steps, Policy: r.policy, Mode: r.profile.Mode.String(), Seconds: time.Since(began).Seconds()}
	if r.user != nil {
		res.UserID, res.Approved = r.user.ID.String(), r.approved
	}
	if o.Dir != "" {
		res.Dir, res.Out = r.dir, &r.out
	}
	return res, err
}

// folder prepares the data folder: a kept one must be new, so that a run never
// mixes with somebody's keys.
func (r *run) folder() (err error) {
	const op = "quickstart"
	if r.o.Dir == "" {
		if r.dir, err = os.MkdirTemp("", "keposs-quickstart-"); err != nil {
			return core.Errorf(core.Environment, op, "temporary folder: %w", err)
		}
	} else {
		if r.dir, err = filepath.Abs(r.o.Dir); err != nil {
			return core.Errorf(core.Usage, op, "%w", err)
		}
		if entries, err := os.ReadDir(r.dir); err == nil && len(entries) > 0 {
			return core.Errorf(core.State, op, "%s is not empty: quickstart makes a new installation; name a new folder or remove this one", r.dir)
		}
		if err := os.MkdirAll(r.dir, 0o700); err != nil {
			return core.Errorf(core.Usage, op, "%w", err)
		}
	}
	out := filepath.Join(r.dir, "out")
	r.out = Files{filepath.Join(out, "message.txt"), filepath.Join(out, "signature.der"), filepath.Join(out, "user.pem")}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return core.Errorf(core.Environment, op, "%w", err)
	}
	return nil
}

// parts runs the story in order and stops at the first failure.
func (r *run) parts(ctx context.Context) error {
	r.screen.say("keposs quickstart: the whole system on this machine, in %s", r.dir)
	for _, part := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"1  A server: SS-CC with Badger", r.startServer},
		{"2  An app: made by the administrator", r.makeApp},
		{"3  A terminal: provisioned with the ticket", r.makeTerminal},
		{"4  A user: " + r.policy + " → one MK (clause 7.1), " + r.profile.Mode.String() + " escrow", r.makeUser},
		{"5  Sign and verify (clauses 7.2, 7.3)", r.signAndVerify},
		{"6  Encrypt and decrypt a file", r.encryptAndDecrypt},
		{"7  A wrong " + r.wrongWord(), r.wrongOnce},
		{"8  The lock, and the administrator who lifts it", r.lock},
		{"9  What the disks know", r.searchDisks},
	} {
		if err := ctx.Err(); err != nil {
			return core.Errorf(core.Canceled, "quickstart", "%w", err)
		}
		r.screen.heading(part.title)
		if err := part.do(ctx); err != nil {
			return err
		}
	}
	return nil
}

// lastWords tells what SS-CC said if it died under the run.
func (r *run) lastWords() error {
	if r.server == nil {
		return nil
	}
	select {
	case <-r.server.done:
		return core.Errorf(core.Unavailable, "quickstart", "SS-CC ended by itself: %s", r.server.tail)
	default:
		return nil
	}
}

// closeAll ends what runs, in the order that lets each say good-bye.
func (r *run) closeAll() error {
	var errs []error
	if r.client != nil {
		errs = append(errs, r.client.Close())
		r.client = nil
	}
	r.ticket.Wipe()
	if r.admin != nil {
		errs = append(errs, r.admin.close())
		r.admin = nil
	}
	if r.server != nil {
		r.server.stop()
		r.server = nil
	}
	return errors.Join(errs...)
}

// event shows a flow's numbered steps; alarms too.
func (r *run) event(e client.Event) {
	switch {
	case e.Flow == "alarm":
		r.screen.say("  ALARM: %s", e.Text)
	case e.Flow != "state" && !r.quiet:
		r.screen.flow(e.Flow, e.Step, e.Text, e.Took)
	}
}
