package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"

	"landfall.dev/api"
	"landfall.dev/engine/process"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// deadline is how long the tests wait for anything.
const deadline = 2 * time.Minute

// hub is as much of a hub as a runner sees, with a registry beside it.
type hub struct {
	*kittest.Cluster
	t        *testing.T
	url      string
	registry string       // its host
	down     atomic.Bool  // answers 503 to everything
	refused  atomic.Int32 // parts of logs, while it was down
	blobs    *blob.Disk

	mu      sync.Mutex
	logs    map[string][]byte // by build@attempt
	parts   []int             // sizes, of what was appended
	lost    int               // bytes that are gone from each log when it is sealed
	sources map[string][]byte // archives by commit
}

func newHub(t *testing.T) *hub {
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, blobs: blobs, logs: map[string][]byte{}, sources: map[string][]byte{}}
	h.Cluster = kittest.Start(t, kit.Service{
		Name: "job",
		Owns: []kit.Owned{kit.Own(api.Builds, life, "lease", "heartbeat", "finish", "cancel")},
		Serves: []kit.Route{
			{Pattern: "GET /job/queue", Handler: http.HandlerFunc(h.queue)},
			{Pattern: "POST /logs/{build}", Handler: http.HandlerFunc(h.takeLog)},
			{Pattern: "POST /logs/{build}/seal", Handler: http.HandlerFunc(h.sealLog)},
			{Pattern: "GET /source/{project}/archive/{commit}", Handler: http.HandlerFunc(h.archive)},
			{Pattern: "/blobs/{digest}", Handler: blob.Handler(blobs)},
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.down.Load() {
			if strings.HasPrefix(r.URL.Path, "/logs/") {
				h.refused.Add(1)
			}
			refuse(w, kit.Errorf(kit.ErrUnavailable, "", "out of order"))
			return
		}
		h.Server.ServeHTTP(w, r)
	}))
	images := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(images.Close)
	t.Cleanup(func() {
		server.CloseClientConnections() // watches
		server.Close()
	})
	h.url, h.registry = server.URL, strings.TrimPrefix(images.URL, "http://")
	h.sources["c0ffee0123456789"] = kittest.Archive(t, tar.Header{Name: "README", Mode: 0o644, Linkname: "hello\n"})
	return h
}

