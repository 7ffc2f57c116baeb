package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/engine/process"
	"landfall.dev/kit"
	"landfall.dev/runner/task"
)

func TestPassingBuild(t *testing.T) {
	h := newHub(t)
	c := h.config()
	start(t, newRunner(t, c))
	h.submit("first", api.JobSpec{
		Env: map[string]string{"FROM": "job", "PARAM": "from the job", "LANDFALL_SCRIPT": "/nowhere", "LANDFALL_COMMIT": "forged"},
		Script: []string{
			"cat README; echo error >&2\n# 'quoted' $HOME",
			"echo \"$FROM, $ONLY_RUNNER, $PARAM\"\necho $LANDFALL_PROJECT $LANDFALL_BUILD $LANDFALL_CHANGE $LANDFALL_COMMIT; env > all",
			"env; cat all",
		},
	})
	b := h.ended("first")
	if b.State != api.BuildPassed || b.Runner != "one" || b.Error != "" {
		t.Fatalf("the build is %s by %q, %q; want it passed by one\n%s", b.State, b.Runner, b.Error, h.log("first", 1))
	}
	log := h.log("first", 1)
	want := "--- step 1: cat README; echo error >&2\nhello\nerror\n" +
		"--- step 2: echo \"$FROM, $ONLY_RUNNER, $PARAM\"\njob, yes, from the run\ndemo first 7 c0ffee0123456789\n" +
		"--- step 3: env; cat all\n"
	if !strings.HasPrefix(log, want) {
		t.Errorf("the log is\n%s\nwant it to begin with\n%s", log, want)
	}
	if b.LogSize != int64(len(log)) {
		t.Errorf("the log's size is said to be %d, want %d", b.LogSize, len(log))
	}
	if strings.Contains(log, h.Token("runners/one")[:8]) || strings.Contains(strings.ToLower(log), "token") {
		t.Errorf("the environment tells of a token:\n%s", log)
	}
	eventually(t, cleared(c.Dir))
}

func TestRunnerInTheHubsProcess(t *testing.T) {
	h := newHub(t)
	c := h.config()
	c.Client, c.HTTP, c.Base, c.Authorize = h.Client("runners/one"), h.Server.HTTP("runners/one"), "http://localhost", nil
	start(t, newRunner(t, c))
	h.submit("inside", packJob(api.PackSpec{Files: map[string]string{"README": "/README"}}, "cat README"))
	b := h.ended("inside")
	if log := h.log("inside", 1); b.State != api.BuildPassed || !strings.Contains(log, "\nhello\n--- packed "+b.Image) {
		t.Errorf("the build is %s, %q, its log\n%s", b.State, b.Error, log)
	}
}

func TestBuildsThatDoNotPass(t *testing.T) {
	h := newHub(t)
	c := h.config()
	start(t, newRunner(t, c))
	for _, test := range []struct {
		name  string
		spec  api.JobSpec
		state api.BuildState
		error string
		exit  int
	}{
		{"step fails", api.JobSpec{Script: []string{"true", "echo why; echo\nprintf '  \\033[31mbad\\033[0m '; exit 3", "echo never"}}, "failed", "step 2 exited with 3: bad", 3},
		{"first command of a step fails", api.JobSpec{Script: []string{"false\necho never"}}, "failed", "step 1 exited with 1", 1},
		{"unknown command", api.JobSpec{Script: []string{"no-such-tool"}}, "failed", "step 1 exited with 127: ", 127},
		{"script is killed", api.JobSpec{Script: []string{"echo last words; kill -9 $PPID"}}, "failed", "the script exited with 137: last words", 137},
		{"takes too long", api.JobSpec{Script: []string{"echo begun; sleep 1000"}, TimeoutSeconds: 1}, "failed", "took longer than 1 second", 0},
		{"impossible variable", api.JobSpec{Script: []string{"true"}, Env: map[string]string{"A=B": "c"}}, "error", `variable "A=B"`, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := strings.ReplaceAll(test.name, " ", "-")
			h.submit(id, test.spec)
			b := h.ended(id)
			log := h.log(id, 1)
			if b.State != test.state || !strings.Contains(b.Error, test.error) || b.ExitCode != test.exit {
				t.Errorf("got %s, %q, exit code %d; want %s, %q, %d\n%s", b.State, b.Error, b.ExitCode, test.state, test.error, test.exit, log)
			}
			if strings.Contains(log, "\nnever") {
				t.Errorf("it went on after the failure:\n%s", log)
			}
			if test.exit == 0 && !strings.HasSuffix(log, "--- "+string(b.State)+": "+b.Error+"\n") {
				t.Errorf("the log does not end with the reason:\n%s", log)
			}
		})
	}
	eventually(t, cleared(c.Dir))
}

