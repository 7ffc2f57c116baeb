// Package path_test takes changes along the whole path inside one process:
// git push, gate, vote, submit, landing, and the pipeline of what has landed.
package path_test

import (
	"archive/tar"
	"bytes"
	"context"
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
	"landfall.dev/capability/deploy"
	"landfall.dev/capability/identity"
	"landfall.dev/capability/job"
	"landfall.dev/capability/notify"
	"landfall.dev/capability/pipeline"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/capability/quality"
	"landfall.dev/capability/quality/sonar"
	"landfall.dev/capability/review"
	"landfall.dev/capability/source"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// TestMain evaluates a pipeline when the test is started for that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == plan.Command {
		os.Exit(plan.Child(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// hub has all capabilities that are on the path, but for the registry and the
// releases.
type hub struct {
	t       *testing.T
	cluster *kittest.Cluster
	admin   kit.Client
	repos   string
	blobs   *blob.Disk
	rerun   func() // stops the tasks of all services and starts them again
}

// verdict is what a build comes to; empty leaves it running.
type verdict func(b api.Build) api.BuildState

func passes(api.Build) api.BuildState { return api.BuildPassed }

// library is the shared one: a graph for each kind of project.
const library = `
def pipeline_for(ctx):
    name = ctx.project.name
    if ctx.event.type == "patchset-created":
        return [build(job = name + "-gate", retries = 1)]
    image = build(job = name + "-image")
    if ctx.project.kind == "library":
        return [image]
    return [parallel(build(job = name + "-check"), image)]
`

func newHub(t *testing.T, v verdict) *hub {
	t.Helper()
	h := &hub{t: t, cluster: kittest.Start(t), repos: t.TempDir()}
	h.admin = h.cluster.Admin()
	repositories, err := git.Open(h.repos)
	if err != nil {
		t.Fatal(err)
	}
	logs, err := job.OpenLogs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if h.blobs, err = blob.Open(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	log := kittest.Log(t, slog.LevelError)
	const base = "http://hub"
	client := func(name string) kit.Client { return h.cluster.Client("services/" + name) }
	services := []kit.Service{
		identity.Service(client("identity")),
		source.Service(client("source"), repositories, base, log),
		review.Service(client("review")),
		job.Service(client("job"), h.cluster.Server.HTTP("services/job"), base, logs, h.blobs),
		quality.Service(client("quality"), h.cluster.Server.HTTP("services/quality"), base, h.blobs, sonar.Server{}),
		pipeline.Service(client("pipeline"), h.cluster.Server.HTTP("services/pipeline"), base),
		deploy.Service(),
		notify.Service(client("notify"), notify.Config{Base: base}),
		{Name: "release", Owns: []kit.Owned{kit.Own[api.Release](api.Releases, nil)}},
	}
	for _, s := range services {
		h.cluster.Server.Add(s)
	}
	var stops []func()
	start := func() {
		for _, s := range services {
			stops = append(stops, h.cluster.Run(s))
		}
	}
	start()
	h.rerun = func() {
		for _, stop := range stops {
			stop()
		}
		stops = nil
		start()
	}
	h.people()
	h.project("ci", "library", map[string]string{"lib.star": library})
	h.project("ledger", "service", definitions("ledger"))
	h.run(v)
	return h
}

// definitions are the files of a project that uses the library.
func definitions(name string) map[string]string {
	jobs := ""
	for _, task := range []string{"gate", "check", "image"} {
		jobs += fmt.Sprintf("- job:\n    name: %s-%s\n    script: [make %s]\n", name, task, task)
		if task == "gate" {
			jobs += "    reports: {sarif: [" + lintReport + "]}\n"
		}
	}
	return map[string]string{
		"README":        name + "\n",
		"jobs/jobs.yml": jobs,
		"pipeline.star": "load(\"@ci//lib.star\", \"pipeline_for\")\n\ndef main(ctx):\n    return pipeline_for(ctx)\n",
	}
}

func (h *hub) people() {
	h.t.Helper()
	ctx := h.t.Context()
	for _, name := range []string{"ada", "bob"} {
		user := api.User{Name: strings.ToUpper(name[:1]) + name[1:], Email: name + "@example.com"}
		if _, err := api.Users.Create(ctx, h.admin, name, user); err != nil {
			h.t.Fatal(err)
		}
	}
	group := rest.Group{Members: []string{"users/ada", "users/bob"}}
	if _, err := rest.Groups.Create(ctx, h.admin, "developers", group); err != nil {
		h.t.Fatal(err)
	}
	// The role comes from identity, at its own time.
	await(h, rest.Roles, "developers", func(rest.Role) bool { return true })
}

func (h *hub) project(name, kind string, files map[string]string) {
	h.t.Helper()
	if _, err := api.Projects.Create(h.t.Context(), h.admin, name, api.Project{Type: kind}); err != nil {
		h.t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for file, text := range files {
		err := w.WriteHeader(&tar.Header{Name: file, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))})
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			h.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		h.t.Fatal(err)
	}
	if err := h.post("/source/"+name+"/import", &b); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) post(path string, body io.Reader) error {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, "http://hub"+path, body)
	if err != nil {
		return err
	}
	res, err := h.cluster.Server.HTTP("users/admin").Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = kit.DecodeProblem(res.StatusCode, b)
	}
	return err
}

// run leases builds and ends them as v says, until the test ends.
func (h *hub) run(v verdict) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ch, err := range h.admin.Watch(ctx, kit.WatchQuery{Kind: "builds", Filter: `state == "queued"`}) {
			if err != nil {
				h.t.Errorf("the runner's watch: %v", err)
				return
			}
			if err := h.build(ctx, ch.Record, v); err != nil && ctx.Err() == nil {
				h.t.Errorf("the runner, on %s: %v", ch.Record.Link, err)
			}
		}
	}()
	h.t.Cleanup(func() { cancel(); <-done })
}

