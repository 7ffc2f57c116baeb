package pipeline

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == plan.Command {
		os.Exit(plan.Child(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// hub runs this service beside owners of all else, whose documents only hold
// what is written to them: tests play the runners and the agents.
type hub struct {
	t       *testing.T
	cluster *kittest.Cluster
	service kit.Service
	stop    func()

	mu    sync.Mutex
	files map[string]map[string]string // by "project/commit", by path
	blobs map[kit.Digest]string
}

// write adds a file to a commit.
func (h *hub) write(commit, path, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.files[commit] == nil {
		h.files[commit] = map[string]string{}
	}
	h.files[commit][path] = text
}

// newHub returns a hub with the projects ledger, at c0ffee1, web, at c0ffee2,
// and the configuration project, at 11b0001.
func newHub(t *testing.T) *hub {
	h := &hub{t: t, files: map[string]map[string]string{}, blobs: map[kit.Digest]string{}}
	owned := []kit.Owned{
		kit.Own[api.Project](api.Projects, nil), kit.Own[api.Ref](api.Refs, nil), kit.Own[api.Change](api.Changes, nil),
		kit.Own[api.Landing](api.Landings, nil), kit.Own[api.Build](api.Builds, nil), kit.Own[api.Report](api.Reports, nil), kit.Own[api.Inventory](api.Inventories, nil),
		kit.Own[api.Deployment](api.Deployments, nil), kit.Own[api.Release](api.Releases, nil), kit.Own(api.Channels, nextChannel),
		kit.Own[api.Environment](api.Environments, nil), kit.Own[api.Notice](api.Notices, nil), kit.Own[api.User](api.Users, nil),
	}
	h.cluster = kittest.Serve(t, kit.Service{Name: "others", Owns: owned, Serves: []kit.Route{
		{Pattern: "GET /source/{project}/archive/{commit}", Handler: kit.Handler(h.archive)},
		{Pattern: "GET /source/{project}/changed/{commit}", Handler: kit.Handler(h.changed)},
		{Pattern: "GET /source/{project}/paths/{commit}", Handler: kit.Handler(h.paths)},
		{Pattern: "GET /source/{project}/file/{commit}/{path...}", Handler: kit.Handler(h.file)},
		{Pattern: "GET /job/expand/{project}/{commit}", Handler: kit.Handler(h.jobs)},
		{Pattern: "GET /blobs/{digest}", Handler: kit.Handler(h.blob)},
	}})
	h.service = Service(h.cluster.Client("services/pipeline"), h.cluster.Server.HTTP("services/pipeline"), "http://hub")
	h.cluster.Server.Add(h.service)
	h.stop = h.cluster.Run(h.service)
	for id, commit := range map[string]string{"ledger": "c0ffee1", "web": "c0ffee2", ConfigProject: "11b0001"} {
		create(h, api.Projects, id, api.Project{Type: "service"})
		create(h, api.Refs, api.RefID(id, "refs/heads/main"), api.Ref{Project: id, Name: "refs/heads/main", Commit: commit})
		h.write(id+"/"+commit, "README", id)
	}
	create(h, api.Environments, "staging", api.Environment{Strategy: api.BlueGreen})
	create(h, api.Channels, "ledger-stable", api.Channel{Project: "ledger", Name: "stable"})
	return h
}

// nextChannel offers what is promoted at once.
func nextChannel(c api.Channel, e kit.Event, _ time.Time) (api.Channel, []kit.Op) {
	var a api.PromoteArgs
	if e.Name == "promote" && e.Into(&a) == nil {
		c.Release = a.Release
	}
	return c, nil
}

func (h *hub) archive(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	files, ok := h.files[r.PathValue("project")+"/"+r.PathValue("commit")]
	if !ok {
		return kit.Errorf(kit.ErrNotFound, "", "no such commit")
	}
	t := tar.NewWriter(w)
	for name, text := range files {
		_ = t.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(text)), Mode: 0o644})
		_, _ = io.WriteString(t, text)
	}
	return t.Close()
}

