package clauses

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Mark is one id of one annotation.
type Mark struct {
	ID   string
	Dir  string // folder of the package, from the module's root
	Name string // the declaration: Sign, Module.Sign, TestInitSign, or package
	Test bool   // Name is a test or fuzz target that go test runs
}

// Place is how the table names the declaration.
func (m Mark) Place() string { return m.Dir + "." + m.Name }

// Scan reads the annotations of all Go files below root, in the order of paths
// and lines. It skips testdata and hidden folders. The error joins everything
// that is wrong: an annotation that is not `// req: ID, ID`, that stands
// outside a declaration, in a test file on what is no test, or on a test that
// `go test` on linux does not build; the same id twice on one declaration.
func Scan(root fs.FS) ([]Mark, error) {
	var marks []Mark
	var wrong []error
	err := fs.WalkDir(root, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(d.Name(), ".") || strings.HasPrefix(d.Name(), "_") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		src, err := fs.ReadFile(root, p)
		if err != nil {
			return err
		}
		got, errs := scanFile(p, src)
		marks, wrong = append(marks, got...), append(wrong, errs...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return marks, errors.Join(wrong...)
}

func scanFile(p string, src []byte) (marks []Mark, wrong []error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, p, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, []error{err}
	}
	isTest := strings.HasSuffix(p, "_test.go")
	seen := map[Mark]bool{}
	for _, group := range file.Comments {
		for _, c := range group.List {
			ids, err := parseAnnotation(c.Text)
			at := fmt.Sprintf("%s:%d", p, set.Position(c.Pos()).Line)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", at, err))
				continue
			}
			if ids == nil {
				continue
			}
			decl := declOf(file, group)
			name := nameOf(file, group, decl)
			switch {
			case name == "":
				wrong = append(wrong, fmt.Errorf("%s: the annotation belongs to no declaration", at))
				continue
			case isTest && !isTestFunc(decl):
				wrong = append(wrong, fmt.Errorf("%s: %s is no test: annotate the test that shows the row", at, name))
				continue
			case isTest && !built(file):
				wrong = append(wrong, fmt.Errorf("%s: go test does not build %s on linux", at, name))
				continue
			}
			for _, id := range ids {
				m := Mark{ID: id, Dir: path.Dir(p), Name: name, Test: isTest}
				if seen[m] {
					wrong = append(wrong, fmt.Errorf("%s: %s is named twice on %s", at, id, name))
					continue
				}
				seen[m] = true
				marks = append(marks, m)
			}
		}
	}
	return marks, wrong
}

// parseAnnotation returns the ids of a comment, or nil if it is none. What is
// nearly an annotation is an error: it would be lost without a word.
func parseAnnotation(comment string) ([]string, error) {
	body, isLine := strings.CutPrefix(comment, "//")
	text, ok := strings.CutPrefix(strings.TrimLeft(strings.TrimPrefix(body, "/*"), " \t"), "req:")
	if !ok {
		return nil, nil
	}
	if !isLine || !strings.HasPrefix(comment, "// req: ") {
		return nil, errors.New("write the annotation as `// req: ID, ID`")
	}
	var ids []string
	for id := range strings.SplitSeq(strings.TrimPrefix(text, " "), ", ") {
		if !idShape.MatchString(id) {
			return nil, fmt.Errorf("%q is no id: write every id out, separated by a comma and a space", id)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// declOf returns the declaration that the comment documents or stands in.
func declOf(file *ast.File, c *ast.CommentGroup) ast.Decl {
	for _, d := range file.Decls {
		from := d.Pos()
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
		case *ast.GenDecl:
			if d.Doc != nil {
				from = d.Doc.Pos()
			}
		}
		if from <= c.Pos() && c.End() <= d.End() {
			return d
		}
	}
	return nil
}

func nameOf(file *ast.File, c *ast.CommentGroup, d ast.Decl) string {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || len(d.Recv.List) == 0 {
			return d.Name.Name
		}
		return receiver(d.Recv.List[0].Type) + "." + d.Name.Name
	case *ast.GenDecl:
		return specName(d, c)
	}
	if c == file.Doc {
		return "package"
	}
	return ""
}

// specName is the name in a group of declarations that the comment is about:
// the one it documents or stands in, else the first.
func specName(d *ast.GenDecl, c *ast.CommentGroup) string {
	first := ""
	for _, s := range d.Specs {
		name, doc := "", (*ast.CommentGroup)(nil)
		switch s := s.(type) {
		case *ast.TypeSpec:
			name, doc = s.Name.Name, s.Doc
		case *ast.ValueSpec:
			name, doc = s.Names[0].Name, s.Doc
		}
		if name != "" && (doc == c || s.Pos() <= c.Pos() && c.End() <= s.End()) {
			return name
		}
		if first == "" {
			first = name
		}
	}
	return first
}

func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.Ident:
		return t.Name
	}
	return "?"
}

// isTestFunc follows go test: Test or Fuzz, then no lower-case letter; one
// argument of the right type, no receiver, no result.
func isTestFunc(d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv != nil || f.Type.Results != nil || len(f.Type.Params.List) != 1 || len(f.Type.Params.List[0].Names) > 1 {
		return false
	}
	star, ok := f.Type.Params.List[0].Type.(*ast.StarExpr)
	if !ok {
		return false
	}
	arg, ok := star.X.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	for prefix, want := range map[string]string{"Test": "T", "Fuzz": "F"} {
		rest, ok := strings.CutPrefix(f.Name.Name, prefix)
		first, _ := utf8.DecodeRuneInString(rest)
		if ok && (rest == "" || !unicode.IsLower(first)) {
			return arg.Sel.Name == want
		}
	}
	return false
}

// built reports whether the file's build constraint holds for a plain
// `go test` on linux/amd64, where the whole check runs.
func built(file *ast.File) bool {
	for _, g := range file.Comments {
		if g.Pos() > file.Package {
			break
		}
		for _, c := range g.List {
			expr, err := constraint.Parse(c.Text)
			if err != nil {
				continue
			}
			return expr.Eval(func(tag string) bool {
				return tag == "linux" || tag == "unix" || tag == "amd64" || tag == "gc" || strings.HasPrefix(tag, "go1.")
			})
		}
	}
	return true
}
