package services

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/keposs/keposs/client"
	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/core/mstcc"
	"github.com/keposs/keposs/core/protocol"
	"github.com/keposs/keposs/core/secret"
	"github.com/keposs/keposs/core/sm"
)

// walk visits a type and everything a caller can put into or read from it.
func walk(t reflect.Type, path string, seen map[reflect.Type]bool, visit func(path string, t reflect.Type)) {
	visit(path, t)
	if seen[t] {
		return
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		walk(t.Elem(), path, seen, visit)
	case reflect.Struct:
		for f := range t.Fields() {
			if f.IsExported() {
				walk(f.Type, path+"."+f.Name, seen, visit)
			}
		}
	}
}

// PPD has one way in: the Prompter of Options. No call of the app's interface
// takes a sample, a secret or anything named like PPD, d_M or a scalar.
// req: K-15.2-03, K-15.4-01, K-15.2-01
func TestPPDEntersByThePrompterOnly(t *testing.T) {
	words := []string{"pin", "ppd", "gesture", "template", "password", "scalar", "private", "secret", "factorvalue"}
	looked := 0
	for m := range reflect.TypeFor[*client.Client]().Methods() {
		for i := 1; i < m.Type.NumIn(); i++ {
			walk(m.Type.In(i), m.Name, map[reflect.Type]bool{}, func(path string, in reflect.Type) {
				looked++
				if in == reflect.TypeFor[core.Sample]() || in == reflect.TypeFor[secret.Buffer]() {
					t.Errorf("%s takes %s", path, in)
				}
				field := strings.ToLower(path[strings.LastIndexByte(path, '.')+1:])
				if slices.Contains(words, field) {
					t.Errorf("%s is named like PPD or a key", path)
				}
			})
		}
	}
	if looked < 40 {
		t.Errorf("only %d types were looked at", looked)
	}
	options := reflect.TypeFor[client.Options]()
	if f, ok := options.FieldByName("Prompter"); !ok || f.Type != reflect.TypeFor[core.Prompter]() {
		t.Error("control: Options has no Prompter")
	}
}

// A secret leaves by one call: the plaintext of Decrypt, which is the user's
// own. No call returns a private key, MK or PPD.
// req: G-7.3-04, K-15.4-02b, K-15.4-03
func TestNoCallReturnsAKey(t *testing.T) {
	var out []string
	for m := range reflect.TypeFor[*client.Client]().Methods() {
		for i := range m.Type.NumOut() {
			walk(m.Type.Out(i), m.Name, map[reflect.Type]bool{}, func(path string, r reflect.Type) {
				if r == reflect.TypeFor[secret.Buffer]() || strings.HasSuffix(r.String(), "PrivateKey") {
					out = append(out, path)
				}
			})
		}
	}
	if !slices.Equal(out, []string{"Decrypt"}) {
		t.Errorf("secrets leave by %v, want Decrypt only", out)
	}
}

// The module's record of P_M is read with PPD only: status, which asks for
// none, has no room for a public key (initialisation's own return is the copy
// the app keeps).
// req: K-15.5-02, X-07
func TestStatusHasNoRoomForPM(t *testing.T) {
	keys := []reflect.Type{reflect.TypeFor[sm.PublicKey](), reflect.TypeFor[protocol.Point](), reflect.TypeFor[protocol.Pubs]()}
	find := func(of reflect.Type) (out []string) {
		walk(of, of.Name(), map[reflect.Type]bool{}, func(path string, r reflect.Type) {
			if slices.Contains(keys, r) {
				out = append(out, path)
			}
		})
		return out
	}
	if got := find(reflect.TypeFor[mstcc.Status]()); len(got) != 0 {
		t.Errorf("status tells public keys by %v", got)
	}
	if len(find(reflect.TypeFor[mstcc.InitResult]())) == 0 {
		t.Error("control: the keys initialisation returns are not found")
	}
}
