package source_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/source"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// site is a hub with this service, a review that files every push, and the
// project ledger with one commit on main.
type site struct {
	t       *testing.T
	cluster *kittest.Cluster
	admin   kit.Client
	service kit.Service
	stop    func() // ends the service's tasks
	dir     string // of the repositories
	first   string // commit
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, cluster: kittest.Start(t), dir: t.TempDir()}
	s.admin = s.cluster.Admin()
	repositories, err := git.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	log := kittest.Log(t, slog.LevelWarn)
	s.service = source.Service(s.cluster.Client("services/source"), repositories, "http://hub", log)
	files := filing(s.cluster.Client("services/review"))
	s.cluster.Server.Add(s.service)
	s.cluster.Server.Add(files)
	s.cluster.Server.Add(kit.Service{Name: "identity", Owns: []kit.Owned{kit.Own[api.User](api.Users, nil)}})
	s.stop = s.cluster.Run(s.service)
	s.cluster.Run(files)
	s.cluster.Allow("users/ada", rest.Rule{Kinds: []string{"projects"}, Verbs: []kit.Verb{kit.VerbRead, "push"}})
	s.cluster.Allow("users/eve", rest.Rule{Kinds: []string{"projects"}, Verbs: []kit.Verb{kit.VerbRead}})
	create(s, api.Users, "ada", api.User{Name: "Ada", Email: "ada@example.com"})
	create(s, api.Projects, "ledger", api.Project{Protected: []string{"main", "release/*"}})
	s.first = s.imported("ledger", map[string]string{"README": "ledger\n", "jobs/a.yml": "- job:\n", "lines": strings.Repeat("line\n", 20)})
	return s
}

func create[T any](s *site, k kit.Kind[T], id string, doc T) T {
	s.t.Helper()
	doc, err := k.Create(s.t.Context(), s.admin, id, doc)
	if err != nil {
		s.t.Fatalf("create %s: %v", k.Link(id), err)
	}
	return doc
}

// filing stands in for review: it opens changes and adds patch sets, nothing
// more.
func filing(c kit.Client) kit.Service {
	file := func(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
		p, err := api.Pushes.Decode(r)
		if err != nil {
			return nil, err
		}
		for _, commit := range p.Commits {
			id := p.Branch + "-" + commit.ChangeID
			ps := api.PatchSet{Number: 1, Commit: commit.SHA}
			_, err := api.Changes.Create(ctx, c, id, api.Change{
				Project: p.Project, Branch: p.Branch, ChangeID: commit.ChangeID, Subject: commit.Subject, Topic: p.Topic,
				Owner: p.By, Status: api.ChangeOpen, PatchSets: []api.PatchSet{ps},
			})
			if errors.Is(err, kit.ErrConflict) {
				_, err = api.Changes.Modify(ctx, c, id, func(x *api.Change) error {
					if ps.Number = len(x.PatchSets) + 1; x.Current().Commit != ps.Commit {
						x.PatchSets = append(x.PatchSets, ps)
					}
					return nil
				})
			}
			if err != nil {
				return nil, err
			}
		}
		return nil, nil
	}
	return kit.Service{
		Name: "review",
		Owns: []kit.Owned{kit.Own[api.Change](api.Changes, nil)},
		Watches: []kit.Reaction{kit.On(api.Pushes, func(p api.Push, _ time.Time) []kit.Op {
			return []kit.Op{kit.Call("file", p.Link.ID(), nil)}
		})},
		Does: kit.Does{"file": file},
	}
}

// call sends a request to the hub as subject.
func (s *site) call(subject, method, path string, body io.Reader) (int, string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.cluster.URL()+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+s.cluster.Token(subject))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return res.StatusCode, string(b)
}

func packed(t *testing.T, files map[string]string) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

// imported makes the first commit of a project and returns it.
func (s *site) imported(project string, files map[string]string) string {
	s.t.Helper()
	status, body := s.call("users/admin", http.MethodPost, "/source/"+project+"/import", packed(s.t, files))
	_, commit, ok := strings.Cut(strings.TrimSuffix(strings.TrimSpace(body), `"}`), `{"commit":"`)
	if status != http.StatusOK || !ok {
		s.t.Fatalf("import answered %d %s, want a commit", status, body)
	}
	return commit
}

// clone is somebody's working copy of ledger.
type clone struct {
	*site
	dir string
}

func (s *site) remote(subject string) string {
	host := strings.TrimPrefix(s.cluster.URL(), "http://")
	return fmt.Sprintf("http://user:%s@%s/git/ledger", s.cluster.Token(subject), host)
}

func (s *site) clone(subject string) clone {
	s.t.Helper()
	c := clone{s, filepath.Join(s.t.TempDir(), "work")}
	run(s.t, s.t.TempDir(), "clone", "--quiet", s.remote(subject), c.dir)
	_, hook := s.call(subject, http.MethodGet, "/tools/hooks/commit-msg", nil)
	path := filepath.Join(c.dir, ".git", "hooks", "commit-msg")
	if err := os.WriteFile(path, []byte(hook), 0o700); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func try(t *testing.T, dir string, args ...string) (string, error) {
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// commit writes a file and commits it; the hook adds the Change-Id.
func (c clone) commit(name, text, message string) string {
	c.t.Helper()
	c.write(name, text)
	run(c.t, c.dir, "commit", "--quiet", "-m", message)
	return run(c.t, c.dir, "rev-parse", "HEAD")
}

// amend makes the last commit anew with another text of a file.
func (c clone) amend(name, text string) {
	c.t.Helper()
	c.write(name, text)
	run(c.t, c.dir, "commit", "--quiet", "--amend", "--no-edit")
}

func (c clone) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	run(c.t, c.dir, "add", name)
}

// push pushes and returns what git showed.
func (c clone) push(ref string) string {
	c.t.Helper()
	return run(c.t, c.dir, "push", "origin", ref)
}

// tip returns where a ref stands in the repository of ledger; nothing if there
// is none.
func (s *site) tip(ref string) string {
	s.t.Helper()
	out := run(s.t, s.dir, "--git-dir", filepath.Join(s.dir, "ledger.git"), "for-each-ref", "--format=%(objectname)", ref)
	return out
}

// reaches waits until a ref stands at want.
func (s *site) reaches(ref, want string) {
	s.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for s.tip(ref) != want {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s stands at %q, want %q", ref, s.tip(ref), want)
		}
	}
}

// landing wishes that a commit lands, and waits for what becomes of it.
func (s *site) landing(id, commit string) api.Landing {
	s.t.Helper()
	create(s, api.Landings, id, api.Landing{Project: "ledger", Branch: "main", Change: "changes/1", PatchSet: 1, Commit: commit, By: "users/ada"})
	return s.landed(id)
}

func (s *site) landed(id string) api.Landing {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	l, err := api.Landings.Await(ctx, s.admin, id, func(l api.Landing) bool { return l.State != api.LandingWanted })
	if err != nil {
		s.t.Fatalf("landing %s: %v", id, err)
	}
	return l
}
