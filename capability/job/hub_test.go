package job

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// hub is this service with a source whose archives have the given definitions.
type hub struct {
	t       *testing.T
	cluster *kittest.Cluster
	admin   kit.Client
	// definitions carry out what generations wish for.
	definitions definitions

	mu    sync.Mutex
	files map[string]string // jobs/jobs.yml by commit
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{t: t, cluster: kittest.Start(t), files: map[string]string{}}
	h.admin = h.cluster.Admin()
	logs, err := OpenLogs(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h.definitions = definitions{h.cluster.Client("services/job"), blobs, h.cluster.Server.HTTP("services/job"), "http://hub"}
	s := Service(h.definitions.client, h.definitions.http, h.definitions.base, logs, blobs)
	h.cluster.Server.Add(s)
	h.cluster.Server.Add(kit.Service{
		Name: "source",
		Owns: []kit.Owned{kit.Own[api.Project](api.Projects, nil), kit.Own[api.Ref](api.Refs, nil), kit.Own[api.Change](api.Changes, nil), kit.Own[api.Secret](api.Secrets, nil)},
		Serves: []kit.Route{
			{Pattern: "GET /source/{project}/archive/{commit}", Handler: kit.Handler(h.archive)},
			{Pattern: "GET /source/{project}/changed/{commit}", Handler: kit.Handler(h.changed)},
			{Pattern: "GET /source/{project}/log/{range}", Handler: kit.Handler(h.beyond)},
		},
	})
	h.cluster.Server.Add(kit.Service{Name: "pipeline", Writes: []string{api.Builds.Name}})
	h.cluster.Run(s)
	return h
}

func (h *hub) archive(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	text, ok := h.files[r.PathValue("commit")]
	h.mu.Unlock()
	if !ok {
		return kit.Errorf(kit.ErrNotFound, "", "commit %s not found", r.PathValue("commit"))
	}
	out := tar.NewWriter(w)
	err := out.WriteHeader(&tar.Header{Name: "jobs/jobs.yml", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(text))})
	if err == nil {
		_, err = io.WriteString(out, text)
	}
	return errors.Join(err, out.Close())
}

// beyond answers which commits are in the second of a range but not in the
// first: that itself, unless they are the same.
func (h *hub) beyond(w http.ResponseWriter, r *http.Request) error {
	from, to, _ := strings.Cut(r.PathValue("range"), "..")
	commits := []api.Commit{}
	if from != to {
		commits = append(commits, api.Commit{SHA: to})
	}
	return json.NewEncoder(w).Encode(commits)
}

// changed answers that a commit has changed the definitions, if it has any.
func (h *hub) changed(w http.ResponseWriter, r *http.Request) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	files := "README\njobs.txt"
	if h.files[r.PathValue("commit")] != "" {
		files += "\njobs/jobs.yml"
	}
	_, err := io.WriteString(w, files)
	return err
}

// write sets the text of the definitions at a commit.
func (h *hub) write(commit, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.files[commit] = text
}

// define sets the definitions at a commit: one job for each name, with the
// script.
func (h *hub) define(commit, script string, names ...string) {
	text := ""
	for _, n := range names {
		text += fmt.Sprintf("- job:\n    name: %s\n    script: ['%s']\n", n, script)
	}
	h.write(commit, text)
}

// move makes the commit the tip of the main branch.
func (h *hub) move(ctx context.Context, commit string) {
	h.t.Helper()
	ref := api.Ref{Project: "ledger", Name: "refs/heads/main", Commit: commit}
	_, err := api.Refs.Create(ctx, h.admin, "ledger~heads~main", ref)
	if errors.Is(err, kit.ErrConflict) {
		_, err = h.admin.Update(ctx, "refs/ledger~heads~main", []byte(`{"commit":"`+commit+`"}`), 0)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// build orders a build and waits until done.
func (h *hub) build(job string, done func(api.Build) bool) api.Build {
	h.t.Helper()
	b, err := api.Builds.Create(h.t.Context(), h.admin, "", api.Build{Project: "ledger", Job: job, Commit: "c1"})
	if err != nil {
		h.t.Fatal(err)
	}
	return h.await(b.Link.ID(), done)
}

func (h *hub) await(id string, done func(api.Build) bool) api.Build {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), time.Minute)
	defer cancel()
	b, err := api.Builds.Await(ctx, h.admin, id, done)
	if err != nil {
		h.t.Fatalf("build %s: %v", id, err)
	}
	return b
}