// changed answers with the files of the commit, but those that ledger's first
// commit, too, has.
func (h *hub) changed(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	files, ok := h.files[r.PathValue("project")+"/"+r.PathValue("commit")]
	if !ok {
		return kit.Errorf(kit.ErrNotFound, "", "no such commit")
	}
	var names []string
	for name, text := range files {
		if first, ok := h.files["ledger/c0ffee1"][name]; !ok || first != text || r.PathValue("commit") == "c0ffee1" {
			names = append(names, name)
		}
	}
	_, err := io.WriteString(w, strings.Join(slices.Sorted(slices.Values(names)), "\n"))
	return err
}

func (h *hub) paths(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for name := range h.files[r.PathValue("project")+"/"+r.PathValue("commit")] {
		_, _ = io.WriteString(w, name+"\x00")
	}
	return nil
}

func (h *hub) file(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(w, h.files[r.PathValue("project")+"/"+r.PathValue("commit")][r.PathValue("path")])
	return err
}

// jobs answers with those whose names are in the commit's jobs/jobs.yml.
func (h *hub) jobs(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	names, ok := h.files[r.PathValue("project")+"/"+r.PathValue("commit")]["jobs/jobs.yml"]
	if !ok {
		names = "unit image"
	}
	specs := []api.JobSpec{}
	for name := range strings.FieldsSeq(names) {
		specs = append(specs, api.JobSpec{Name: name})
	}
	return json.NewEncoder(w).Encode(specs)
}

func (h *hub) blob(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(w, h.blobs[kit.Digest(r.PathValue("digest"))])
	return err
}

func create[T any](h *hub, k kit.Kind[T], id string, doc T) {
	h.t.Helper()
	if _, err := k.Create(h.t.Context(), h.cluster.Admin(), id, doc); err != nil {
		h.t.Fatalf("create %s: %v", k.Link(id), err)
	}
}

func await[T any](h *hub, k kit.Kind[T], id, what string, is func(T) bool) T {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	for {
		doc, err := k.Await(ctx, h.cluster.Admin(), id, is)
		if err == nil {
			return doc
		}
		if !errors.Is(err, kit.ErrNotFound) || ctx.Err() != nil {
			h.t.Fatalf("wait until %s is %s: %v", k.Link(id), what, err)
		}
		for ch, err := range h.cluster.Admin().Watch(ctx, kit.WatchQuery{Kind: k.Name}) {
			if err != nil || ch.Record.Link == k.Link(id) {
				break
			}
		}
	}
}

// lands makes a run of the pipeline for ledger, and returns its id.
func (h *hub) lands(pipeline string) string {
	h.t.Helper()
	h.write("ledger/c0ffee1", "pipeline.star", pipeline)
	create(h, api.Landings, "1-1", api.Landing{Project: "ledger", Branch: "main", Commit: "c0ffee1", State: api.LandingLanded, Protected: true, By: "users/ada"})
	return "ledger-main-c0ffee1"
}

// node waits until the node of the run is in the state.
func (h *hub) node(run, node string, state api.RunState) api.NodeRun {
	h.t.Helper()
	var found api.NodeRun
	await(h, api.Runs, run, fmt.Sprintf("%s at %s", state, node), func(r api.Run) bool {
		if i := slices.IndexFunc(r.Nodes, func(n api.NodeRun) bool { return n.ID == node }); i >= 0 {
			found = r.Nodes[i]
		}
		if r.State.Final() && found.State != state {
			h.t.Fatalf("run %s has ended as %s, %q, with %s %s, %q, want it %s", run, r.State, r.Error, node, found.State, found.Error, state)
		}
		return found.State == state
	})
	return found
}

