package process

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

func TestContract(t *testing.T) {
	dir := t.TempDir()
	enginetest.Contract(t, enginetest.Subject{Open: func() engine.Engine { return open(t, dir) }})
}

func TestTasksOutliveTheirKilledCaller(t *testing.T) {
	dir := t.TempDir()
	enginetest.Resumes(t, enginetest.Subject{Open: func() engine.Engine { return open(t, dir) }}, dir, -1)
}

func open(t *testing.T, dir string) *Engine {
	t.Helper()
	e, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// victim, if set, makes the test binary start an instance and a task in this
// state directory, say so, and wait for its end.
const victim = "LANDFALL_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(enginetest.VictimVariable); dir != "" {
		e, err := New(dir)
		if err != nil {
			panic(err)
		}
		enginetest.Victim(e)
	}
	if dir := os.Getenv(victim); dir != "" {
		runVictim(dir, os.Getenv("IMAGE"))
	}
	os.Exit(m.Run())
}

func runVictim(dir, image string) {
	e, err := New(dir)
	if err == nil {
		err = e.Start(context.Background(), engine.Instance{Group: "g", Name: "0", Image: image, Data: filepath.Join(dir, "data")})
	}
	if err != nil {
		panic(err)
	}
	e.Run(context.Background(), engine.Task{ID: "t", Dir: dir, Command: []string{"sh", "-c", "echo ready; sleep 1000"}}, os.Stdout)
}

func TestInstanceOutlivesItsKilledEngineAndATaskIsKilledByItsRepeat(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	img := enginetest.Image(t)
	ref := enginetest.Ref(t, enginetest.Repository, img)
	if err := e.Load(t.Context(), img, ref); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop(context.Background(), "g") })
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victim+"="+dir, "IMAGE="+ref)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if killErr := cmd.Process.Kill(); err != nil || killErr != nil {
		t.Fatalf("victim said %q, error %v, %v", line, err, killErr)
	}
	cmd.Wait()

	list, err := open(t, dir).List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Running {
		t.Fatalf("List after the engine was killed: got %+v, error %v; want one running instance", list, err)
	}
	task, err := readTask(filepath.Join(dir, "tasks", "t"))
	if err != nil || !task.alive() {
		t.Fatalf("task after the engine was killed: got %+v, error %v; want it alive", task, err)
	}
	if _, err := e.Run(t.Context(), engine.Task{ID: "t", Dir: dir, Command: []string{"true"}}, os.Stdout); err != nil {
		t.Fatal(err)
	}
	if task.alive() {
		t.Errorf("the first run of the task is still alive after the second")
	}
}

func TestInstanceIsFoundWhenTheEngineDiedBeforeItWroteThePID(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	i := startProgram(t, e)
	path := filepath.Join(dir, "instances", "g", "0")
	r, err := readRecord(path)
	if err != nil {
		t.Fatal(err)
	}
	pid := r.Process.PID
	r.Process = mark{Token: r.Process.Token}
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	again := open(t, dir)
	if err := again.Start(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	if r, err = readRecord(path); err != nil || r.Process.PID != pid || !r.Process.alive() {
		t.Errorf("record: got %+v, error %v; want process %d, alive", r, err, pid)
	}
}

func TestProcessThatHasTheNumberOfADeadOneIsNotTouched(t *testing.T) {
	dir := t.TempDir()
	e := open(t, dir)
	startProgram(t, e)
	r, err := readRecord(filepath.Join(dir, "instances", "g", "0"))
	if err != nil {
		t.Fatal(err)
	}
	stranger := exec.Command("sleep", "1000")
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	defer stranger.Wait()
	defer stranger.Process.Kill()
	if err := r.Process.kill(false); err != nil {
		t.Fatal(err)
	}
	s, err := readStat(stranger.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	// As if the kernel had given the number to another, a clock tick later.
	r.Process.PID, r.Process.Start = stranger.Process.Pid, s.start-1
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	list, err := e.List(t.Context())
	if err != nil || len(list) != 1 || list[0].Running {
		t.Errorf("List: got %+v, error %v; want it ended", list, err)
	}
	if err := e.Stop(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if s, err := readStat(stranger.Process.Pid); err != nil || s.dead {
		t.Errorf("the stranger is dead: %+v, error %v", s, err)
	}
}

// startProgram starts the suite's program as instance 0 of group g.
func startProgram(t *testing.T, e *Engine) engine.Instance {
	t.Helper()
	img := enginetest.Image(t)
	i := engine.Instance{Group: "g", Name: "0", Image: enginetest.Ref(t, enginetest.Repository, img), Data: t.TempDir()}
	if err := e.Load(t.Context(), img, i.Image); err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context(), i); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop(context.Background(), "g") })
	return i
}

