package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"landfall.dev/engine"
)

// Tasks runs the part of the suite that is about tasks.
func Tasks(t *testing.T, s Subject) {
	t.Run("the output of both streams arrives", func(t *testing.T) {
		out, result, err := run(t, s, script(t, s, "echo one; echo error >&2; echo two"))
		stdout := strings.Replace(out, "error\n", "", 1)
		if err != nil || result.Exit != 0 || stdout != "one\ntwo\n" || stdout == out {
			t.Errorf("got %+v, error %v, output %q; want exit code 0, output one, two and somewhere error", result, err, out)
		}
	})
	t.Run("the last line arrives even if it is not ended", func(t *testing.T) {
		out, result, err := run(t, s, script(t, s, "printf 'one\ntwo'"))
		if err != nil || result.Exit != 0 || out != "one\ntwo" {
			t.Errorf("got %+v, error %v, output %q; want exit code 0, output one, two", result, err, out)
		}
	})
	t.Run("a failure is an exit code, not an error", func(t *testing.T) {
		_, result, err := run(t, s, script(t, s, "exit 3"))
		if err != nil || result.Exit != 3 {
			t.Errorf("got %+v, error %v; want exit code 3", result, err)
		}
	})
	t.Run("a signal is an exit code of 128 and its number", func(t *testing.T) {
		_, result, err := run(t, s, script(t, s, "sh -c 'kill -9 $$'; exit $?"))
		if err != nil || result.Exit != 137 {
			t.Errorf("got %+v, error %v; want exit code 137", result, err)
		}
	})
	t.Run("a command that does not exist ends with 127", func(t *testing.T) {
		task := script(t, s, "")
		task.Command = []string{"no-such-tool", "--version"}
		out, result, err := run(t, s, task)
		if err != nil || result.Exit != 127 || !strings.Contains(out, "no-such-tool") {
			t.Errorf("got %+v, error %v, output %q; want exit code 127 and the command's name", result, err, out)
		}
	})
	t.Run("the environment is what was given", taskEnvironment(s))
	t.Run("the workspace is the working directory and shared", taskWorkspace(s))
	t.Run("a mount is found through its variable", taskMount(s))
	t.Run("the output is live, and a cancelled task dies with its children", taskCancel(s))
	t.Run("a cancelled task may clean up within its grace", taskGrace(s,
		"exec 2>/dev/null; trap 'echo cleaned; exit 1' TERM; echo ready; while :; do sleep 0.05; done", time.Minute, "ready\ncleaned\n"))
	t.Run("what a cancelled task's shell has begun may clean up, too", taskGrace(s,
		"exec 2>/dev/null; trap : TERM; sh -c 'trap \"echo cleaned; exit 1\" TERM; echo ready; while :; do sleep 0.05; done'", time.Minute, "ready\ncleaned\n"))
	t.Run("what outlives a cancelled shell may clean up", taskGrace(s,
		"exec 2>/dev/null; sh -c 'trap \"echo cleaned; exit 1\" TERM; echo ready; while :; do sleep 0.05; done'; :", time.Minute, "ready\ncleaned\n"))
	t.Run("a cancelled task that ignores SIGTERM is killed after its grace", taskGrace(s,
		"trap '' TERM; echo ready; while :; do sleep 0.05; done", time.Second, "ready\n"))
	t.Run("what a task leaves in the background dies with it", func(t *testing.T) {
		_, result, err := run(t, s, script(t, s, "sleep 1000 & echo started"))
		if err != nil || result.Exit != 0 {
			t.Errorf("got %+v, error %v; want exit code 0 without a wait", result, err)
		}
	})
	t.Run("an id may be used again", func(t *testing.T) {
		task := script(t, s, "exit 4")
		for range 2 {
			if _, result, err := run(t, s, task); err != nil || result.Exit != 4 {
				t.Errorf("got %+v, error %v; want exit code 4", result, err)
			}
		}
	})
	t.Run("a failing writer ends the task", func(t *testing.T) {
		broken := errors.New("disk full")
		_, err := s.Open().Run(t.Context(), script(t, s, "echo x; sleep 1000"), writerFunc(func([]byte) (int, error) { return 0, broken }))
		if !errors.Is(err, broken) {
			t.Errorf("got error %v, want %v", err, broken)
		}
	})
	t.Run("an invalid task is refused", func(t *testing.T) {
		_, _, err := run(t, s, engine.Task{ID: "../x"})
		if !errors.Is(err, engine.ErrInvalid) {
			t.Errorf("got error %v, want ErrInvalid", err)
		}
	})
	t.Run("a missing workspace is named", func(t *testing.T) {
		task := script(t, s, "true")
		task.Dir = filepath.Join(task.Dir, "gone")
		_, _, err := run(t, s, task)
		if err == nil || !strings.Contains(err.Error(), task.Dir) {
			t.Errorf("got error %v, want one that names %s", err, task.Dir)
		}
	})
}