func (h *hub) build(ctx context.Context, r kit.Record, v verdict) error {
	b, err := api.Builds.Send(ctx, h.admin, r.Link.ID(), "lease", api.LeaseArgs{Runner: "accounts/r1"})
	if kit.FaultOf(err) == kit.ErrConflict {
		return nil // cancelled meanwhile
	}
	if err != nil {
		return err
	}
	log := strings.Join(b.Spec.Script, "\n") + " of " + b.Commit + "\n"
	if err := h.post(fmt.Sprintf("/logs/%s?attempt=%d&offset=0", b.Link.ID(), b.Attempt), strings.NewReader(log)); err != nil {
		return err
	}
	end := api.FinishArgs{Attempt: b.Attempt, State: v(b), LogSize: int64(len(log))}
	switch {
	case end.State == "":
		return nil
	case end.State != api.BuildPassed:
		end.Error = "make said no"
	case strings.HasSuffix(b.Job, "-image"):
		end.Image = b.Project + "@" + string(kit.DigestOf([]byte(b.Commit)))
	}
	if b.Spec.Reports != nil {
		if end.Reports, err = h.reports(ctx, b); err != nil {
			return err
		}
	}
	_, err = api.Builds.Send(ctx, h.admin, b.Link.ID(), "finish", end)
	return err
}

// await waits for a document to become what it should.
func await[T any](h *hub, k kit.Kind[T], id string, done func(T) bool) T {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 60*time.Second)
	defer cancel()
	doc, err := k.Await(ctx, h.admin, id, done)
	if err != nil {
		last, _ := h.admin.Read(h.t.Context(), k.Link(id), kit.ReadOptions{})
		h.t.Fatalf("%s did not become what it should: %v; it is %s", k.Link(id), err, last.Body)
	}
	return doc
}

// as returns a developer's client.
func (h *hub) as(name string) kit.Client { return h.cluster.Client("users/" + name) }

// vote sends a vote of a developer on a patch set.
func (h *hub) vote(name, change string, patchSet, value int) {
	h.t.Helper()
	v := api.VoteArgs{PatchSet: patchSet, Label: api.LabelCodeReview, Value: value}
	if _, err := api.Changes.Send(h.t.Context(), h.as(name), change, "vote", v); err != nil {
		h.t.Fatalf("vote of %s: %v", name, err)
	}
}

// submit submits a patch set of a change as ada.
func (h *hub) submit(change string, patchSet int) error {
	_, err := api.Changes.Send(h.t.Context(), h.as("ada"), change, "submit", api.SubmitArgs{PatchSet: patchSet})
	return err
}

// verified waits for the verdict on a patch set, and returns the change.
func (h *hub) verified(change string, patchSet, value int) api.Change {
	h.t.Helper()
	return await(h, api.Changes, change, func(c api.Change) bool {
		if len(c.PatchSets) < patchSet {
			return false
		}
		for _, v := range c.PatchSets[patchSet-1].Votes {
			if v.Label == api.LabelVerified && v.Value == value {
				return true
			}
		}
		return false
	})
}

// clone is ada's working copy of ledger.
type clone struct {
	t   *testing.T
	dir string
}

func (h *hub) clone() clone {
	h.t.Helper()
	c := clone{h.t, filepath.Join(h.t.TempDir(), "ledger")}
	host := strings.TrimPrefix(h.cluster.URL(), "http://")
	c.git("clone", "--quiet", fmt.Sprintf("http://ada:%s@%s/git/ledger", h.cluster.Token("users/ada"), host), c.dir)
	hook := filepath.Join(c.dir, ".git", "hooks", "commit-msg")
	if err := os.WriteFile(hook, []byte(git.CommitMsgHook()), 0o700); err != nil {
		h.t.Fatal(err)
	}
	return c
}

func (c clone) git(args ...string) string {
	c.t.Helper()
	cmd := exec.CommandContext(c.t.Context(), "git", args...)
	if args[0] != "clone" {
		cmd.Dir = c.dir
	}
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.com")
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %s: %v\n%s", args[0], err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits a file and pushes the commit for review; it returns the commit.
func (c clone) push(file, text string, commit ...string) string {
	c.t.Helper()
	c.add(file, text)
	c.git(append([]string{"commit", "--quiet"}, commit...)...)
	c.git("push", "--quiet", "origin", "HEAD:refs/for/main")
	return c.git("rev-parse", "HEAD")
}

// main returns where main stands for who fetches it.
func (c clone) main() string {
	c.t.Helper()
	c.git("fetch", "--quiet", "origin")
	return c.git("rev-parse", "origin/main")
}

// add puts a file into the index, for the next commit.
func (c clone) add(file, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, file), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.git("add", file)
}
