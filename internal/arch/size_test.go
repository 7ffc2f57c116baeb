package arch

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The limits of size, in lines.
const (
	maxFile     = 700
	maxAPIFile  = 2500
	maxFunction = 100
	maxPackage  = 3000
	maxAPI      = 3500 // data; see doc/decisions/0038
)

func TestSizes(t *testing.T) {
	lines := map[string]int{}
	eachFile(t, func(t *testing.T, file, pkg string) {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		n := bytes.Count(b, []byte("\n"))
		limit := maxFile
		if pkg == "api" {
			limit = maxAPIFile
		}
		if n > limit {
			t.Errorf("%s has %d lines, over %d: split it by what it is about", file, n, limit)
		}
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		lines[pkg] += n
		functions(t, file, b)
	})
	for pkg, n := range lines {
		limit := maxPackage
		if pkg == "api" {
			limit = maxAPI
		}
		if n > limit {
			t.Errorf("package %s has %d lines, over %d: split it", pkg, n, limit)
		}
	}
}

// functions reports the functions in file that are too long.
func functions(t *testing.T, file string, source []byte) {
	t.Helper()
	set := token.NewFileSet()
	f, err := parser.ParseFile(set, file, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if n := set.Position(fn.End()).Line - set.Position(fn.Pos()).Line + 1; n > maxFunction {
			t.Errorf("%s: %s has %d lines, over %d", file, fn.Name.Name, n, maxFunction)
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	documented := map[string]bool{}
	eachFile(t, func(t *testing.T, file, pkg string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		documented[pkg] = documented[pkg] || f.Doc != nil
	})
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment that says what it is: add a doc.go", pkg)
		}
	}
}