// build ends a build once it is ordered.
func (h *hub) build(id string, state api.BuildState, change func(*api.Build)) {
	h.t.Helper()
	await(h, api.Builds, id, "ordered", func(api.Build) bool { return true })
	_, err := api.Builds.Modify(h.t.Context(), h.cluster.Admin(), id, func(b *api.Build) error {
		b.State = state
		if change != nil {
			change(b)
		}
		return nil
	})
	if err != nil {
		h.t.Fatalf("end build %s: %v", id, err)
	}
}

const whole = `
def shards(ctx, found):
    return [parallel(*[lock("db", build("shard-" + s, job = "unit", params = {"N": s})) for s in found])]

def main(ctx):
    print("for", ctx.event.type)
    unit, image = build(job = "unit"), build(job = "image")
    made = release(image = image, version = "1.0.0")
    return [
        stage("verify", parallel(unit, image), gate(new_issues = 0)),
        expand(shards, unit, "out/shards.json"),
        trigger("web", job = "unit", params = {"BY": ctx.project.name}),
        trigger("web"),
        guard(deploy("staging", image = image), rescue = [rollback("staging"), notify("no", to = "#ops")]),
        made,
        promote("stable", release = made),
    ]
`

// Every kind of node is carried out, by documents alone: nothing is lost when
// the service is ended and begun again between any two steps.
func TestAWholePipelineSurvivesRestarts(t *testing.T) {
	h := newHub(t)
	h.write("web/c0ffee2", "pipeline.star", "def main(ctx):\n    print(ctx.event.type, ctx.params)\n    return [build(job = \"unit\")]\n")
	run := h.lands(whole)
	restart := func() {
		h.stop()
		h.stop = h.cluster.Run(h.service)
	}
	h.node(run, "unit", running)
	restart()
	digest := kit.DigestOf([]byte("shards"))
	h.mu.Lock()
	h.blobs[digest] = `["1", "2"]`
	h.mu.Unlock()
	h.build(run+".unit.1", api.BuildPassed, func(b *api.Build) {
		b.Artifacts = []api.Artifact{{Path: "out/shards.json", Digest: digest, Size: 10}}
		b.Reports = []api.ReportFile{{Kind: api.ReportSARIF}}
	})
	h.build(run+".image.1", api.BuildPassed, func(b *api.Build) { b.Image = "ledger@sha256:2" })
	h.node(run, "gate", running)
	restart()
	create(h, api.Reports, run+".unit.1", api.Report{Run: api.Runs.Link(run), Node: "unit", State: api.ReportPassed, Findings: &api.FindingsReport{}})
	h.node(run, "gate", pass)

	first := h.oneOf(run, "shard-1", "shard-2")
	restart()
	h.build(run+"."+first+".1", api.BuildPassed, nil)
	h.node(run, map[string]string{"shard-1": "shard-2", "shard-2": "shard-1"}[first], running)
	restart()
	for _, shard := range []string{"shard-1", "shard-2"} {
		if shard != first {
			h.build(run+"."+shard+".1", api.BuildPassed, nil)
		}
	}
	await(h, api.RunLocks, "db", "free", func(l api.RunLock) bool { return len(l.Holders) == 0 })

	h.node(run, "web-unit", running)
	b := await(h, api.Builds, run+".web-unit.1", "ordered", func(api.Build) bool { return true })
	if b.Project != "web" || b.Commit != "c0ffee2" || b.Definitions != "c0ffee2" || b.Params["BY"] != "ledger" {
		t.Errorf("the triggered build is %+v, want one of web at its tip, with the parameters", b)
	}
	h.build(run+".web-unit.1", api.BuildPassed, nil)
	below := h.node(run, "web", running).Link.ID()
	restart()
	h.build(below+".unit.1", api.BuildPassed, nil)
	await(h, api.Runs, below, "passed", func(r api.Run) bool { return r.State == api.RunPassed && strings.HasPrefix(r.Log, "triggered {") })

	create(h, api.Deployments, "older", api.Deployment{Environment: "staging", Project: "ledger", Image: "ledger@sha256:1", State: api.DeploymentPassed, Finished: begin})
	h.deployed(run+".deploy-staging.1", api.DeploymentPassed)
	h.node(run, "release", running)
	restart()
	await(h, api.Releases, "ledger-1.0.0", "made", func(api.Release) bool { return true })
	h.release(api.ReleaseUnsigned)
	h.node(run, "promote-stable", running)
	restart()
	h.release(api.ReleaseSigned)
	r := await(h, api.Runs, run, "at its end", func(r api.Run) bool { return r.State.Final() })
	if r.State != api.RunPassed || r.Log != "for merged\n" || r.Library != "11b0001" {
		t.Errorf("the run is %s, %q, with the log %q and the library %s, want it passed", r.State, r.Error, r.Log, r.Library)
	}
	if c, err := api.Channels.Read(t.Context(), h.cluster.Admin(), "ledger-stable"); err != nil || c.Release != "releases/ledger-1.0.0" {
		t.Errorf("the channel offers %s, %v, want the release", c.Release, err)
	}
}

