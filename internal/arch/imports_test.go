package arch

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "landfall.dev"

// root is the module's directory, seen from this package's.
const root = "../.."

// row says what the packages that match may import of this module. Patterns
// are those of path.Match; "X/..." is X and everything below it; self is the
// package's own folder and everything below it.
type row struct {
	packages string
	may      []string
	not      []string // exceptions from may
	tests    []string // what their tests may import on top: the other side of what they test
}

// table is read from the top; the first row that matches a package holds. A
// package without a row fails.
var table = []row{
	{packages: "kit", may: nil},
	{packages: "kit/...", may: []string{"kit", "kit/..."}},
	{packages: "api", may: []string{"kit"}},
	{packages: "capability/*", may: []string{"kit", "kit/...", "api", "self"}, not: []string{"kit/store", "kit/cluster", "kit/platform"}},
	{packages: "capability/*/...", may: []string{"kit", "kit/...", "api", "family"}, not: []string{"kit/store", "kit/cluster", "kit/platform"}},
	{packages: "web", may: []string{"kit", "api", "kit/page/layout", "web/..."}, tests: []string{"capability/job/lines"}},
	{packages: "web/logview", may: []string{"api"}},
	{packages: "web/diffview", may: nil},
	{packages: "engine/...", may: []string{"kit", "kit/blob", "engine/..."}},
	{packages: "runner", may: []string{"kit", "kit/blob", "api", "engine", "engine/fleet", "runner/..."}},
	{packages: "runner/buildlog", may: []string{"kit", "api", "runner/step"}},
	{packages: "runner/pool", may: []string{"engine"}},
	{packages: "runner/presence", may: []string{"kit", "api", "engine/fleet"}},
	{packages: "runner/room", may: []string{"kit", "api", "engine"}},
	{packages: "runner/sources", may: []string{"kit"}},
	{packages: "runner/step", may: []string{"kit", "api"}},
	{packages: "runner/local", may: []string{"api", "engine", "runner/room", "runner/step"}},
	{packages: "runner/task", may: []string{"kit", "api", "engine"}},
	{packages: "site/front", may: []string{"kit", "kit/rest"}},
	{packages: "site/upgrade", may: []string{"kit", "kit/task", "api", "site/upgrade/metrics", "site/upgrade/predict", "site/upgrade/spare"}},
	{packages: "site/upgrade/metrics", may: []string{"kit", "api"}},
	{packages: "site/upgrade/predict", may: []string{"api"}},
	{packages: "site/upgrade/spare", may: nil},
	{packages: "site/agent/...", may: []string{"kit", "kit/...", "api", "engine/...", "site/..."}, tests: []string{"capability/release/trust"}},
	{packages: "examples/...", may: []string{"kit", "kit/..."}},
	{packages: "internal/...", may: nil},
	{packages: "test/...", may: []string{"..."}},
	{packages: "cmd/landfall/console", may: []string{"kit"}},
	{packages: "cmd/landfall/demo", may: []string{"api"}},
	{packages: "cmd/landfall/upgrades", may: []string{"kit", "api", "cmd/landfall/progress"}},
	{packages: "cmd/landfall/jobs", may: []string{"kit", "api", "cmd/landfall/console", "capability/job/..."}},
	{packages: "cmd/landfall/inventory", may: []string{"kit", "api", "cmd/landfall/console", "capability/inventory/..."}},
	{packages: "cmd/landfall/pipelines", may: []string{"kit", "api", "cmd/landfall/console", "capability/pipeline/plan"}},
	{packages: "cmd/landfall/runners", may: []string{"kit", "api", "cmd/landfall/console"}},
	{packages: "cmd/landfall/secret", may: []string{"kit", "api", "cmd/landfall/console"}},
	{packages: "cmd/landfall/quality", may: []string{"kit", "api", "cmd/landfall/console"}},
	{packages: "cmd/landfall/caches", may: []string{"kit", "cmd/landfall/console", "cmd/landfall/engines", "engine"}},
	{packages: "cmd/landfall/engines", may: []string{"engine/..."}},
	{packages: "cmd/landfall/builds", may: []string{"kit", "api", "cmd/landfall/console", "cmd/landfall/engines", "capability/job", "engine", "engine/fleet", "runner/local", "runner/sources", "runner/step", "runner/task"}},
	{packages: "cmd/landfall/progress", may: nil},
	{packages: "cmd/landfall/schedule", may: []string{"kit", "api", "cmd/landfall/console", "capability/job/cron"}},
	{packages: "cmd/landfall", may: []string{"..."}},
	{packages: ".", may: nil},
}

// testsMay is what tests may import on top: contract suites and real servers
// in process.
var testsMay = []string{"kit/...", "engine/...", "self"}

func TestImports(t *testing.T) {
	eachFile(t, func(t *testing.T, file, pkg string) {
		r, ok := find(pkg)
		if !ok {
			t.Errorf("package %s has no row in the table of who may import whom: add one to internal/arch", pkg)
			return
		}
		may := r.may
		if strings.HasSuffix(file, "_test.go") {
			may = slices.Concat(may, testsMay, r.tests)
		}
		for _, imported := range importsOf(t, file) {
			if !allowed(pkg, imported, may) || !strings.HasSuffix(file, "_test.go") && allowed(pkg, imported, r.not) {
				t.Errorf("%s imports %s, which %s may not: it may import %v", file, imported, r.packages, r.may)
			}
		}
	})
}

func find(pkg string) (row, bool) {
	for _, r := range table {
		if matches(r.packages, pkg) {
			return r, true
		}
	}
	return row{}, false
}

func matches(pattern, pkg string) bool {
	prefix, deep := strings.CutSuffix(pattern, "...")
	if !deep {
		ok, _ := path.Match(pattern, pkg)
		return ok
	}
	prefix = strings.TrimSuffix(prefix, "/")
	if prefix == "" {
		return true
	}
	n := strings.Count(prefix, "/") + 1
	parts := strings.Split(pkg, "/")
	if len(parts) < n {
		return false
	}
	ok, _ := path.Match(prefix, strings.Join(parts[:n], "/"))
	return ok
}

func allowed(pkg, imported string, may []string) bool {
	return slices.ContainsFunc(may, func(m string) bool {
		switch m {
		case "self":
			m = pkg + "/..."
		case "family": // the capability that the package is a part of
			parts := strings.SplitN(pkg, "/", 3)
			m = parts[0] + "/" + parts[1] + "/..."
		}
		return matches(m, imported)
	})
}

// importsOf returns the packages of this module that file imports, by their
// paths in it.
func importsOf(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, file), nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, s := range f.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if p == module {
			found = append(found, ".")
		} else if in, ok := strings.CutPrefix(p, module+"/"); ok {
			found = append(found, in)
		}
	}
	return found
}

// eachFile calls f for every Go file of the module, with its path and that of
// its package.
func eachFile(t *testing.T, f func(t *testing.T, file, pkg string)) {
	t.Helper()
	seen := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin"):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go"):
			return nil
		}
		seen++
		f(t, name, path.Dir(name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Fatal("found no Go file: is the root right?")
	}
}
