package script

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var (
	update = flag.Bool("update", false, "write the scripts' golden files anew")
	goOn   = flag.Bool("continue", false, "go on after a line that fails, to see all that do")
)

// bin has the binaries that the scripts run.
var bin string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "landfall-script"); err == nil {
		defer os.RemoveAll(bin)
		err = build()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// build builds the product and the platforms that the scripts deliver: two
// versions of the ledger, and two of a page that keeps nothing.
func build() error {
	next, err := nextLedger()
	if err != nil {
		return err
	}
	for _, b := range []struct {
		name, pkg string
		flags     []string
	}{
		{"landfall", "../../cmd/landfall", nil},
		{"ledger", "../../examples/ledger", nil},
		{"ledger-2.0.0", "../../examples/ledger", []string{"-overlay", next}},
		{"page-1.0.0", "./testdata/page", []string{"-ldflags", "-s -w -X main.version=1"}},
		{"page-2.0.0", "./testdata/page", []string{"-ldflags", "-s -w -X main.version=2"}},
	} {
		args := append([]string{"build", "-ldflags", "-s -w", "-o", filepath.Join(bin, b.name)}, b.flags...)
		cmd := exec.Command("go", append(args, b.pkg)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.pkg, err, out)
		}
	}
	return os.Link(filepath.Join(bin, "ledger"), filepath.Join(bin, "ledger-1.0.0"))
}

// nextLedger returns an overlay that makes the ledger's sources those of its
// next version.
func nextLedger() (string, error) {
	sources, err := filepath.Abs("../../examples/ledger")
	if err != nil {
		return "", err
	}
	next := filepath.Join(bin, "next")
	if err := os.CopyFS(next, os.DirFS(sources)); err != nil {
		return "", err
	}
	apply := exec.Command("git", "apply", "--unsafe-paths", "--directory="+next, filepath.Join(sources, "v2.patch"))
	apply.Dir = next
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("apply v2.patch: %w\n%s", err, out)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(sources, "account.go"): filepath.Join(next, "account.go"),
	}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(next, "overlay.json")
	return path, os.WriteFile(path, overlay, 0o600)
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update, ContinueOnError: *goOn,
		Setup: setUp,
		Cmds:  commands,
	})
}

// setUp gives a script its environment and arranges for its end.
func setUp(e *testscript.Env) error {
	root, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	s := &stage{dir: e.WorkDir}
	e.Values[stageKey{}] = s
	e.Defer(func() {
		s.end()
		if t, ok := e.T().(testing.TB); ok {
			s.checkLogs(t)
		}
	})
	home := filepath.Join(e.WorkDir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	for name, value := range map[string]string{
		"PATH": bin + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME": home, "ROOT": root, "BIN": bin,
		"LANDFALL_URL": "", "LANDFALL_TOKEN": "", "XDG_CONFIG_HOME": "",
		"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.DevNull,
		"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
		"GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com",
	} {
		e.Setenv(name, value)
	}
	return nil
}