// oneOf waits until one of two nodes runs, and tells which.
func (h *hub) oneOf(run, a, b string) (node string) {
	h.t.Helper()
	await(h, api.Runs, run, "at "+a+" or "+b, func(r api.Run) bool {
		for _, n := range r.Nodes {
			if (n.ID == a || n.ID == b) && n.State == api.RunRunning {
				node = n.ID
			}
		}
		return node != ""
	})
	return node
}

func (h *hub) deployed(id string, state api.DeploymentState) {
	h.t.Helper()
	await(h, api.Deployments, id, "ordered", func(api.Deployment) bool { return true })
	_, err := api.Deployments.Modify(h.t.Context(), h.cluster.Admin(), id, func(d *api.Deployment) error {
		d.State, d.Error, d.Finished = state, "as told", begin.Add(time.Hour)
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) release(state api.ReleaseState) {
	h.t.Helper()
	_, err := api.Releases.Modify(h.t.Context(), h.cluster.Admin(), "ledger-1.0.0", func(r *api.Release) error {
		r.State = state
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestAFailedDeploymentIsRolledBackToWhatRanBefore(t *testing.T) {
	h := newHub(t)
	create(h, api.Deployments, "older", api.Deployment{Environment: "staging", Project: "ledger", Image: "ledger@sha256:1", State: api.DeploymentPassed, Finished: begin})
	run := h.lands(`
def main(ctx):
    image = build(job = "image")
    return [image, guard(deploy("staging", image = image), build(job = "unit"), rescue = [rollback("staging"), notify("went back", to = "#ops")])]
`)
	h.build(run+".image.1", api.BuildPassed, func(b *api.Build) { b.Image = "ledger@sha256:2" })
	h.deployed(run+".deploy-staging.1", api.DeploymentPassed)
	h.build(run+".unit.1", api.BuildFailed, nil)
	d := await(h, api.Deployments, run+".rollback-staging.1", "ordered", func(api.Deployment) bool { return true })
	if d.Image != "ledger@sha256:1" {
		t.Errorf("what is deployed is %s, want what ran before", d.Image)
	}
	h.deployed(run+".rollback-staging.1", api.DeploymentPassed)
	n := await(h, api.Notices, run+".notify.1", "made", func(api.Notice) bool { return true })
	r := await(h, api.Runs, run, "at its end", func(r api.Run) bool { return r.State.Final() })
	if n.To != "#ops" || r.State != api.RunFailed {
		t.Errorf("%s was told, and the run is %s, want #ops, and it failed", n.To, r.State)
	}
}

func TestARollbackOfWhatNeverCameDoesNothing(t *testing.T) {
	h := newHub(t)
	create(h, api.Deployments, "older", api.Deployment{Environment: "staging", Project: "ledger", Image: "ledger@sha256:1", State: api.DeploymentPassed, Finished: begin})
	run := h.lands(`
def main(ctx):
    image = build(job = "image")
    return [image, guard(deploy("staging", image = image), rescue = rollback("staging"))]
`)
	h.build(run+".image.1", api.BuildPassed, func(b *api.Build) { b.Image = "ledger@sha256:2" })
	h.deployed(run+".deploy-staging.1", api.DeploymentFailed)
	await(h, api.Runs, run, "at its end", func(r api.Run) bool { return r.State == api.RunFailed && r.Nodes[2].State == api.RunPassed })
	if _, err := api.Deployments.Read(t.Context(), h.cluster.Admin(), run+".rollback-staging.1"); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("a deployment was ordered: %v, want none: what ran before runs still", err)
	}
}

func TestAPlanIsRefusedBeforeAnythingRuns(t *testing.T) {
	for name, c := range map[string]struct{ entries, want string }{
		"an unknown job":                      {`build(job = "unti")`, `pipeline.star:3:18: build: the project has no job "unti" (did you mean "unit"?)`},
		"an unknown job of another project":   {`trigger("web", job = "unti")`, `pipeline.star:3: project web has no job "unti"; did you mean "unit"?`},
		"an unknown project":                  {`trigger("wbe")`, `pipeline.star:3: there is no project "wbe" with a branch main to trigger`},
		"an unknown environment":              {`rollback("production")`, `pipeline.star:3: there is no environment "production": use one of staging, or make it`},
		"an unknown channel":                  {`i, r, promote("beta", release = r)`, `pipeline.star:3: ledger has no channel "beta"; it has stable`},
		"an approval that nobody could give":  {`approve("go", by = "nobodies")`, `pipeline.star:3: nobody could approve: there is no group "nobodies"`},
		"an unknown function":                 {`biuld(job = "unit")`, `pipeline.star:3:13: undefined: biuld (did you mean `},
		"more memory than an evaluation gets": {`"x" * (1 << 40)`, `pipeline.star`},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			run := h.lands("def main(ctx):\n    print(\"so far\"); i = build(job = \"image\"); r = release(image = i)\n    return [" + c.entries + "]\n")
			r := await(h, api.Runs, run, "at its end", func(r api.Run) bool { return r.State.Final() })
			if r.State != api.RunFailed || !strings.Contains(r.Error, c.want) || len(r.Nodes) > 0 {
				t.Errorf("the run is %s, %q, want that it failed with %q", r.State, r.Error, c.want)
			}
		})
	}
}

// What a program uses up is its own affair: the hub goes on.
func TestABombEndsItsOwnRunAndNothingElse(t *testing.T) {
	h := newHub(t)
	h.write("ledger/b000001", "pipeline.star", "def main(ctx): return list(range(1 << 40))\n")
	h.write("ledger/b000002", "pipeline.star", "def main(ctx):\n    for i in range(1 << 40): pass\n")
	h.write("ledger/b000003", "pipeline.star", "def main(ctx):\n    s = \"x\" * (32 << 20)\n    for i in range(100000): s.count(\"xy\")\n")
	h.write("ledger/b000004", "pipeline.star", "def main(ctx):\n    s = \"x\"\n    for i in range(60): s += s\n")
	h.write("ledger/c0ffee1", "pipeline.star", "def main(ctx): return [build(job = \"unit\")]\n")
	for definitions, want := range map[string]string{
		"b000001": "more than 256 MB of memory", "b000002": "more than 1000000 steps", "b000003": "pipeline.star", "b000004": "more than 256 MB of memory",
	} {
		if a, err := h.ask(api.PlanRequest{Project: "ledger", Definitions: definitions}); err != nil || !strings.Contains(a.Error, want) {
			t.Errorf("%s: %q, %v, want %q", definitions, a.Error, err, want)
		}
	}
	if a, err := h.ask(api.PlanRequest{Project: "ledger"}); err != nil || len(a.Plan.Nodes) != 1 {
		t.Errorf("after the bombs: %+v, %v, want a plan", a, err)
	}
}

// A patch set's files are read at its commit, by the program of the branch's
// tip; the step that the program makes of them is ordered whole.
func TestAPipelineReadsTheCommitThatIsBuilt(t *testing.T) {
	h := newHub(t)
	h.write("ledger/c0ffee1", "pipeline.star", `
def main(ctx):
    return [step("say", run = ["echo " + ctx.read("docs/a word").strip()], image = "small:1")]
`)
	h.write("ledger/c0ffee1", "docs/a word", "old")
	h.write("ledger/c0ffee9", "docs/a word", "new\n")
	create(h, api.Changes, "9", api.Change{Project: "ledger", Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: "c0ffee9"}}})
	h.node("change-9-1", "say", api.RunRunning)
	b := await(h, api.Builds, "change-9-1.say.1", "ordered", func(api.Build) bool { return true })
	if b.Step == nil || !slices.Equal(b.Step.Script, []string{"echo new"}) || b.Step.Image != "small:1" || b.Job != "say" {
		t.Errorf("ordered %+v, want the step with the word of the patch set", b)
	}
	r := await(h, api.Runs, "change-9-1", "planned", func(api.Run) bool { return true })
	if want := (api.FileRead{Path: "docs/a word", Digest: kit.DigestOf([]byte("new\n"))}); len(r.Plan.Read) != 1 || r.Plan.Read[0] != want {
		t.Errorf("the plan has read %+v, want %+v", r.Plan.Read, want)
	}

	h.write("ledger/c0ffeea", "docs/a word", "a\xff")
	create(h, api.Changes, "10", api.Change{Project: "ledger", Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: "c0ffeea"}}})
	broken := await(h, api.Runs, "change-10-1", "at its end", func(r api.Run) bool { return r.State.Final() })
	if want := "pipeline.star:3:50: read: docs/a word is no text in UTF-8"; broken.State != api.RunFailed || !strings.Contains(broken.Error, want) {
		t.Errorf("the run of what is no text is %s, %q, want %q", broken.State, broken.Error, want)
	}
}