// generation waits until that of the project ledger is done.
func (h *hub) generation(ctx context.Context, done func(api.Generation) bool) api.Generation {
	h.t.Helper()
	g, err := api.Generations.Await(ctx, h.admin, "ledger", done)
	if err != nil {
		h.t.Fatalf("the generation of ledger stays %s %s: %v", g.State, g.Error, err)
	}
	return g
}

func (h *hub) send(b api.Build, event string, args any) api.Build {
	h.t.Helper()
	b, err := api.Builds.Send(h.t.Context(), h.admin, b.Link.ID(), event, args)
	if err != nil {
		h.t.Fatalf("%s: %v", event, err)
	}
	return b
}

// request asks the hub for a log as subject.
func (h *hub) request(subject, method, path, body string, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.cluster.URL()+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+h.cluster.Token(subject))
	for _, x := range headers {
		name, value, _ := strings.Cut(x, ": ")
		req.Header.Set(name, value)
	}
	return http.DefaultClient.Do(req)
}

func (h *hub) call(subject, method, path, body string) (int, string) {
	h.t.Helper()
	res, err := h.request(subject, method, path, body)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func (h *hub) append(b api.Build, offset int, text string) {
	h.t.Helper()
	path := fmt.Sprintf("/logs/%s?attempt=%d&offset=%d", b.Link.ID(), b.Attempt, offset)
	if status, body := h.call("users/admin", http.MethodPost, path, text); status != http.StatusOK {
		h.t.Fatalf("append at %d: %d %s", offset, status, body)
	}
}

func queued(b api.Build) bool { return b.State == api.BuildQueued }

func TestABuildOfAnUnknownJobNamesThoseThereAre(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate", "image")
	for _, test := range []struct {
		job, want string
	}{
		{"gat", `ledger has no job "gat" at c1; it has gate, image`},
		{"gate", ""},
	} {
		b := h.build(test.job, func(b api.Build) bool { return b.State != api.BuildCreated })
		if b.State == api.BuildQueued != (test.want == "") || !strings.Contains(b.Error, test.want) {
			t.Errorf("build of %s: %s, %q, want %q", test.job, b.State, b.Error, test.want)
		}
	}
	b, err := api.Builds.Create(t.Context(), h.admin, "", api.Build{Project: "../logs", Job: "gate", Commit: "c9"})
	if err != nil {
		t.Fatal(err)
	}
	if b = h.await(b.Link.ID(), func(b api.Build) bool { return b.State.Done() }); b.State != api.BuildError {
		t.Errorf("build of no commit: %s, want error", b.State)
	}
}

func TestJobsFollowTheMainBranch(t *testing.T) {
	h := newHub(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	h.define("c1", "one", "gate", "image")
	h.define("c2", "two", "gate", "deploy")
	h.define("c4", "four", "gate")
	h.mu.Lock()
	h.files["c3"] = "- job:\n    nmae: gate\n"
	h.mu.Unlock()
	move := func(commit string) { t.Helper(); h.move(ctx, commit) }
	// jobs waits until there are these, each with the script.
	jobs := func(commit, script string, want ...string) {
		t.Helper()
		for _, err := range h.admin.Watch(ctx, kit.WatchQuery{Kind: api.Jobs.Name}) {
			if err != nil {
				t.Fatalf("the jobs at %s did not become %v: %v", commit, want, err)
			}
			var got []string
			for j, err := range api.Jobs.All(ctx, h.admin, fmt.Sprintf("commit == %q", commit), "") {
				if err != nil {
					t.Fatal(err)
				}
				if j.Spec.Script[0] == script {
					got = append(got, j.Link.ID())
				}
			}
			all, err := h.admin.List(ctx, kit.Query{Kind: api.Jobs.Name})
			if err != nil {
				t.Fatal(err)
			}
			if slices.Equal(got, want) && len(all.Items) == len(want) {
				return
			}
		}
	}
	move("c1")
	jobs("c1", "one", "ledger~gate", "ledger~image")
	move("c2")
	jobs("c2", "two", "ledger~deploy", "ledger~gate")
	move("c3") // broken
	status, body := h.call("users/admin", http.MethodGet, "/job/expand/ledger/c3", "")
	if status != http.StatusBadRequest || !strings.Contains(body, "jobs/jobs.yml:1") {
		t.Errorf("expanding what is broken: %d %s, want the place", status, body)
	}
	broken := h.generation(ctx, func(g api.Generation) bool { return g.State == api.GenerationFailed })
	if !strings.Contains(broken.Error, "jobs/jobs.yml:1") || broken.Commit != "c2" {
		t.Errorf("deploying what is broken: %+v, want what is wrong, and what was there", broken)
	}
	jobs("c2", "two", "ledger~deploy", "ledger~gate")
	move("c4")
	jobs("c4", "four", "ledger~gate")
	status, body = h.call("users/admin", http.MethodGet, "/job/expand/ledger/c2", "")
	var specs []api.JobSpec
	if err := json.Unmarshal([]byte(body), &specs); err != nil || status != http.StatusOK || len(specs) != 2 {
		t.Errorf("expanding: %d %s, %v, want two jobs", status, body, err)
	}
	if status, body := h.call("users/eve", http.MethodGet, "/job/expand/ledger/c2", ""); status != http.StatusForbidden {
		t.Errorf("expanding without a role: %d %s, want 403", status, body)
	}
}

func TestALogIsAppendedByOffsetUnderALease(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	h.cluster.Allow("accounts/r1", rest.Rule{Kinds: []string{"builds"}, Verbs: []kit.Verb{"heartbeat"}})
	b := h.build("gate", queued)
	path := "/logs/" + b.Link.ID()
	if status, body := h.call("users/admin", http.MethodGet, path, ""); status != http.StatusOK || body != "" {
		t.Errorf("the log of a queued build: %d %q, want nothing yet", status, body)
	}
	if status, _ := h.call("accounts/r1", http.MethodPost, path+"?attempt=0&offset=0", "early"); status != http.StatusConflict {
		t.Errorf("append before the lease: %d, want a conflict", status)
	}
	b = h.send(b, "lease", api.LeaseArgs{Runner: "r1"})
	for _, test := range []struct {
		name, subject, query, text string
		status                     int
		want                       string
	}{
		{"the first part", "accounts/r1", "?attempt=1&offset=0", "one\n", 200, `{"size":4}`},
		{"the same again", "accounts/r1", "?attempt=1&offset=0", "one\n", 200, `{"size":4}`},
		{"a part that overlaps", "accounts/r1", "?attempt=1&offset=2", "e\ntwo\n", 200, `{"size":8}`},
		{"nothing, to learn the size", "accounts/r1", "?attempt=1&offset=0", "", 200, `{"size":8}`},
		{"a gap", "accounts/r1", "?attempt=1&offset=9", "x", 409, "go on from there"},
		{"another attempt", "accounts/r1", "?attempt=2&offset=8", "x", 409, "attempt 2 is over"},
		{"no offset", "accounts/r1", "?attempt=1", "x", 400, "a part of a log needs"},
		{"too much", "accounts/r1", "?attempt=1&offset=8", strings.Repeat("x", kit.MaxDocument+1), 413, "at most"},
		{"no right to", "accounts/r2", "?attempt=1&offset=8", "x", 403, "may not heartbeat"},
	} {
		if status, body := h.call(test.subject, http.MethodPost, path+test.query, test.text); status != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %q", test.name, status, body, test.status, test.want)
		}
	}
	h.send(b, "finish", api.FinishArgs{Attempt: 1, State: api.BuildPassed, LogSize: 8})
	b = h.await(b.Link.ID(), func(b api.Build) bool { return b.LogDigest != "" })
	if b.LogDigest != kit.DigestOf([]byte("one\ntwo\n")) || b.LogSize != 8 {
		t.Errorf("the log was sealed as %s, %d bytes, want what was appended", b.LogDigest, b.LogSize)
	}
	if status, body := h.call("users/admin", http.MethodGet, path, ""); status != http.StatusOK || body != "one\ntwo\n" {
		t.Errorf("the sealed log: %d %q, want what was appended", status, body)
	}
	if status, _ := h.call("users/eve", http.MethodGet, path, ""); status != http.StatusForbidden {
		t.Errorf("the log without a role: %d, want 403", status)
	}
}

// events reads a stream of a log.
type events struct {
	t   *testing.T
	in  *bufio.Scanner
	end func() error
	id  string // of the last event
}

func (h *hub) follow(b api.Build, headers ...string) *events {
	h.t.Helper()
	res, err := h.request("users/admin", http.MethodGet, "/logs/"+b.Link.ID(), "", append(headers, "Accept: text/event-stream")...)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		h.t.Fatalf("the stream was answered with %s", res.Status)
	}
	return &events{t: h.t, in: bufio.NewScanner(res.Body), end: res.Body.Close}
}

