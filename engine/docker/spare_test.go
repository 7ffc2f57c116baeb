package docker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"landfall.dev/engine"
	"landfall.dev/engine/enginetest"
)

// preparing is an engine whose tasks all find a container that was prepared.
type preparing struct {
	*Engine
	t *testing.T
}

func (p preparing) Run(ctx context.Context, t engine.Task, out io.Writer) (engine.Result, error) {
	if t.Check() == nil {
		spare := t
		spare.ID, spare.Command, spare.Env = "spare-"+t.ID[:min(len(t.ID), 90)], nil, nil
		if _, err := os.Stat(t.Dir); err == nil {
			if err := p.Prepare(p.t.Context(), spare); err != nil {
				return engine.Result{}, err
			}
			t.Spare = spare.ID
		}
	}
	return p.Engine.Run(ctx, t, out)
}

func TestAPreparedContainerIsLikeAFreshOne(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	enginetest.Tasks(t, enginetest.Subject{Open: func() engine.Engine { return preparing{e, t} }, Tools: tools})
	nothingLeft(t, e)
}

func TestTheEnvironmentOfAPreparedContainerIsThatOfAFreshOne(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	task := shell(t, tools, `env | grep -v HOSTNAME | sort; cat; cat file; id -u; ls /proc/self/fd; tr '\0' ' ' < /proc/self/cmdline; cat /proc/self/limits; ls -a /tmp`)
	task.Env = map[string]string{"PLAIN": "x", "ODD": "it's\n$HOME \"`x`\" \\", "EMPTY": "", "PATH": "/bin:/usr/bin"}
	task.Limits = engine.Limits{MemoryMB: 64, Pids: 50}
	var outputs []string
	for _, spare := range []string{"", "spare-1"} {
		dir := filepath.Join(t.TempDir(), "before")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		task.Dir, task.Spare = dir, spare
		if spare != "" {
			prepared := task
			prepared.ID, prepared.Command, prepared.Env = spare, nil, nil
			if err := e.Prepare(t.Context(), prepared); err != nil {
				t.Fatal(err)
			}
			task.Dir = filepath.Join(filepath.Dir(dir), "after")
			if err := os.Rename(dir, task.Dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(task.Dir, "file"), []byte("in the workspace\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if result, err := e.Run(t.Context(), task, &out); err != nil || result.Exit != 0 {
			t.Fatalf("got %+v, error %v:\n%s", result, err, out.String())
		}
		outputs = append(outputs, out.String())
	}
	if outputs[0] != outputs[1] || !strings.Contains(outputs[0], "in the workspace") || !strings.Contains(outputs[0], "$HOME \"`x`\"") {
		t.Errorf("in a fresh container:\n%s\nin a prepared one:\n%s", outputs[0], outputs[1])
	}
}

func TestATaskWhosePreparedContainerIsGoneRunsInAFreshOne(t *testing.T) {
	e := open(t)
	task := shell(t, loadTools(t, e), "echo fresh")
	prepared := task
	prepared.ID = "spare-2"
	if err := e.Prepare(t.Context(), prepared); err != nil {
		t.Fatal(err)
	}
	if ids, err := e.Left(t.Context()); err != nil || len(ids) != 1 || ids[0] != "spare-2" {
		t.Errorf("left: got %q, error %v; want the prepared one", ids, err)
	}
	if err := e.Discard(t.Context(), "spare-2"); err != nil {
		t.Fatal(err)
	}
	task.Spare = "spare-2"
	var out bytes.Buffer
	if result, err := e.Run(t.Context(), task, &out); err != nil || result.Exit != 0 || out.String() != "fresh\n" {
		t.Errorf("got %+v, error %v, output %q", result, err, out.String())
	}
}

func TestATaskWhoseRunnerDiedBeforeItBeganIsNotResumed(t *testing.T) {
	e := open(t)
	tools := loadTools(t, e)
	for line, begun := range map[string]bool{"": false, "echo ready; cat pipe; sh -c 'exit 5'": true} {
		task := shell(t, tools, line)
		prepared := task
		prepared.ID = "spare-3"
		if err := e.Prepare(t.Context(), prepared); err != nil {
			t.Fatal(err)
		}
		task.Spare = prepared.ID
		id, err := e.adopt(t.Context(), task)
		if err != nil || id == "" {
			t.Fatalf("got container %q, error %v", id, err)
		}
		if begun {
			pipe := filepath.Join(task.Dir, "pipe")
			if err := os.WriteFile(pipe, []byte("in\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			attached, err := e.client.ContainerAttach(t.Context(), id, client.ContainerAttachOptions{Stream: true, Stdin: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := tell(attached.Conn, task); err != nil {
				t.Fatal(err)
			}
			attached.Close()
			enginetest.Eventually(t, func() string {
				if text, err := e.tail(t.Context(), id, 1); string(text) != "in\n" {
					return fmt.Sprintf("the log is %q, error %v", text, err)
				}
				return ""
			})
		}
		var out bytes.Buffer
		result, err := e.Resume(t.Context(), task, &out)
		if !begun && !errors.Is(err, engine.ErrNoTask) || begun && (err != nil || result.Exit != 5 || out.String() != "ready\nin\n") {
			t.Errorf("begun %v: got %+v, error %v, output %q", begun, result, err, out.String())
		}
	}
	nothingLeft(t, e)
}