func TestWhatAPipelinePrintsIsKeptWhenItFails(t *testing.T) {
	h := newHub(t)
	run := h.lands("def main(ctx):\n    print(\"so far\")\n    fail(\"no\")\n")
	r := await(h, api.Runs, run, "at its end", func(r api.Run) bool { return r.State.Final() })
	if r.Log != "so far\n" || !strings.Contains(r.Error, "pipeline.star:3:9: fail: no") {
		t.Errorf("the run says %q, with the log %q", r.Error, r.Log)
	}
}

const library = `
def pipeline_for(ctx):
    return [build(job = "unit"%s)]
`

// ask asks for the plan that an event would make.
func (h *hub) ask(q api.PlanRequest) (api.PlanAnswer, error) {
	h.t.Helper()
	var a api.PlanAnswer
	body, err := json.Marshal(q)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, "http://hub/pipeline/plan?event="+url.QueryEscape(string(body)), nil)
	if err != nil {
		h.t.Fatal(err)
	}
	resp, err := h.cluster.Server.HTTP("users/admin").Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return a, errors.Join(err, kit.DecodeProblem(resp.StatusCode, text))
	}
	return a, json.Unmarshal(text, &a)
}

func TestAPlanIsShownAndComparedBeforeAnythingHappens(t *testing.T) {
	h := newHub(t)
	h.write("ledger/c0ffee1", "pipeline.star", "load(\"@ci//lib.star\", \"pipeline_for\")\ndef main(ctx): return pipeline_for(ctx)\n")
	h.write("ledger/c0ffee0", "pipeline.star", "def main(ctx): return [notify(ctx.event.type)]\n")
	h.write("ci/11b0001", "lib.star", fmt.Sprintf(library, ""))
	h.write("ci/11b0002", "lib.star", fmt.Sprintf(library, ", retries = 2"))
	a, err := h.ask(api.PlanRequest{Project: "ledger"})
	if err != nil || a.Commit != "c0ffee1" || a.Library != "11b0001" || len(a.Plan.Nodes) != 1 || a.Before != nil {
		t.Errorf("the plan is %+v, %v, want that of the tips", a, err)
	}
	for against, want := range map[string][]string{
		"11b0002": {"- unit: build job=unit retries=2", "+ unit: build job=unit"},
		"c0ffee0": {"+ unit: build job=unit", "- notify: notify text=merged"},
	} {
		if a, err = h.ask(api.PlanRequest{Project: "ledger", Against: against}); err != nil || !slices.Equal(a.Difference, want) {
			t.Errorf("against %s the plan differs by %q, %v, want %q", against, a.Difference, err, want)
		}
	}
	for name, c := range map[string]struct {
		q    api.PlanRequest
		want string
	}{
		"no project":         {api.PlanRequest{}, `the event's project is ""`},
		"a path":             {api.PlanRequest{Project: "ledger", Commit: "../../x"}, `"../../x" is no commit`},
		"an unknown commit":  {api.PlanRequest{Project: "ledger", Against: "abcdef0"}, "neither ledger nor the library, project ci, has a commit abcdef0"},
		"an unknown project": {api.PlanRequest{Project: "web2"}, "web2"},
		"an unknown event":   {api.PlanRequest{Project: "ledger", Event: "mergd"}, `no run has the event "mergd" (did you mean "merged"?): it is merged, patchset-created`},
	} {
		if _, err := h.ask(c.q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if a, err := h.ask(api.PlanRequest{Project: "web"}); err != nil || a.Error != "the project has no pipeline.star" {
		t.Errorf("a project without a pipeline: %+v, %v, want that it says so", a, err)
	}
	runs, err := h.cluster.Admin().List(t.Context(), kit.Query{Kind: api.Runs.Name})
	if err != nil || len(runs.Items) > 0 {
		t.Errorf("there are %d runs, %v, want none", len(runs.Items), err)
	}
}

// A change to the library is tried on the pipelines of all projects.
func TestAChangeOfTheLibraryShowsWhatItDoesToEachProject(t *testing.T) {
	h := newHub(t)
	uses := "load(\"@ci//lib.star\", \"pipeline_for\")\ndef main(ctx): return pipeline_for(ctx)\n"
	h.write("ledger/c0ffee1", "pipeline.star", uses)
	h.write("web/c0ffee2", "pipeline.star", "def main(ctx): return [notify(\"x\")]\n")
	h.write("ci/11b0001", "lib.star", fmt.Sprintf(library, ""))
	h.write("ci/11b0001", "pipeline.star", "def main(ctx): return [build(job = \"unit\")]\n")
	h.write("ci/11b0002", "lib.star", fmt.Sprintf(library, ", retries = 2"))
	h.write("ci/11b0003", "lib.star", fmt.Sprintf(library, ", retreis = 2"))
	change := func(id, commit string) api.Run {
		create(h, api.Changes, id, api.Change{Project: ConfigProject, Branch: "main", Status: api.ChangeOpen, PatchSets: []api.PatchSet{{Number: 1, Commit: commit}}})
		return await(h, api.Runs, "change-"+id+"-1", "planned", func(r api.Run) bool { return r.State != "" && r.State != api.RunPlanning })
	}
	r := change("7", "11b0002")
	want := "the plan of ledger changes:\n- unit: build job=unit\n+ unit: build job=unit retries=2\n"
	if r.State != api.RunRunning || r.Log != want {
		t.Errorf("the run is %s, %q, with the log %q, want it at its build, with %q", r.State, r.Error, r.Log, want)
	}
	r = change("8", "11b0003")
	broken := `with this library projects have no plan any more: ledger: @ci//lib.star:3:18: build: unexpected keyword argument "retreis" (did you mean retries?), called from pipeline.star:2:35 in main`
	if r.State != api.RunFailed || !strings.Contains(r.Error, broken) {
		t.Errorf("the run is %s, %q, want that the library breaks ledger", r.State, r.Error)
	}
}
