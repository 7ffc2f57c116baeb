package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"landfall.dev/engine"
)

// defaultPath is for an engine that was itself started without PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Run runs t in t.Dir with this machine's tools.
func (e *Engine) Run(ctx context.Context, t engine.Task, out io.Writer) (engine.Result, error) {
	if err := t.Check(); err != nil {
		return engine.Result{}, err
	}
	if len(t.Services)+len(t.Caches) > 0 {
		return engine.Result{}, fmt.Errorf("%w task %s: services and caches need containers: use a Docker daemon", engine.ErrInvalid, t.ID)
	}
	if ctx.Err() != nil {
		return engine.Result{}, context.Cause(ctx)
	}
	dir := e.path("tasks", t.ID)
	if err := e.removeTask(dir); err != nil {
		return engine.Result{}, fmt.Errorf("task %s: remove what an earlier run left: %w", t.ID, err)
	}
	result, err := e.runTask(ctx, t, dir, out)
	if removeErr := e.removeTask(dir); removeErr != nil && err == nil {
		err = fmt.Errorf("task %s: %w", t.ID, removeErr)
	}
	return result, err
}

// removeTask kills what is left of the task in dir, and forgets it.
func (e *Engine) removeTask(dir string) error {
	m, err := readTask(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return removeAll(dir)
	}
	if err != nil {
		return err
	}
	return errors.Join(m.kill(false), removeAll(dir))
}

func (e *Engine) runTask(ctx context.Context, t engine.Task, dir string, out io.Writer) (engine.Result, error) {
	home := filepath.Join(dir, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	env, err := taskEnv(t, home)
	if err != nil {
		return engine.Result{}, err
	}
	if d, err := os.Stat(t.Dir); err != nil {
		return engine.Result{}, fmt.Errorf("task %s: workspace: %w", t.ID, err)
	} else if !d.IsDir() {
		return engine.Result{}, fmt.Errorf("task %s: workspace %s is not a directory", t.ID, t.Dir)
	}
	program, exit, err := findProgram(t.Command[0], t.Dir, env["PATH"])
	if err != nil {
		return explain(out, t.Command[0], exit, err)
	}
	w, keeper, err := keepOutput(dir)
	if err != nil {
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	defer keeper.Wait() // what it could not write is missing in the output
	cmd := &exec.Cmd{Path: program, Args: t.Command, Dir: t.Dir, Env: environ(env), Stdout: w, Stderr: w}
	m, err := launch(cmd, newMark(), func(m mark) error { return writeTask(dir, m) })
	err = errors.Join(err, w.Close()) // now only the task writes
	if reason := cannotExecute(err); reason != nil {
		return explain(out, t.Command[0], 126, reason)
	}
	if err != nil {
		return engine.Result{}, fmt.Errorf("task %s: %w", t.ID, err)
	}
	var ended engine.Result
	err = follow(ctx, m, t.Grace, dir, out, func() {
		// An error of Wait says no more than the exit code.
		_ = cmd.Wait()
		ended.Exit = exitCode(cmd.ProcessState)
	}, func(owned bool) error {
		err := m.kill(owned) // those in the background
		_ = keeper.Wait()    // until all is kept
		return err
	})
	if err != nil {
		return engine.Result{}, err
	}
	return ended, nil
}

// follow copies the output of the task in dir to out until it has ended. It ends
// it itself if ctx ends or out fails. wait returns when the task's first process
// is gone; rest ends those that it has left, as mark.kill does, and returns when
// all output is kept.
func follow(ctx context.Context, m mark, grace time.Duration, dir string, out io.Writer, wait func(), rest func(owned bool) error) error {
	output, err := openOutput(dir)
	if err != nil {
		err = errors.Join(err, m.kill(false))
		wait()
		return errors.Join(err, rest(true))
	}
	defer output.file.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		m.end(grace)
	})
	ended, copied := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(copied)
		if err := output.copy(out, ended); err != nil {
			cancel(fmt.Errorf("copy the output: %w", err))
		}
	}()
	wait()
	owned := stop()
	if !owned {
		<-stopped // its children may have some grace left
	}
	err = rest(owned)
	close(ended)
	<-copied
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// launch starts cmd such that save has recorded it at every moment that the
// engine could die at.
func launch(cmd *exec.Cmd, m mark, save func(mark) error) (mark, error) {
	if err := save(m); err != nil {
		return m, err
	}
	m, err := m.start(cmd)
	if cmd.Process == nil {
		return m, err
	}
	if err == nil {
		err = save(m)
	}
	if err != nil {
		err = errors.Join(err, cmd.Process.Kill())
		_ = cmd.Wait() // its error only says that it was killed
	}
	return m, err
}

// taskEnv is the whole environment of t.
func taskEnv(t engine.Task, home string) (map[string]string, error) {
	env := map[string]string{"PATH": hostPath(), "HOME": home}
	for _, m := range t.Mounts {
		if m.Env == "" && m.Target != m.Host {
			return nil, fmt.Errorf("%w task %s: the process engine cannot mount %s at %s: let the mount's variable tell the task where it is",
				engine.ErrInvalid, t.ID, m.Host, m.Target)
		}
		if m.Env != "" {
			env[m.Env] = m.Host
		}
	}
	for key, value := range t.Env {
		env[key] = value
	}
	return env, nil
}

func environ(env map[string]string) []string {
	list := make([]string, 0, len(env))
	for key, value := range env {
		list = append(list, key+"="+value)
	}
	return list
}

func hostPath() string {
	if path := os.Getenv("PATH"); path != "" {
		return path
	}
	return defaultPath
}

// findProgram resolves a command as a shell in dir would. With an error it
// returns the shell's exit code for it.
func findProgram(command, dir, path string) (program string, exit int, err error) {
	candidates := []string{command}
	if !strings.Contains(command, "/") {
		candidates = nil
		for _, p := range filepath.SplitList(path) {
			candidates = append(candidates, filepath.Join(p, command))
		}
	}
	exit, err = 127, errors.New("command not found")
	for _, c := range candidates {
		if !filepath.IsAbs(c) {
			c = filepath.Join(dir, c)
		}
		info, statErr := os.Stat(c)
		if statErr != nil {
			continue
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return c, 0, nil
		}
		exit, err = 126, errors.New("not an executable file")
	}
	return "", exit, err
}

// cannotExecute returns the reason if err is the kernel's refusal of a program.
func cannotExecute(err error) error {
	for _, reason := range []error{syscall.ENOEXEC, syscall.EACCES, syscall.ENOENT} {
		if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) && pathErr.Op == "fork/exec" && errors.Is(err, reason) {
			return reason
		}
	}
	return nil
}

// explain is the result of a task whose command could not be executed.
func explain(out io.Writer, command string, exit int, reason error) (engine.Result, error) {
	if _, err := fmt.Fprintf(out, "%s: %v\n", command, reason); err != nil {
		return engine.Result{}, fmt.Errorf("copy the output: %w", err)
	}
	return engine.Result{Exit: exit}, nil
}

// exitCode is the exit code as a shell tells it.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

func readTask(dir string) (mark, error) {
	var m mark
	data, err := os.ReadFile(filepath.Join(dir, "record.json"))
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("%s: %w", filepath.Join(dir, "record.json"), err)
	}
	return m, nil
}

func writeTask(dir string, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "record.json"), data)
}