// next returns the text of the next event; "end" after the last.
func (e *events) next() string {
	e.t.Helper()
	for e.in.Scan() {
		line := e.in.Text()
		if line == "event: end" {
			return "end"
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			e.id = id
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var text string
			if err := json.Unmarshal([]byte(data), &text); err != nil {
				e.t.Fatalf("%s is no JSON string: %v", data, err)
			}
			return text
		}
	}
	e.t.Fatalf("the stream broke off: %v", e.in.Err())
	return ""
}

func (e *events) expect(want ...string) {
	e.t.Helper()
	for _, w := range want {
		if got := e.next(); got != w {
			e.t.Fatalf("the stream goes on with %q, want %q", got, w)
		}
	}
}

func TestALogIsFollowedLiveInWholeCharacters(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	b := h.send(h.build("gate", queued), "lease", api.LeaseArgs{Runner: "r1"})
	euro := "€" // three bytes
	h.append(b, 0, "a"+euro[:1])
	live := h.follow(b)
	live.expect("a")
	h.append(b, 2, euro[1:2])
	h.append(b, 3, euro[2:]+"b")
	live.expect(euro + "b")
	if live.id != "1.5" {
		t.Errorf("the last event has the id %q, want 1.5", live.id)
	}
	h.append(b, 5, "c\xe2")
	h.follow(b, "Last-Event-ID: 1.4").expect("bc")
	h.follow(b, "Last-Event-ID: 7.4").expect("a" + euro + "bc")
	live.expect("c")
	h.send(b, "finish", api.FinishArgs{Attempt: 1, State: api.BuildPassed})
	live.expect("\ufffd", "end")
	b = h.await(b.Link.ID(), func(b api.Build) bool { return b.LogDigest != "" })
	h.follow(b).expect("a"+euro+"bc", "\ufffd", "end")
	if status, body := h.call("users/admin", http.MethodGet, "/logs/"+b.Link.ID(), ""); status != 200 || body != "a"+euro+"bc\xe2" {
		t.Errorf("the log as text is %q, want its bytes", body)
	}
	res, err := h.request("users/admin", http.MethodGet, "/logs/"+b.Link.ID()+"?from=x", "", "Accept: text/event-stream")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusBadRequest {
		t.Errorf("from no place: %s, want 400", res.Status)
	}
}

