package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/engine"
)

// VictimVariable, if it is set, tells the test binary to be the victim of
// Resumes: to call Victim from TestMain with an engine of the state that the
// variable names.
const VictimVariable = "LANDFALL_TEST_TASK_VICTIM"

// countTo is a script that writes its lines in two halves: the second, which
// has no end of line, follows when there is a file go.
const countTo = `i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo "line $i"; done
until [ -e go ]; do sleep 0.02; done
while [ $i -lt 6000 ]; do i=$((i+1)); echo "line $i"; done; printf 'last words'; exit 3`

// Victim runs a task until it is killed.
func Victim(e engine.Engine) {
	dir := os.Getenv("TASK_DIR")
	_, err := e.Run(context.Background(), engine.Task{
		ID: filepath.Base(dir), Image: os.Getenv("TASK_IMAGE"), Dir: dir, Command: []string{"sh", "-c", countTo}, Grace: time.Minute,
	}, os.Stdout)
	fmt.Println("victim lives:", err)
}

// Resumes tests that a task is found again whose caller was killed by SIGKILL,
// and that its output is whole. state is for VictimVariable; exit is what is
// known of a task that has ended with 3.
func Resumes(t *testing.T, s Subject, state string, exit int) {
	e := s.Open().(engine.Resumer)
	var want bytes.Buffer
	for i := range 6000 {
		fmt.Fprintf(&want, "line %d\n", i+1)
	}
	want.WriteString("last words")
	for _, ended := range []bool{false, true} {
		task := orphan(t, s, state)
		touch := func() {
			if err := os.WriteFile(filepath.Join(task.Dir, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if ended { // before it is resumed
			touch()
		}
		var out bytes.Buffer
		ctx, cancel := context.WithTimeout(t.Context(), Deadline)
		result, err := e.Resume(ctx, task, writerFunc(func(p []byte) (int, error) {
			out.Write(p)
			if !ended && strings.Contains(out.String(), "line 3000\n") {
				touch()
			}
			return len(p), nil
		}))
		cancel()
		if err != nil || result.Exit != exit || !bytes.Equal(out.Bytes(), want.Bytes()) {
			t.Errorf("got %+v, error %v, output of %d bytes ending with %q; want exit code %d, %d bytes",
				result, err, out.Len(), out.Bytes()[max(0, out.Len()-30):], exit, want.Len())
		}
		if _, err := e.Resume(t.Context(), task, &out); !errors.Is(err, engine.ErrNoTask) {
			t.Errorf("resumed again: got error %v, want %v", err, engine.ErrNoTask)
		}
	}
	task := orphan(t, s, state)
	if left, err := e.Left(t.Context()); err != nil || strings.Join(left, " ") != task.ID {
		t.Errorf("left are %q, error %v; want %s", left, err, task.ID)
	}
	if err := errors.Join(e.Discard(t.Context(), task.ID), e.Discard(t.Context(), task.ID)); err != nil {
		t.Error(err)
	}
	if left, err := e.Left(t.Context()); err != nil || len(left) > 0 {
		t.Errorf("left are %q, error %v; want none", left, err)
	}
}

// orphan begins a task in another process and kills that.
func orphan(t *testing.T, s Subject, state string) engine.Task {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "orphan-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), VictimVariable+"="+state, "TASK_DIR="+dir, "TASK_IMAGE="+s.Tools)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("line 1\n"))
	_, err = out.Read(first)
	if killErr := cmd.Process.Kill(); err != nil || killErr != nil {
		t.Fatalf("the task's caller said %q: %v, %v", first, err, killErr)
	}
	_ = cmd.Wait() // it was killed
	return engine.Task{ID: filepath.Base(dir), Dir: dir, Grace: time.Minute}
}