func TestBuildOfAnUnknownCommitIsAnError(t *testing.T) {
	h := newHub(t)
	delete(h.sources, "c0ffee0123456789")
	start(t, newRunner(t, h.config()))
	h.submit("lost", api.JobSpec{Script: []string{"true"}})
	b := h.ended("lost")
	if b.State != api.BuildError || !strings.Contains(b.Error, "fetch the sources of demo at c0ffee0123456789: there is no commit") {
		t.Errorf("got %s, %q; want an error that tells which sources are not there", b.State, b.Error)
	}
}

// sleeper is a step that notes its process in file and goes on for ever.
func sleeper(file string) string {
	return fmt.Sprintf("echo $$ > %s.new; mv %s.new %s; exec sleep 1000", file, file, file)
}

// gone is for eventually: it waits for the end of the process noted in file.
func gone(t *testing.T, file string) func() string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Sprintf("process %d is alive: %v", pid, err)
		}
		return ""
	}
}

func TestCancelledBuildIsKilled(t *testing.T) {
	for name, change := range map[string]func(*Runner){
		"told by the watch":     func(*Runner) {},
		"told by the heartbeat": func(r *Runner) { r.beat, r.Client = 20*time.Millisecond, deaf{r.Client} },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			r := newRunner(t, h.config())
			change(r)
			h.submit("long", api.JobSpec{Script: []string{sleeper(filepath.Join(r.Dir, "pid"))}})
			start(t, r)
			eventually(t, exists(filepath.Join(r.Dir, "pid")))
			if _, err := h.Admin().Do(t.Context(), "builds/long", "cancel", nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, gone(t, filepath.Join(r.Dir, "pid")))
			h.submit("next", api.JobSpec{Script: []string{"true"}})
			r.look()
			if b := h.ended("next"); b.State != api.BuildPassed {
				t.Errorf("the next build is %s, %q; want passed", b.State, b.Error)
			}
			if b := h.ended("long"); b.State != api.BuildCancelled {
				t.Errorf("the cancelled build became %s", b.State)
			}
		})
	}
}

func TestACancelledBuildMayCleanUp(t *testing.T) {
	h := newHub(t)
	r := newRunner(t, h.config())
	dir := t.TempDir()
	ready, cleaned, never := filepath.Join(dir, "ready"), filepath.Join(dir, "cleaned"), filepath.Join(dir, "never")
	h.submit("long", api.JobSpec{Script: []string{
		"trap 'touch " + cleaned + "; exit 0' TERM\ntouch " + ready + "\nwhile :; do sleep 0.05; done",
		"touch " + never,
	}})
	start(t, r)
	eventually(t, exists(ready))
	if _, err := h.Admin().Do(t.Context(), "builds/long", "cancel", nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, exists(cleaned))
	eventually(t, cleared(r.Dir))
	if exists(never)() == "" {
		t.Error("the step after the cancelled one was run")
	}
}

// deaf is a client whose watches tell nothing.
type deaf struct{ kit.Client }

func (deaf) Watch(ctx context.Context, _ kit.WatchQuery) iter.Seq2[kit.Change, error] {
	return func(func(kit.Change, error) bool) { <-ctx.Done() }
}

func TestOutageOfTheHubLosesNothing(t *testing.T) {
	h := newHub(t)
	c := h.config()
	r := newRunner(t, c)
	r.beat = 20 * time.Millisecond
	start(t, r)
	dir := t.TempDir()
	wait := func(file string) string {
		return "while [ ! -f " + filepath.Join(dir, file) + " ]; do sleep 0.01; done\n"
	}
	h.submit("patient", api.JobSpec{Script: []string{
		"echo before\n" + wait("down") + "i=0; while [ $i -lt 20000 ]; do echo during $i; i=$((i+1)); done\n" +
			"touch " + filepath.Join(dir, "written") + "\n" + wait("up") + "echo after",
	}, Artifacts: []string{"README"}})
	eventually(t, func() string {
		if log := h.log("patient", 1); !strings.Contains(log, "\nbefore\n") {
			return "the log is " + log
		}
		return ""
	})
	h.down.Store(true)
	touch(t, filepath.Join(dir, "down"))
	eventually(t, exists(filepath.Join(dir, "written")))
	eventually(t, func() string {
		if n := h.refused.Load(); n < 2 {
			return fmt.Sprintf("%d parts of the log were refused", n)
		}
		return ""
	})
	touch(t, filepath.Join(dir, "up"))
	h.down.Store(false)

	b := h.ended("patient")
	_, output, _ := strings.Cut(h.log("patient", 1), "\nbefore\n")
	var want strings.Builder
	for i := range 20000 {
		fmt.Fprintln(&want, "during", i)
	}
	want.WriteString("after\n")
	if b.State != api.BuildPassed || output != want.String() || len(b.Artifacts) != 1 {
		t.Errorf("got %s, %q, %d artifacts and %d bytes of log after the outage, want passed with %d", b.State, b.Error, len(b.Artifacts), len(output), want.Len())
	}
	for _, n := range h.parts {
		if n > 256<<10 {
			t.Errorf("a part of the log had %d bytes", n)
		}
	}
}

