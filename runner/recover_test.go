package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/engine/docker"
	"landfall.dev/engine/process"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/runner/pool"
)

// victim, if it is set to the name of an engine, makes the test binary a runner,
// until it is killed.
const victim = "LANDFALL_TEST_RUNNER"

func TestMain(m *testing.M) {
	if name := os.Getenv(victim); name != "" {
		if err := runVictim(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func runVictim(name string) error {
	token, base := os.Getenv("RUNNER_TOKEN"), os.Getenv("RUNNER_HUB")
	client, err := rest.NewClient(base, token, rest.ClientOptions{})
	if err != nil {
		return err
	}
	var e engine.Engine
	if name == "docker" {
		e, err = docker.New(context.Background(), os.Getenv("RUNNER_OWNER"))
	} else {
		e, err = process.New(os.Getenv("RUNNER_OWNER"))
	}
	if err != nil {
		return err
	}
	parallel, err := strconv.Atoi(os.Getenv("RUNNER_PARALLEL"))
	if err != nil {
		return err
	}
	r, err := New(Config{
		Name: "one", Client: client, HTTP: http.DefaultClient, Base: base, Engine: e, Dir: os.Getenv("RUNNER_DIR"),
		Authorize:    func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		DefaultImage: os.Getenv("RUNNER_IMAGE"), Parallel: parallel, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	return r.Run(context.Background())
}

// startVictim starts the process of a runner as c has it, with an engine of the
// owner's. kill kills it.
func startVictim(t *testing.T, h *hub, name, owner string, c Config) (kill func()) {
	t.Helper()
	old := exec.Command(os.Args[0])
	old.Env = append(os.Environ(), victim+"="+name, "RUNNER_OWNER="+owner, "RUNNER_HUB="+h.url, "RUNNER_TOKEN="+h.Token("runners/one"),
		"RUNNER_DIR="+c.Dir, "RUNNER_IMAGE="+c.DefaultImage, "RUNNER_PARALLEL="+strconv.Itoa(c.Parallel))
	old.Stderr = os.Stderr
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := old.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = old.Wait() // it was killed
	}
}

// counts is a step that writes its lines in two halves, the second when there is
// a file go, and ends with the exit code: if that is killed, by killing its build.
func counts(exit int) string {
	end := fmt.Sprintf("exit %d", exit)
	if exit == killed {
		end = "kill -9 $PPID"
	}
	return fmt.Sprintf(`i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i s3cret"; done
until [ -e go ]; do sleep 0.02; done
while [ $i -lt 6000 ]; do i=$((i+1)); echo "line $i s3cret"; done
printf 'no end'
echo > done
%s`, end)
}

// counted is the log of counts.
func counted(exit int) string {
	var b strings.Builder
	b.WriteString("--- step 1: i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i ****\"; done\n")
	for i := range 6000 {
		fmt.Fprintf(&b, "line %d ****\n", i+1)
	}
	b.WriteString("no end")
	if exit != 0 && exit != killed {
		fmt.Fprintf(&b, "\n--- step 1 exited with %d\n", exit)
	}
	return b.String()
}

func TestBuildsGoOnAfterTheirRunnerWasKilled(t *testing.T) {
	for _, name := range []string{"process", "docker"} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			c := h.config()
			owner := filepath.Join(filepath.Dir(c.Dir), "engine")
			if name == "docker" {
				c.Engine, c.DefaultImage = dockerEngine(t)
				owner = testOwner
			}
			c.Parallel = 5
			kill := startVictim(t, h, name, owner, c)
			exits := map[string]int{"goes-on": 0, "goes-on-and-fails": 3, "ends-meanwhile": 0, "fails-meanwhile": 4, "killed-meanwhile": killed}
			place := func(id, file string) string { return filepath.Join(c.Dir, id+"-1", "src", file) }
			for id, exit := range exits {
				h.submit(id, api.JobSpec{
					Script: []string{counts(exit)}, Artifacts: []string{"done"}, BuildName: "named $LANDFALL_BUILD",
					Parameters: []api.Parameter{{Name: "S", Default: "s3cret", Secret: true}},
				})
			}
			for id := range exits {
				eventually(t, func() string {
					if log := h.log(id, 1); !strings.Contains(log, "\nline 3000 ") {
						return "the log is " + log
					}
					return ""
				})
			}
			kill()
			for _, id := range []string{"ends-meanwhile", "fails-meanwhile", "killed-meanwhile"} {
				touch(t, place(id, "go"))
				eventually(t, exists(place(id, "done")))
			}
			start(t, newRunner(t, c))
			for _, id := range []string{"goes-on", "goes-on-and-fails"} {
				touch(t, place(id, "go"))
			}
			for id, exit := range exits {
				want, err := api.BuildPassed, ""
				if exit != 0 {
					want, err = api.BuildFailed, fmt.Sprintf("step 1 exited with %d: no end", exit)
				}
				if exit == killed {
					err = "the script exited with 137: no end"
				}
				b := h.ended(id)
				if b.State != want || b.Error != err || b.ExitCode != exit || b.Attempt != 1 || b.LogMissing != 0 || b.LogDigest == "" || b.Name != "named "+id {
					t.Errorf("%s: got %+v; want it %s with %d at the first attempt, its log sealed", id, b, want, exit)
				}
				if got := h.log(id, 1); got != counted(exit) {
					t.Errorf("%s: %s", id, differ(got, counted(exit)))
				}
			}
			eventually(t, cleared(c.Dir))
			if name == "docker" {
				if names := containers(t); len(names) > 0 {
					t.Errorf("containers are left: %q", names)
				}
			}
		})
	}
}

func TestABuildThatWaitsForOthersGoesOnAfterItsRunnerWasKilled(t *testing.T) {
	h := newHub(t)
	c := h.config()
	c.Parallel = 1 // the builds that it waits for run in its place
	kill := startVictim(t, h, "process", filepath.Join(filepath.Dir(c.Dir), "engine"), c)
	at := t.TempDir()
	child := func(name string) api.Called {
		script := fmt.Sprintf("echo begun >> %s/%s; until [ -e %s/go ]; do sleep 0.02; done", at, name, at)
		return api.Called{Jobs: []string{name}, Pass: api.Pass{Params: map[string]string{"SCRIPT": script}}}
	}
	h.submit("parent", api.JobSpec{Steps: []api.Step{
		shell("echo before; echo once >> ran"),
		{Call: &api.CallStep{Called: child("at-work"), And: []api.Called{child("queued")}, Wait: true}},
		shell("cat ran"),
	}})
	eventually(t, exists(filepath.Join(at, "at-work")))
	kill()
	start(t, newRunner(t, c))
	touch(t, filepath.Join(at, "go"))
	for _, id := range []string{"parent", "parent.1.2.0", "parent.1.2.1"} {
		if b := h.ended(id); b.State != api.BuildPassed || b.Attempt != 1 || b.LogMissing != 0 {
			t.Errorf("%s: it is %s, %q, at attempt %d, and %d lines are missing; want it passed at the first", id, b.State, b.Error, b.Attempt, b.LogMissing)
		}
	}
	want := "at-work builds/parent.1.2.0 passed\nqueued builds/parent.1.2.1 passed\n"
	if log := h.log("parent", 1); strings.Count(log, "\nbefore\n") != 1 || !strings.Contains(log, want) || !strings.HasSuffix(log, "\nonce\n") {
		t.Errorf("the log of the build that waits is\n%s", log)
	}
	for _, name := range []string{"at-work", "queued"} {
		if begun, err := os.ReadFile(filepath.Join(at, name)); err != nil || string(begun) != "begun\n" {
			t.Errorf("%s began %q, error %v; want it once", name, begun, err)
		}
	}
	all := 0
	for _, err := range api.Builds.All(t.Context(), h.Admin(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		all++
	}
	if all != 3 {
		t.Errorf("there are %d builds, want 3", all)
	}
	eventually(t, cleared(c.Dir))
}

// differ says where two logs differ first.
func differ(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d of %d is %q, want %q", i+1, len(g), g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func TestBuildsOfOthersAreRemovedWhenTheirRunnerComesBack(t *testing.T) {
	h := newHub(t)
	c := h.config()
	pids := t.TempDir()
	c.Parallel = 5
	kill := startVictim(t, h, "process", filepath.Join(filepath.Dir(c.Dir), "engine"), c)
	ids := []string{"cancelled", "deleted", "without-workspace"}
	for _, id := range ids {
		h.submit(id, api.JobSpec{Script: []string{sleeper(filepath.Join(pids, id))}})
	}
	for _, id := range ids {
		eventually(t, exists(filepath.Join(pids, id)))
	}
	kill()
	if _, err := h.Admin().Do(t.Context(), "builds/cancelled", "cancel", nil); err != nil {
		t.Fatal(err)
	}
	if err := h.Admin().Delete(t.Context(), "builds/deleted", 0); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(c.Dir, "without-workspace-1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.Dir, pool.Prefix+"of-the-killed"), 0o700); err != nil {
		t.Fatal(err)
	}
	start(t, newRunner(t, c))
	for _, id := range ids {
		eventually(t, gone(t, filepath.Join(pids, id)))
	}
	h.await("cancelled", func(b api.Build) bool { return b.LogDigest != "" })
	eventually(t, cleared(c.Dir))
}

func TestCancelledBuildsKeepWhatTheyStillWrite(t *testing.T) {
	h := newHub(t)
	r := newRunner(t, h.config())
	h.submit("long", api.JobSpec{
		Script: []string{"trap 'echo cleaning up; exit 1' TERM\necho ready\nwhile :; do sleep 0.05; done"},
		After:  []api.After{{On: []api.Result{api.ResultAborted}, Steps: []api.Step{shell("echo told them")}}},
	})
	start(t, r)
	eventually(t, func() string {
		if log := h.log("long", 1); !strings.Contains(log, "\nready\n") {
			return "the log is " + log
		}
		return ""
	})
	if _, err := h.Admin().Do(t.Context(), "builds/long", "cancel", nil); err != nil {
		t.Fatal(err)
	}
	b := h.await("long", func(b api.Build) bool { return b.LogDigest != "" })
	lines := strings.Split(h.log("long", 1), "\n")
	for _, want := range []string{"cleaning up", "told them"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the log of the build, which is %s, has no %q: %q", b.State, want, lines)
		}
	}
}

func TestABuildWhoseLogIsLostDoesNotPass(t *testing.T) {
	h := newHub(t)
	h.lost = 6 // of "lost!\n"
	start(t, newRunner(t, h.config()))
	h.submit("build", api.JobSpec{Script: []string{"echo kept; echo lost!"}})
	b := h.ended("build")
	if b.State != api.BuildError || b.LogMissing != 1 || !strings.HasPrefix(b.Error, "the log is incomplete, 1 lines are missing: the hub has") {
		t.Errorf("got %s, %q, %d lines missing; want an error that says so", b.State, b.Error, b.LogMissing)
	}
}
func TestPeriodsAreWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Minute: "30 minutes", time.Minute: "1 minute", time.Second: "1 second", 90 * time.Second: "90 seconds",
	} {
		if got := period(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// failing is an engine that fails, and is away at first when it is to clean up.
type failing struct {
	engine.Tasks
	away      int
	discarded chan string
}

func (f *failing) Run(context.Context, engine.Task, io.Writer) (engine.Result, error) {
	return engine.Result{}, errors.New("the daemon is gone")
}

func (f *failing) Resume(context.Context, engine.Task, io.Writer) (engine.Result, error) {
	return engine.Result{}, engine.ErrNoTask
}

func (f *failing) Left(context.Context) ([]string, error) { return nil, nil }

func (f *failing) Discard(_ context.Context, id string) error {
	if f.away--; f.away >= 0 {
		return errors.New("the daemon is still gone")
	}
	f.discarded <- id
	return nil
}

func TestNothingIsLeftOnAnEngineThatFailed(t *testing.T) {
	h := newHub(t)
	c := h.config()
	f := &failing{Tasks: c.Engine, away: 2, discarded: make(chan string, 1)}
	c.Engine = f
	start(t, newRunner(t, c))
	h.submit("build", api.JobSpec{Script: []string{"true"}})
	if b := h.ended("build"); b.State != api.BuildError || !strings.Contains(b.Error, "the daemon is gone") {
		t.Errorf("the build is %s, %q", b.State, b.Error)
	}
	f.insist(t, "build-1")
}

// insist waits until a task with the id is discarded.
func (f *failing) insist(t *testing.T, id string) {
	t.Helper()
	select {
	case got := <-f.discarded:
		if got != id {
			t.Errorf("%s was discarded, want %s", got, id)
		}
	case <-time.After(deadline):
		t.Error("nothing was discarded")
	}
}

func TestNothingIsLeftOfAnEndThatARunnerWasKilledAfter(t *testing.T) {
	c := newHub(t).config()
	f := &failing{Tasks: c.Engine, discarded: make(chan string, 1)}
	c.Engine = f
	r := newRunner(t, c)
	b := api.Build{Meta: kit.Meta{Link: "builds/x"}, Attempt: 1, Spec: &api.JobSpec{}}
	first, err := r.prepare(b, nil, r.Logger)
	if err == nil {
		err = first.reach(phaseKeep)
	}
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.prepare(b, &first.record, r.Logger)
	if err != nil {
		t.Fatal(err)
	}
	second.leave(t.Context())
	f.insist(t, "x-1")
}

func TestALogIsWholeWhoseEndHadComeWhenTheRunnerWasKilled(t *testing.T) {
	c := newHub(t).config()
	c.Engine = &failing{Tasks: c.Engine} // which has removed the container
	r := newRunner(t, c)
	for _, whole := range []bool{true, false} {
		b := api.Build{Meta: kit.Meta{Link: kit.Link(fmt.Sprint("builds/", whole))}, Attempt: 1, Spec: &api.JobSpec{}}
		first, err := r.prepare(b, nil, r.Logger)
		if err == nil {
			err = errors.Join(first.reach(phaseSteps), os.MkdirAll(first.space.state(), 0o700))
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(first.space.state(), "result"), []byte("SUCCESS\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if whole {
			first.whole()
		}
		left, err := first.space.read()
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.prepare(b, &left, r.Logger)
		if err != nil {
			t.Fatal(err)
		}
		result, err := second.runSteps(t.Context(), time.Minute)
		if missing := second.log.Missing(); result != api.ResultSuccess || err != nil || (missing == 0) != whole {
			t.Errorf("whole %t: %s, error %v, %d lines are missing", whole, result, err, missing)
		}
		second.remove()
	}
}

func TestNothingIsLeftThatWasPreparedForStepsThatDoNotBegin(t *testing.T) {
	c := newHub(t).config()
	f := &failing{Tasks: c.Engine, discarded: make(chan string, 1)}
	c.Engine = f
	r := newRunner(t, c)
	a, err := r.prepare(api.Build{Meta: kit.Meta{Link: "builds/x"}, Attempt: 1, Spec: &api.JobSpec{}}, nil, r.Logger)
	if err != nil {
		t.Fatal(err)
	}
	a.spare = "spare-1"
	a.leave(t.Context())
	f.insist(t, "spare-1")
}

func TestSecretsAreMaskedByTheNextRunnerToo(t *testing.T) {
	r := newRunner(t, newHub(t).config())
	b := api.Build{Meta: kit.Meta{Link: "builds/x"}, Attempt: 1, Spec: &api.JobSpec{}}
	logger := slog.New(slog.DiscardHandler)
	first, err := r.prepare(b, nil, logger)
	if err != nil {
		t.Fatal(err)
	}
	first.masked = []string{"as it was given"}
	if err := first.reach(phaseSteps); err != nil {
		t.Fatal(err)
	}
	left, err := first.space.read()
	if err != nil {
		t.Fatal(err)
	}
	second, err := r.prepare(b, &left, logger)
	if err != nil {
		t.Fatal(err)
	}
	defer second.remove()
	if got := second.secrets(); !slices.Equal(got, first.masked) {
		t.Errorf("what is masked is %q, want %q", got, first.masked)
	}
}
