package tutorial

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// block is a fenced block of a chapter.
type block struct {
	line int
	kind string // what stands after the fence
	text string
}

// blocks returns the fenced blocks of a Markdown file.
func blocks(t *testing.T, path string) []block {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var found []block
	var open *block
	for i, line := range strings.Split(string(b), "\n") {
		kind, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && open == nil:
			open = &block{line: i + 1, kind: kind}
		case fence:
			found = append(found, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil || len(found) == 0 {
		t.Fatalf("%s has no blocks, or one that does not end", path)
	}
	return found
}

// reader is somebody who does what the chapters say.
type reader struct {
	dir       string
	shell     *shell
	addresses *strings.Replacer
	said      string // by the commands of the block before
}

// TestTheTutorialWorks follows all chapters in their order.
func TestTheTutorialWorks(t *testing.T) {
	chapters, err := filepath.Glob("../../doc/tutorial/[0-9]-*.md")
	if err != nil || len(chapters) != 6 {
		t.Fatalf("the chapters are %q, want six (%v)", chapters, err)
	}
	r := newReader(t)
	for _, path := range chapters {
		began := time.Now()
		for _, b := range blocks(t, path) {
			if err := r.follow(b); err != nil {
				log, _ := os.ReadFile(filepath.Join(r.dir, "inn.log"))
				t.Fatalf("%s:%d: %v\n\nthe nodes' log:\n%s", filepath.Base(path), b.line, err, log)
			}
		}
		t.Logf("%s took %.1f s", filepath.Base(path), time.Since(began).Seconds())
	}
}

// newReader returns one with an empty directory, the binary and free
// addresses.
func newReader(t *testing.T) *reader {
	t.Helper()
	checkout, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "landfall"), "./cmd/landfall")
	build.Dir = checkout
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	r := &reader{dir: filepath.Join(t.TempDir(), "inn")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// The sums are known here, so that no network is needed to look them up.
	sums, err := os.ReadFile(filepath.Join(checkout, "go.sum"))
	if err == nil {
		err = os.WriteFile(filepath.Join(r.dir, "go.sum"), sums, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, port := range []string{"7800", "7801", "7802", "7900"} {
		pairs = append(pairs, "127.0.0.1:"+port, free(t))
	}
	r.addresses = strings.NewReplacer(pairs...)
	r.shell = newShell(t, r.dir,
		"PATH="+bin+":"+os.Getenv("PATH"), "LANDFALL="+checkout, "HOME="+t.TempDir(), "GOFLAGS=-buildvcs=false",
		"GOMODCACHE="+goEnv(t, "GOMODCACHE"), "GOCACHE="+goEnv(t, "GOCACHE"), "GOPATH="+goEnv(t, "GOPATH"),
		"KIT_LISTEN="+strings.TrimPrefix(r.addresses.Replace("http://127.0.0.1:7800"), "http://"))
	return r
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// free returns a free address on loopback.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// follow does what b says.
func (r *reader) follow(b block) error {
	kind, name, _ := strings.Cut(b.kind, " ")
	text := r.addresses.Replace(b.text)
	switch {
	case kind == "sh":
		return r.run(text, name == "fails")
	case kind == "text":
		return matches(r.said, text)
	case strings.HasPrefix(name, "edit "):
		return r.edit(strings.TrimPrefix(name, "edit "), text)
	case name != "":
		path := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		return os.WriteFile(path, []byte(text), 0o644)
	}
	return fmt.Errorf("a block of %q is not understood", b.kind)
}

// edit changes a file.
func (r *reader) edit(name, text string) error {
	path := filepath.Join(r.dir, name)
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, after, _ := strings.Cut(text, "---\n")
	before, after = strings.TrimSuffix(before, "\n"), strings.TrimSuffix(after, "\n")
	if n := strings.Count(string(b), before); n != 1 {
		return fmt.Errorf("%s has %d times %q", name, n, before)
	}
	return os.WriteFile(path, []byte(strings.Replace(string(b), before, after, 1)), 0o644)
}

// run runs the commands, one after the other.
func (r *reader) run(text string, fails bool) error {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		out, status, err := r.shell.run(line)
		if err != nil {
			return err
		}
		if out != "" {
			r.said = out
		}
		if bad := fails && i == len(lines)-1; bad != (status != 0) {
			return fmt.Errorf("$ %s\nended with status %d:\n%s", line, status, out)
		}
		if err := r.served(line); err != nil {
			return err
		}
	}
	return nil
}

var listens = regexp.MustCompile(`^(?:KIT_LISTEN=(\S+) .*)?\./inn2? .*&$`)

// served waits until the node that the line has started answers.
func (r *reader) served(line string) error {
	m := listens.FindStringSubmatch(line)
	if m == nil {
		return nil
	}
	address := m[1]
	if address == "" {
		address = strings.TrimPrefix(r.addresses.Replace("http://127.0.0.1:7800"), "http://")
	}
	var last error
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		response, err := http.Get("http://" + address + "/healthz") // waits for a node that is starting
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("status %d", response.StatusCode)
		}
		last = err
		<-time.After(50 * time.Millisecond)
	}
	return fmt.Errorf("%s did not serve: %w", line, last)
}

// matches holds what was printed to what the chapter shows.
func matches(got, want string) error {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), `\.\.\.`, `.*`)
	if !regexp.MustCompile(`(?s)^\s*` + pattern + `\s*$`).MatchString(got) {
		return fmt.Errorf("the chapter shows\n%s\nbut this was printed:\n%s", want, got)
	}
	return nil
}
