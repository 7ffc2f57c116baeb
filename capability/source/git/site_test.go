package git

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// changeID is well formed.
const changeID = "I0123456789abcdef0123456789abcdef01234567"

var someone = Person{Name: "Ada", Email: "ada@example.com", Time: time.Unix(1_700_000_000, 0).UTC()}

// site is a store with the project demo, served over HTTP.
type site struct {
	t     *testing.T
	store *Store
	demo  *Repository
	url   string // of the project
	log   bytes.Buffer

	judge  Judge // of every push; reviewed unless a test sets it
	pushes atomic.Int64

	mu   sync.Mutex
	seen []*Push // guarded by mu
}

// newSite starts a site whose branch main has one commit.
func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t}
	s.judge = s.reviewed
	var err error
	if s.store, err = Open(filepath.Join(t.TempDir(), "store")); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Create(t.Context(), "demo"); err != nil {
		t.Fatal(err)
	}
	if s.demo, err = s.store.Repository("demo"); err != nil {
		t.Fatal(err)
	}
	first := t.TempDir()
	write(t, first, "README", "demo\n")
	write(t, first, "lines", strings.Repeat("line\n", 20))
	id, err := s.demo.Import(t.Context(), os.DirFS(first), "Start the demo\n", someone)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.demo.UpdateRef(t.Context(), "refs/heads/main", id, Zero); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(Handler(Server{
		Open: func(_ *http.Request, project, _ string) (*Repository, error) {
			if project == "secret" {
				return nil, fmt.Errorf("project secret: %w", ErrDenied)
			}
			return s.store.Repository(project)
		},
		Judge: func(*http.Request, string) Judge {
			return func(ctx context.Context, p *Push) Verdict {
				s.mu.Lock()
				s.seen = append(s.seen, p)
				s.mu.Unlock()
				return s.judge(ctx, p)
			}
		},
		Log: slog.New(slog.NewTextHandler(&s.log, nil)),
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/demo.git"
	return s
}

// reviewed takes pushes to refs/for/main with proper messages, and tags.
func (s *site) reviewed(ctx context.Context, p *Push) Verdict {
	var v Verdict
	for _, c := range p.Commands {
		switch {
		case c.Ref == "refs/for/main" && c.New != Zero:
			commits, err := p.Commits(ctx, c.New, "refs/heads/main")
			if err != nil {
				s.t.Errorf("commits of a push: %v", err)
			}
			var reasons []string
			for _, commit := range commits {
				reasons = append(reasons, Message(commit)...)
			}
			if len(reasons) > 0 {
				v.Messages = append(v.Messages, "ERROR: "+reasons[0])
				v.Results = append(v.Results, Result{Reason: reasons[0]})
				continue
			}
			n := s.pushes.Add(1)
			v.Results = append(v.Results, Result{
				Updates: []Update{{Ref: fmt.Sprintf("refs/landfall/pushes/%d", n), New: c.New}},
				Refs:    []string{fmt.Sprintf("refs/changes/%02d/%d/1", n%100, n)},
			})
		case isTag(c.Ref):
			v.Results = append(v.Results, c.Move())
		default:
			v.Results = append(v.Results, Result{Reason: "closed; push to refs/for/main"})
		}
	}
	v.Messages = append(v.Messages, "Processing changes: done")
	return v
}

// open takes every push as it is.
func open(_ context.Context, p *Push) Verdict {
	var v Verdict
	for _, c := range p.Commands {
		v.Results = append(v.Results, c.Move())
	}
	return v
}

// client is a person's clone.
type client struct {
	t   *testing.T
	dir string
}

// clone makes a clone of the project.
func (s *site) clone() *client {
	s.t.Helper()
	c := &client{s.t, filepath.Join(s.t.TempDir(), "clone")}
	gitIn(s.t, "", "clone", "-q", s.url, c.dir)
	return c
}

// git runs the real client and fails the test if it fails.
func (c *client) git(args ...string) string {
	c.t.Helper()
	return gitIn(c.t, c.dir, args...)
}

// refused runs the real client, which must fail, and returns what it printed.
func (c *client) refused(args ...string) string {
	c.t.Helper()
	out, err := try(c.t, c.dir, args...)
	if err == nil {
		c.t.Fatalf("git %s: passed, want it refused\n%s", strings.Join(args, " "), out)
	}
	return out
}

// commit writes a file and commits it; the message gets a Change-Id.
func (c *client) commit(name, content, subject string) string {
	c.t.Helper()
	write(c.t, c.dir, name, content)
	c.git("add", "-A")
	c.git("commit", "-q", "-m", subject, "-m", "Change-Id: "+changeID)
	return c.git("rev-parse", "HEAD")
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

func try(t *testing.T, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=1700000000 +0100",
		"GIT_COMMITTER_NAME=Bob", "GIT_COMMITTER_EMAIL=bob@example.com",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// contains fails the test unless text holds each of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("got %q, want %q in it", text, part)
		}
	}
}

// files returns all object files of the project.
func (s *site) files() []string {
	s.t.Helper()
	var files []string
	err := filepath.WalkDir(filepath.Join(s.demo.dir, "objects"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && (!d.IsDir() || strings.HasPrefix(d.Name(), "incoming-")) {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return files
}

// unchanged fails the test if the project has other object files than before.
func (s *site) unchanged(before []string) {
	s.t.Helper()
	if after := s.files(); !slices.Equal(before, after) {
		s.t.Errorf("objects after a refused push: got %q, want %q", after, before)
	}
	if out := gitIn(s.t, s.demo.dir, "for-each-ref", "refs/landfall"); out != "" {
		s.t.Errorf("refs after a refused push: got %q, want none", out)
	}
}

// holds reports whether the project has an object.
func (s *site) holds(id string) bool {
	_, err := try(s.t, s.demo.dir, "cat-file", "-e", id)
	return err == nil
}

// fsck fails the test if the project is not sound.
func (s *site) fsck() {
	s.t.Helper()
	gitIn(s.t, s.demo.dir, "fsck", "--strict", "--no-dangling")
}