// life is that of a build as far as the runner's protocol goes.
func life(b api.Build, e kit.Event, now time.Time) (api.Build, []kit.Op) {
	var a api.FinishArgs // has the fields of a heartbeat too
	if err := e.Into(&a); err != nil {
		return b, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	fenced := b.State != api.BuildRunning || b.Attempt != a.Attempt
	switch {
	case e.Name == "created":
		b.State = api.BuildQueued
		if b.Spec == nil { // another build has started it
			b.Spec = &api.JobSpec{Script: []string{b.Params["SCRIPT"]}}
		}
	case e.Name == "cancel":
		b.State = api.BuildCancelled
	case e.Name == "lease" && b.State == api.BuildQueued:
		var l api.LeaseArgs
		if err := e.Into(&l); err != nil {
			return b, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		b.State, b.Runner, b.Attempt, b.Started = api.BuildRunning, l.Runner, b.Attempt+1, now
	case e.Name == "heartbeat" && !fenced:
		b.LeaseUntil = now.Add(deadline)
		return b, startsOf(b, e)
	case e.Name == "finish" && a.State == api.BuildCancelled && b.State == a.State && b.Attempt == a.Attempt:
		b.LogSize, b.LogDigest, b.LogMissing = a.LogSize, a.LogDigest, a.LogMissing
	case e.Name == "finish" && !fenced:
		b.State, b.ExitCode, b.Error = a.State, a.ExitCode, a.Error
		b.LogSize, b.LogDigest, b.LogMissing = a.LogSize, a.LogDigest, a.LogMissing
		b.Artifacts, b.Reports, b.Image = a.Artifacts, a.Reports, a.Image
		b.Name, b.Description, b.Finished = a.Name, a.Description, now
		b.Result = a.Result
		for _, s := range a.Starts { // kept for the tests
			b.Calls = append(b.Calls, api.Call{Job: s.Job + " " + s.Params["A"]})
		}
		if a.Again {
			b.Retries = 1
		}
		b.Engine, b.BuildImage = a.Engine, a.BuildImage
	default:
		return b, kit.Refuse(kit.ErrConflict, "the build is %s, attempt %d", b.State, b.Attempt)
	}
	return b, nil
}

// startsOf are the builds that a heartbeat asks for.
func startsOf(b api.Build, e kit.Event) []kit.Op {
	var a api.HeartbeatArgs
	if err := e.Into(&a); err != nil {
		return kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	var ops []kit.Op
	for i, s := range a.Starts {
		id := api.CalledBuild(b, a.Step, i).ID()
		ops = append(ops, kit.Create(api.Builds, id, api.Build{Project: b.Project, Job: s.Job, Commit: b.Commit, Params: s.Params}))
	}
	return ops
}

func refuse(w http.ResponseWriter, err error) {
	body, status := kit.EncodeProblem(err)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

func logOf(build string, attempt int) string { return build + "@" + strconv.Itoa(attempt) }

func (h *hub) takeLog(w http.ResponseWriter, r *http.Request) {
	b, err := api.Builds.Read(r.Context(), h.Admin(), r.PathValue("build"))
	attempt, _ := strconv.Atoi(r.FormValue("attempt"))
	offset, _ := strconv.Atoi(r.FormValue("offset"))
	part, readErr := io.ReadAll(r.Body)
	h.mu.Lock()
	defer h.mu.Unlock()
	name := logOf(b.Link.ID(), attempt)
	have := h.logs[name]
	switch {
	case err != nil || readErr != nil:
		refuse(w, errors.Join(err, readErr))
		return
	case b.State != api.BuildRunning && b.State != api.BuildCancelled || b.Attempt != attempt || offset > len(have):
		refuse(w, kit.Errorf(kit.ErrConflict, b.Link, "not at %d", offset))
		return
	case offset+len(part) > len(have):
		h.logs[name] = append(have[:offset:offset], part...)
		h.parts = append(h.parts, len(part))
	}
	_ = json.NewEncoder(w).Encode(map[string]int{"size": len(h.logs[name])})
}

// sealLog tells what there is of a log, less what h.lost says.
func (h *hub) sealLog(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	attempt, _ := strconv.Atoi(r.FormValue("attempt"))
	name := logOf(r.PathValue("build"), attempt)
	if n := len(h.logs[name]) - h.lost; h.lost > 0 {
		h.logs[name] = h.logs[name][:max(n, 0)]
	}
	have := h.logs[name]
	_ = json.NewEncoder(w).Encode(api.LogSeal{Size: int64(len(have)), Lines: int64(bytes.Count(have, []byte("\n"))), Digest: kit.DigestOf(have)})
}

// queue is in the order in which builds were made.
func (h *hub) queue(w http.ResponseWriter, r *http.Request) {
	places := []api.QueuePlace{}
	for b, err := range api.Builds.All(r.Context(), h.Admin(), `state == "queued"`, "created") {
		if err != nil {
			refuse(w, err)
			return
		}
		places = append(places, api.QueuePlace{Build: b.Link, Attempt: b.Attempt, Labels: b.Spec.Labels})
	}
	_ = json.NewEncoder(w).Encode(places)
}

func (h *hub) archive(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	data, ok := h.sources[r.PathValue("commit")]
	if !ok {
		refuse(w, kit.Errorf(kit.ErrNotFound, "", "there is no commit %s", r.PathValue("commit")))
		return
	}
	_, _ = w.Write(data)
}

// submit queues a build of the spec and returns its id.
func (h *hub) submit(id string, spec api.JobSpec) {
	h.t.Helper()
	_, err := api.Builds.Create(h.t.Context(), h.Admin(), id, api.Build{
		Project: "demo", Job: "test", Commit: "c0ffee0123456789", Change: "changes/7", Spec: &spec,
		Params: map[string]string{"PARAM": "from the run"},
	})
	if err != nil {
		h.t.Fatalf("create build %s: %v", id, err)
	}
}

// await returns the build once done says so.
func (h *hub) await(id string, done func(api.Build) bool) api.Build {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), deadline)
	defer cancel()
	b, err := api.Builds.Await(ctx, h.Admin(), id, done)
	if err != nil {
		b, _ := api.Builds.Read(h.t.Context(), h.Admin(), id)
		h.t.Fatalf("await build %s: %v; it is %s, its log %q", id, err, b.State, h.log(id, b.Attempt))
	}
	return b
}

// ended returns the build once it has ended.
func (h *hub) ended(id string) api.Build {
	h.t.Helper()
	return h.await(id, func(b api.Build) bool { return b.State.Done() })
}

func (h *hub) log(id string, attempt int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return string(h.logs[logOf(id, attempt)])
}

// config is that of a runner of this hub with the process engine.
func (h *hub) config() Config {
	h.t.Helper()
	dir := h.t.TempDir()
	e, err := process.New(filepath.Join(dir, "engine"))
	if err != nil {
		h.t.Fatal(err)
	}
	h.Allow("runners/one",
		rest.Rule{Kinds: []string{"builds"}, Verbs: []kit.Verb{"read", "list", "watch", "lease", "heartbeat", "finish"}})
	token := h.Token("runners/one")
	client, err := rest.NewClient(h.url, token, rest.ClientOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	return Config{
		Name: "one", Client: client, HTTP: http.DefaultClient, Base: h.url + "/",
		Authorize: func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		Registry:  Registry{Host: h.registry},
		Engine:    e, Dir: filepath.Join(dir, "work"),
		Env:    map[string]string{"FROM": "runner", "ONLY_RUNNER": "yes"},
		Logger: kittest.Log(h.t, slog.LevelInfo),
	}
}

// newRunner is New for a config that is right.
func newRunner(t *testing.T, c Config) *Runner {
	t.Helper()
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// start runs r until the test ends or stop is called, which returns when it
// has stopped.
func start(t *testing.T, r *Runner) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(stop)
	return stop
}

// eventually returns once what returns "", and fails t with what it says if
// that takes too long.
func eventually(t *testing.T, what func() string) {
	t.Helper()
	end := time.After(deadline)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for wrong := what(); wrong != ""; wrong = what() {
		select {
		case <-end:
			t.Fatalf("after %s: %s", deadline, wrong)
		case <-tick.C:
		}
	}
}

// exists is for eventually: it waits for the file.
func exists(path string) func() string {
	return func() string {
		if _, err := os.Stat(path); err != nil {
			return err.Error()
		}
		return ""
	}
}

func touch(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// cleared is for eventually: it waits until dir has no entries.
func cleared(dir string) func() string {
	return func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err.Error()
		}
		if len(entries) > 0 {
			return dir + " still has " + entries[0].Name()
		}
		return ""
	}
}
