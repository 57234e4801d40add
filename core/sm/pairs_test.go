package sm_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keposs/keposs/internal/testenv"
)

// notTested are functions that make an SM2 key pair and leave its test to others,
// with the reason.
var notTested = map[string]string{
	"core/mf/blob.go NewBundle":        "Module.enrolAndStore tests both pairs before anything is done with them",
	"core/sm/selftest.go":              "the self-tests: PairTest itself is under test",
	"core/sscc/session.go deviceKeyOf": "a decoy of which only the public half is used",
	"core/mf/attack/mf.go":             "the attacker's own",
	"core/sscc/sscctest/kit.go":        "a test kit's devices",
}

// Every function of the module that makes an SM2 key pair also tests that its
// halves belong together, before it keeps, sends or uses it.
// req: G-7.10-05
func TestEveryNewPairIsTested(t *testing.T) {
	made, tested := 0, 0
	for _, dir := range []string{"core", "client", "plugins", "escrow", "cmd"} {
		err := filepath.WalkDir(filepath.Join(testenv.Root(), dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "/testdata/") {
				return err
			}
			name, _ := filepath.Rel(testenv.Root(), path)
			name = filepath.ToSlash(name)
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			for _, decl := range f.Decls {
				fn, ok := decl.(*ast.FuncDecl)
				if !ok {
					continue
				}
				calls := smCalls(fn, name)
				if !calls["GenerateKey"] {
					continue
				}
				made++
				switch {
				case calls["PairTest"]:
					tested++
				case notTested[name] == "" && notTested[name+" "+fn.Name.Name] == "":
					t.Errorf("%s: %s makes a key pair and does not call PairTest", name, fn.Name.Name)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if tested < 6 {
		t.Errorf("control: only %d of %d key pairs are tested; the search is blind", tested, made)
	}
}

// smCalls are the functions of package sm that fn calls.
func smCalls(fn *ast.FuncDecl, file string) map[string]bool {
	calls := map[string]bool{}
	ast.Inspect(fn, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch f := c.Fun.(type) {
		case *ast.SelectorExpr:
			if x, ok := f.X.(*ast.Ident); ok && x.Name == "sm" {
				calls[f.Sel.Name] = true
			}
		case *ast.Ident:
			if strings.HasPrefix(file, "core/sm/") {
				calls[f.Name] = true
			}
		}
		return true
	})
	return calls
}