func TestTwoBuildsAtOnce(t *testing.T) {
	h := newHub(t)
	c := h.config()
	c.Parallel = 2
	dir := t.TempDir()
	meet := func(mine, other string) api.JobSpec {
		return api.JobSpec{Script: []string{"touch " + filepath.Join(dir, mine) + "; while [ ! -f " + filepath.Join(dir, other) + " ]; do sleep 0.01; done"}, TimeoutSeconds: 30}
	}
	h.submit("a", meet("a", "b"))
	h.submit("b", meet("b", "a"))
	start(t, newRunner(t, c))
	for _, id := range []string{"a", "b"} {
		if b := h.ended(id); b.State != api.BuildPassed {
			t.Errorf("build %s is %s, %q; want passed", id, b.State, b.Error)
		}
	}
}

func TestBuildsAreLeasedInTheOrderOfTheQueue(t *testing.T) {
	h := newHub(t)
	file := filepath.Join(t.TempDir(), "order")
	for _, id := range []string{"z", "m", "a"} {
		h.submit(id, api.JobSpec{Script: []string{"echo $LANDFALL_BUILD >> " + file}})
	}
	start(t, newRunner(t, h.config()))
	for _, id := range []string{"z", "m", "a"} {
		h.ended(id)
	}
	if order, err := os.ReadFile(file); string(order) != "z\nm\na\n" {
		t.Errorf("the order was %q, %v; want z, m, a", order, err)
	}
}

func TestRunnerThatStopsLeavesItsBuildToOthers(t *testing.T) {
	h := newHub(t)
	r := newRunner(t, h.config())
	pid := filepath.Join(t.TempDir(), "pid")
	h.submit("orphan", api.JobSpec{Script: []string{sleeper(pid)}})
	stop := start(t, r)
	eventually(t, exists(pid))
	stop()
	eventually(t, gone(t, pid)) // until it is reaped
	if wrong := cleared(r.Dir)(); wrong != "" {
		t.Error(wrong)
	}
	b, err := api.Builds.Read(t.Context(), h.Admin(), "orphan")
	if err != nil || b.State != api.BuildRunning {
		t.Errorf("the build is %s, %v; want it still running", b.State, err)
	}
}

func TestNewRunnerEndsWhatADeadOneLeft(t *testing.T) {
	h := newHub(t)
	c := h.config()
	left := workspace{filepath.Join(c.Dir, "old-1")}
	for _, dir := range []string{left.src(), filepath.Join(left.src(), "locked"), filepath.Join(c.Dir, "of-somebody")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := left.write(record{Build: "old", Attempt: 1, Phase: phaseSteps}); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(left.src(), "locked", "file"))
	if err := os.Chmod(filepath.Join(left.src(), "locked"), 0o500); err != nil {
		t.Fatal(err)
	}
	pid := filepath.Join(t.TempDir(), "pid")
	ended := make(chan struct{})
	dead := c.Engine
	go func() { // the dead runner's engine, which does not notice
		defer close(ended)
		task := engine.Task{ID: "old-1", Dir: left.src(), Command: []string{"sh", "-c", sleeper(pid)}}
		_, _ = dead.Run(context.Background(), task, io.Discard)
	}()
	eventually(t, exists(pid))
	e, err := process.New(filepath.Join(filepath.Dir(c.Dir), "engine"))
	if err != nil {
		t.Fatal(err)
	}
	c.Engine = e
	start(t, newRunner(t, c))
	<-ended
	eventually(t, gone(t, pid))
	eventually(t, func() string {
		if _, err := os.Stat(left.dir); err == nil {
			return left.dir + " is still there"
		}
		return ""
	})
	if _, err := os.Stat(filepath.Join(c.Dir, "of-somebody")); err != nil {
		t.Errorf("what is no workspace was removed: %v", err)
	}
}

func TestRunnerWithoutARoleEnds(t *testing.T) {
	h := newHub(t)
	c := h.config()
	c.Client = h.Client("runners/stranger")
	if err := newRunner(t, c).Run(t.Context()); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("run: %v, want forbidden", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	c := newHub(t).config()
	c.Name = "a/b"
	if _, err := New(c); !errors.Is(err, engine.ErrInvalid) {
		t.Errorf("a wrong name: %v", err)
	}
	c.Name, c.Mounts = "one", []engine.Mount{{Host: "/cache", Target: "/cache"}}
	if _, err := New(c); err == nil || !strings.Contains(err.Error(), "/cache must be read-only") {
		t.Errorf("a writable mount: %v", err)
	}
}

func TestTaskIDsFitTheEngine(t *testing.T) {
	for id, want := range map[string]string{
		"change-42-3.gate.1":     "change-42-3.gate.1-2",
		"push~1":                 "build-",
		strings.Repeat("x", 150): "build-",
	} {
		got := task.ID(api.Build{Meta: kit.Meta{Link: api.Builds.Link(id)}, Attempt: 2})
		if !strings.HasPrefix(got, want) || engine.CheckName("task id", got) != nil {
			t.Errorf("the task of %s is %q, want %s", id, got, want)
		}
	}
}
