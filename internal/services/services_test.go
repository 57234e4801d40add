package services

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/internal/clauses"
	"github.com/keposs/keposs/internal/testenv"
)

var update = flag.Bool("update", false, "write docs/roles.md")

// The document is what the tables say.
// req: K-10.2-07, TK-06, G-7.11-02
func TestDocument(t *testing.T) {
	testenv.Document(t, *update, "roles.md", Render(), "go test ./internal/services -run TestDocument -update")
}

// Table 1 of clause 10.2, row by row, with the two roles and no third.
// req: K-10.1-01, K-10.2-01, K-10.2-02, K-10.2-03, K-10.2-04, K-10.2-05, K-10.2-06
func TestTable1(t *testing.T) {
	var got []string
	for _, s := range append(Server(), Terminal()...) {
		if s.Part == Table1 {
			got = append(got, s.Clause+" "+s.Name)
		}
		if !slices.Contains([]Role{User, Administrator, NoRole}, s.By) {
			t.Errorf("%s is for %q", s.Name, s.By)
		}
	}
	want := []string{"K-10.2-01 initialise", "K-10.2-02 initialise", "K-10.2-03 sign", "K-10.2-04 verify", "K-10.2-05 encrypt", "K-10.2-06 decrypt"}
	if !slices.Equal(got, want) {
		t.Errorf("Table 1 has %v, want %v", got, want)
	}
	for _, s := range Terminal() {
		if s.By == Administrator {
			t.Errorf("%s: MST-CC knows no administrator", s.Name)
		}
	}
}

// Every row a service names is one of the catalog.
func TestRowsExist(t *testing.T) {
	rows, err := clauses.Catalog()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range append(Server(), Terminal()...) {
		if !slices.ContainsFunc(rows, func(r clauses.Row) bool { return r.ID == s.Clause }) {
			t.Errorf("%s names %s", s.Name, s.Clause)
		}
	}
}

// names returns the names of calls, each once, each with a port.
func names(t *testing.T, list []Call) (out []string) {
	t.Helper()
	for _, c := range list {
		if slices.Contains(out, c.Name) {
			t.Errorf("%s stands twice", c.Name)
		}
		if len(c.Ports) == 0 {
			t.Errorf("%s has no logical interface", c.Name)
		}
		out = append(out, c.Name)
	}
	slices.Sort(out)
	return out
}

// Every method an app can call is tagged, and none is tagged that is not there.
// req: K-9.1-01, K-9.2-01, G-7.3-01
func TestEveryAPICallIsTagged(t *testing.T) {
	var have []string
	for m := range reflect.TypeFor[*client.Client]().Methods() {
		have = append(have, m.Name)
	}
	slices.Sort(have)
	if want := names(t, API()); !slices.Equal(have, want) {
		t.Errorf("client.Client has %v\ntagged are %v", have, want)
	}
}

// rpcs reads the methods of every .proto file, as service/method.
func rpcs(t *testing.T) (out []string) {
	t.Helper()
	rpc := regexp.MustCompile(`^\s*rpc (\w+)\(`)
	service := regexp.MustCompile(`^service (\w+) `)
	err := filepath.WalkDir(testenv.Root(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".proto") {
			return err
		}
		b, err := os.ReadFile(path)
		in := ""
		for l := range strings.Lines(string(b)) {
			if m := service.FindStringSubmatch(l); m != nil {
				in = m[1]
			}
			if m := rpc.FindStringSubmatch(l); m != nil {
				out = append(out, in+"/"+m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Every gRPC method of every .proto file is tagged.
// req: K-9.1-01, K-9.2-01, G-7.3-01
func TestEveryMethodIsTagged(t *testing.T) {
	if have, want := rpcs(t), names(t, Wire()); !slices.Equal(have, want) {
		t.Errorf("the .proto files have %v\ntagged are %v", have, want)
	}
}

// What the table says no caller reaches has no method: setting up SS-CC is done
// at the server, and SS-CC offers no service on a user's keys.
// req: K-10.2-01, K-10.2.1-01
func TestNoMethodForWhatNobodyMayCall(t *testing.T) {
	for _, m := range rpcs(t) {
		low := strings.ToLower(m)
		for _, word := range []string{"setpassword", "init", "sign", "decrypt", "bypass", "plain", "export/key", "setstate"} {
			if strings.Contains(low, word) {
				t.Errorf("%s: a service nobody may call over the wire", m)
			}
		}
	}
}