func TestTaskThatLeavesItsSessionIsKilled(t *testing.T) {
	dir := t.TempDir()
	task := engine.Task{ID: "t", Dir: dir, Command: []string{"sh", "-c", "setsid sh -c 'echo $$ > pid; exec sleep 1000' & until test -s pid; do :; done"}}
	if result, err := open(t, dir).Run(t.Context(), task, os.Stdout); err != nil || result.Exit != 0 {
		t.Fatalf("Run: got %+v, error %v", result, err)
	}
	pid, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := os.ReadFile(filepath.Join("/proc", strings.TrimSpace(string(pid)), "cmdline"))
	if err == nil && strings.Contains(string(s), "sleep") {
		t.Errorf("the daemon that the task started is alive as process %s", pid)
	}
}

func TestProgramsThatAreRefused(t *testing.T) {
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		content string
		want    string
	}{
		{"script", "#!/bin/sh\n", "the process engine runs static programs only: /app of image"},
		{"script says so", "#!/bin/sh\n", "is a script"},
		{"dynamic program", string(shell), "needs a dynamic linker"},
		{"text", "hello", "is not an ELF program"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := open(t, t.TempDir())
			img := enginetest.NewImage(t, v1.Config{Entrypoint: []string{"/app"}}, []tar.Header{{Name: "app", Mode: 0o755}}, []byte(test.content))
			ref := enginetest.Ref(t, "landfall.test/app", img)
			if err := e.Load(t.Context(), img, ref); err != nil {
				t.Fatal(err)
			}
			err := e.Start(t.Context(), engine.Instance{Group: "g", Name: "0", Image: ref})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Start: got error %v, want %q", err, test.want)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	line := "17 (a) b (c) S 1 17 16 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 98765 0 0"
	got, err := parseStat(line)
	if want := (stat{session: 16, start: 98765}); err != nil || got != want {
		t.Errorf("got %+v, error %v; want %+v", got, err, want)
	}
	if _, err := parseStat("17 (a) S 1"); err == nil {
		t.Errorf("a line that is too short: got no error")
	}
}

func TestMountWithoutAVariableIsRefused(t *testing.T) {
	dir := t.TempDir()
	task := engine.Task{ID: "t", Dir: dir, Command: []string{"true"}, Mounts: []engine.Mount{{Host: dir, Target: "/cache"}}}
	_, err := open(t, t.TempDir()).Run(t.Context(), task, os.Stdout)
	if !errors.Is(err, engine.ErrInvalid) || !strings.Contains(err.Error(), "let the mount's variable tell") {
		t.Errorf("got error %v, want ErrInvalid with what to do", err)
	}
}

func TestFileThatCannotBeExecutedEndsTheTask(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name, content string
		mode          os.FileMode
	}{
		{"not executable", "#!/bin/sh\n", 0o600},
		{"no program", "text", 0o700},
		{"interpreter missing", "#!/nowhere/sh\n", 0o700},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := os.WriteFile(filepath.Join(dir, test.name), []byte(test.content), test.mode); err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			task := engine.Task{ID: "t", Dir: dir, Command: []string{"./" + test.name}}
			result, err := open(t, t.TempDir()).Run(t.Context(), task, &out)
			if err != nil || result.Exit != 126 || !strings.Contains(out.String(), test.name) {
				t.Errorf("got %+v, error %v, output %q; want exit code 126 and the file's name", result, err, out.String())
			}
		})
	}
}

func TestWhereAProgramIsLookedFor(t *testing.T) {
	i := image{config: v1.Config{WorkingDir: "/srv", Env: []string{"PATH=/opt/bin:/bin"}}}
	for command, want := range map[string][]string{
		"/app":     {"/app"},
		"./bin/up": {"/srv/bin/up"},
		"up":       {"/opt/bin/up", "/bin/up"},
	} {
		if got := i.candidates(command); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", command, got, want)
		}
	}
}