func TestTheLogOfALaterAttemptFollowsThatOfTheOneBefore(t *testing.T) {
	h := newHub(t)
	h.define("c1", "true", "gate")
	b := h.send(h.build("gate", queued), "lease", api.LeaseArgs{Runner: "r1"})
	h.append(b, 0, "one\n")
	live := h.follow(b)
	live.expect("one\n")
	// As if the runner had been silent: the timer is the life's own, see
	// TestTheLifeOfABuild.
	if _, err := h.admin.Update(t.Context(), b.Link, []byte(`{"state":"queued"}`), 0); err != nil {
		t.Fatal(err)
	}
	b = h.send(b, "lease", api.LeaseArgs{Runner: "r2"})
	live.expect("\nThe runner fell silent or its engine failed; attempt 2 follows.\n")
	h.append(b, 0, "two\n")
	live.expect("two\n")
	h.send(b, "finish", api.FinishArgs{Attempt: 2, State: api.BuildPassed})
	live.expect("end")
	b = h.await(b.Link.ID(), func(b api.Build) bool { return b.LogDigest != "" })
	if b.LogDigest != kit.DigestOf([]byte("two\n")) {
		t.Errorf("the sealed log is %s, want that of the last attempt", b.LogDigest)
	}
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for _, test := range []struct {
		name string
		in   string
		want int
	}{
		{"nothing", "", 0},
		{"plain", "abc", 3},
		{"a whole character", "a\u20ac", 4},
		{"the first byte of two", "a\xc3", 1},
		{"two bytes of three", "a\xe2\x82", 1},
		{"three bytes of four", "a\xf0\x9f\x98", 1},
		{"no character at all", "a\x82\x82\x82\x82", 5},
		{"a byte that begins none", "a\xff", 2},
	} {
		if got := whole([]byte(test.in)); got != test.want {
			t.Errorf("%s: %d bytes are whole, want %d", test.name, got, test.want)
		}
	}
}
