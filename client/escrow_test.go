package client

import (
	"context"
	"crypto/rand"
	"path/filepath"
	"testing"

	"github.com/keposs/keposs/client/clienttest"
)

// person types the same PIN and gesture always; wrong is another PIN.
type person struct{ pin, gesture string }

var (
	right = person{"271828", "1-6-7-2-9-4"}
	wrong = person{"314159", "1-6-7-2-9-4"}
)

func (p person) Ask(_ context.Context, q Prompt) (Sample, error) {
	if q.Label == "gesture" {
		return NewSample(SamplePattern, []byte(p.gesture)), nil
	}
	return NewSample(SamplePIN, []byte(p.pin)), nil
}

// cheapProfile is the default with the lowest cost a profile may ask.
func cheapProfile() Profile {
	p := DefaultProfile()
	p.SlowFloor = 1024
	return p
}

// provisioned returns a terminal's folder bound to e.
func provisioned(t testing.TB, e *clienttest.Escrow) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "terminal")
	if _, err := Provision(context.Background(), dir, e.Ticket(t)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// opened returns a client of dir answered by p.
func opened(t testing.TB, dir string, p Prompter, change ...func(*Options)) *Client {
	t.Helper()
	o := Options{Dir: dir, Prompter: p, Profile: cheapProfile()}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// initialised returns a client with a user of the default policy.
func initialised(t testing.TB, change ...func(*Options)) (*clienttest.Escrow, *Client, *Initialized) {
	t.Helper()
	e := clienttest.New(t)
	c := opened(t, provisioned(t, e), right, change...)
	u, err := c.Initialize(context.Background(), InitRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return e, c, u
}

func randomID(t testing.TB) (id ID) {
	t.Helper()
	if _, err := rand.Read(id[:]); err != nil {
		t.Fatal(err)
	}
	return id
}
