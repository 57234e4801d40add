package challenge_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	xbcrypt "golang.org/x/crypto/bcrypt"

	"github.com/keposs/keposs/core"
	"github.com/keposs/keposs/kdf"
	"github.com/keposs/keposs/kdf/lab/challenge"
	"github.com/keposs/keposs/kdf/lab/cracker"
)

func params(t testing.TB, list ...string) (out []core.Params) {
	t.Helper()
	for _, s := range list {
		p, err := core.ParseParams(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

// What is exported can be solved from the export alone, and only by the right
// PIN: strings by the cracker, records through KEPOSS-MF/1, crypt texts by
// another implementation.
func TestExportIsSolvable(t *testing.T) {
	set, answers, err := challenge.Make(t.Context(), params(t, "sm2kdf$", "pbkdf2sm3$i=1024", "bcrypt$c=4", "sm3crypt$r=1000"), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	var back challenge.Set
	if err := json.Unmarshal(raw, &back); err != nil || back.Schema != challenge.Schema || len(back.Items) != 8 || len(back.Records) != 4 {
		t.Fatalf("%v, %d items", err, len(back.Items))
	}
	crypts := 0
	for i, item := range back.Items {
		c, err := challenge.Parse(item.Text)
		if err != nil {
			t.Fatal(err)
		}
		k, err := kdf.Builtin(c.Params.Name)
		if err != nil {
			t.Fatal(err)
		}
		kernel, err := cracker.New(cracker.Target{KDF: k, Params: c.Params, Salt: c.Salt, Key: c.Key})
		if err != nil {
			t.Fatal(err)
		}
		wrong := strings.Repeat("0", len(answers.Items[i]))
		if wrong == answers.Items[i] {
			wrong = strings.Repeat("1", len(wrong))
		}
		if at, err := kernel.Try(t.Context(), []string{wrong, answers.Items[i]}); err != nil || at != 1 {
			t.Errorf("%s: found %d, %v", item.Text, at, err)
		}
		if strings.HasPrefix(item.Crypt, "$2a$") {
			crypts++
			if err := xbcrypt.CompareHashAndPassword([]byte(item.Crypt), []byte(answers.Items[i])); err != nil {
				t.Errorf("%s: %v", item.Crypt, err)
			}
		}
	}
	if crypts != 2 {
		t.Errorf("%d bcrypt texts, want 2", crypts)
	}
	for i, r := range back.Records {
		if err := r.Try(t.Context(), []byte(answers.Records[i])); err != nil {
			t.Errorf("record of %s: %v", r.KDF, err)
		}
		if err := r.Try(t.Context(), []byte("00000x")); !errors.Is(err, core.Auth) {
			t.Errorf("a wrong guess at %s: %v", r.KDF, err)
		}
	}
	bad := back.Records[0]
	bad.Device = bad.Device[2:]
	if err := bad.Try(t.Context(), []byte("1")); !errors.Is(err, core.Invalid) {
		t.Errorf("a short device secret: %v", err)
	}
	bad = back.Records[0]
	bad.Policy = bytes.Clone(bad.Policy)
	bad.Policy[40] ^= 1
	if err := bad.Try(t.Context(), []byte(answers.Records[0])); err == nil {
		t.Error("a changed policy opens")
	}
	for _, a := range append(answers.Items, answers.Records...) {
		if bytes.Contains(raw, []byte(`"`+a+`"`)) {
			t.Error("an answer stands in the set")
		}
	}
}

func TestParseRefuses(t *testing.T) {
	c, err := challenge.New(t.Context(), params(t, "pbkdf2sm3$i=1024")[0], []byte("123456"), bytes.Repeat([]byte{1}, 16))
	if err != nil {
		t.Fatal(err)
	}
	good := c.String()
	if back, err := challenge.Parse(good); err != nil || back.String() != good {
		t.Fatal(err)
	}
	for what, s := range map[string]string{
		"2^40 iterations":   strings.Replace(good, "i=1024", "i=1099511627776", 1),
		"negative":          strings.Replace(good, "i=1024", "i=-1", 1),
		"leading zero":      strings.Replace(good, "i=1024", "i=01024", 1),
		"plus":              strings.Replace(good, "i=1024", "i=+1024", 1),
		"unknown kdf":       strings.Replace(good, "pbkdf2sm3", "md5", 1),
		"another version":   strings.Replace(good, "v=1", "v=2", 1),
		"padding":           good + "=",
		"a space":           good + " ",
		"a part too many":   good + "$",
		"short key":         good[:len(good)-4],
		"overlong":          good + strings.Repeat("A", 1<<20),
		"a bit past base64": good[:len(good)-1] + "9",
		"1 TiB":             "$keposs$v=1$argon2id$m=1073741824,p=1,t=1$" + strings.Split(good, "$")[5] + "$" + strings.Split(good, "$")[6],
	} {
		if _, err := challenge.Parse(s); core.CodeOf(err) != core.Invalid && core.CodeOf(err) != core.TooLarge && core.CodeOf(err) != core.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, _, err := challenge.Make(t.Context(), nil, rand.Reader); !errors.Is(err, core.Invalid) {
		t.Errorf("no costs: %v", err)
	}
}

func TestDefaults(t *testing.T) {
	for _, p := range challenge.Defaults() {
		k, err := kdf.Builtin(p.Name)
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Validate(p, core.Limits{}); err != nil {
			t.Error(err)
		}
	}
}

// One value has one text.
func FuzzParse(f *testing.F) {
	f.Add("$keposs$v=1$pbkdf2sm3$i=1024$AQEBAQEBAQEBAQEBAQEBAQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$keposs$v=1$sm2kdf$$AQEBAQEBAQEBAQEBAQEBAQ$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := challenge.Parse(s); err == nil && c.String() != s {
			t.Errorf("%q parses as %q", s, c)
		}
	})
}