func taskEnvironment(s Subject) func(*testing.T) {
	return func(t *testing.T) {
		t.Setenv("LANDFALL_TEST_SECRET", "of the engine's own process")
		task := script(t, s, `echo "$GREETING/$LANDFALL_TEST_SECRET"; test -n "$PATH" && echo x > "$HOME/file" && echo home`)
		task.Env = map[string]string{"GREETING": "good day = $x"}
		out, result, err := run(t, s, task)
		if err != nil || result.Exit != 0 || out != "good day = $x/\nhome\n" {
			t.Errorf("got %+v, error %v, output %q; want the given variable only, PATH, and a HOME to write to", result, err, out)
		}
	}
}

func taskWorkspace(s Subject) func(*testing.T) {
	return func(t *testing.T) {
		task := script(t, s, "cat input && echo made > output")
		if err := os.WriteFile(filepath.Join(task.Dir, "input"), []byte("source\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, result, err := run(t, s, task)
		if err != nil || result.Exit != 0 || out != "source\n" {
			t.Fatalf("got %+v, error %v, output %q; want the file's content", result, err, out)
		}
		made, err := os.ReadFile(filepath.Join(task.Dir, "output"))
		if err != nil || string(made) != "made\n" {
			t.Errorf("output file: got %q, error %v; want %q", made, err, "made\n")
		}
	}
}

func taskMount(s Subject) func(*testing.T) {
	return func(t *testing.T) {
		cache := t.TempDir()
		task := script(t, s, `echo cached > "$CACHE/entry"`)
		task.Mounts = []engine.Mount{{Host: cache, Target: "/cache", Env: "CACHE"}}
		if out, result, err := run(t, s, task); err != nil || result.Exit != 0 {
			t.Fatalf("got %+v, error %v, output %q; want exit code 0", result, err, out)
		}
		if got, err := os.ReadFile(filepath.Join(cache, "entry")); err != nil || string(got) != "cached\n" {
			t.Errorf("entry: got %q, error %v; want %q", got, err, "cached\n")
		}
	}
}

// taskCancel cancels a task when its first line is seen, so a test that ends
// shows that output is live. The task's child holds a named pipe open for
// writing: the end of file on it shows that the child is dead.
func taskCancel(s Subject) func(*testing.T) {
	return func(t *testing.T) {
		superseded := errors.New("superseded")
		ctx, cancel := context.WithCancelCause(t.Context())
		task := script(t, s, "(exec 3>pipe; echo ready; exec sleep 1000) & wait")
		path := filepath.Join(task.Dir, "pipe")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		pipe, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer pipe.Close()
		var out bytes.Buffer
		_, err = s.Open().Run(ctx, task, writerFunc(func(p []byte) (int, error) {
			out.Write(p)
			if strings.Contains(out.String(), "ready\n") {
				cancel(superseded)
			}
			return len(p), nil
		}))
		if !errors.Is(err, superseded) {
			t.Fatalf("got error %v, want the cause of the cancellation; output %q", err, out.String())
		}
		if err := pipe.SetReadDeadline(time.Now().Add(Deadline)); err != nil {
			t.Fatal(err)
		}
		if _, err := pipe.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the cancelled task's child lives: its pipe gave %v, want the end of file", err)
		}
	}
}

// taskGrace cancels a task with a grace when it is ready, and compares all that
// it has written.
func taskGrace(s Subject, line string, grace time.Duration, want string) func(*testing.T) {
	return func(t *testing.T) {
		superseded := errors.New("superseded")
		ctx, cancel := context.WithCancelCause(t.Context())
		task := script(t, s, line)
		task.Grace = grace
		var out bytes.Buffer
		_, err := s.Open().Run(ctx, task, writerFunc(func(p []byte) (int, error) {
			out.Write(p)
			if strings.Contains(out.String(), "ready\n") {
				cancel(superseded)
			}
			return len(p), nil
		}))
		if !errors.Is(err, superseded) || out.String() != want {
			t.Errorf("got error %v, output %q; want the cause of the cancellation, %q", err, out.String(), want)
		}
	}
}

// script is a task named after t that runs line in a shell.
func script(t *testing.T, s Subject, line string) engine.Task {
	t.Helper()
	return engine.Task{ID: id(t), Image: s.Tools, Dir: t.TempDir(), Command: []string{"sh", "-c", line}}
}

// run runs task on a new Engine value within Deadline.
func run(t *testing.T, s Subject, task engine.Task) (string, engine.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), Deadline, errors.New("the suite's deadline has passed"))
	defer cancel()
	var out bytes.Buffer
	result, err := s.Open().Run(ctx, task, &out)
	return out.String(), result, err
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
