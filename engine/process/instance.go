package process

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"landfall.dev/engine"
)

// record is what is kept of an instance, without its environment, which may
// hold secrets.
type record struct {
	Group   string
	Name    string
	Image   string
	Labels  map[string]string
	Grace   time.Duration
	Process mark

	dir string
}

// Start starts i as a process that leads a session of its own.
func (e *Engine) Start(ctx context.Context, i engine.Instance) error {
	if err := i.Check(); err != nil {
		return err
	}
	defer e.lock(i.Group)()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := e.start(i); err != nil {
		return fmt.Errorf("start %s/%s: %w", i.Group, i.Name, err)
	}
	return nil
}

func (e *Engine) start(i engine.Instance) error {
	dir := e.path("instances", i.Group, i.Name)
	old, err := readRecord(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case old.Process.alive() && old.Image == i.Image:
		return nil
	case old.Process.alive():
		return fmt.Errorf("%w: it runs image %s: stop its group before it is started from %s", engine.ErrInvalid, old.Image, i.Image)
	default:
		old.settle()
		// Its children may still hold its addresses.
		if err := errors.Join(old.Process.kill(false), os.RemoveAll(old.exitFile())); err != nil {
			return err
		}
	}
	cmd, err := e.command(i)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	grace := i.Grace
	if grace == 0 {
		grace = engine.DefaultGrace
	}
	r := record{Group: i.Group, Name: i.Name, Image: i.Image, Labels: i.Labels, Grace: grace, dir: dir}
	r.Process, err = launch(cmd, newMark(), func(m mark) error {
		r.Process = m
		return r.write()
	})
	if err != nil {
		return err
	}
	done := make(chan struct{})
	children.Store(r.Process.Token, done)
	go r.reap(cmd, done)
	return nil
}

// command is i's command line with its working directory and environment.
func (e *Engine) command(i engine.Instance) (*exec.Cmd, error) {
	img, err := e.image(i.Image)
	if err != nil {
		return nil, err
	}
	home := e.path("instances", i.Group, i.Name, "home")
	if err := os.MkdirAll(home, 0o700); err != nil {
		return nil, err
	}
	env := map[string]string{"PATH": hostPath(), "HOME": home}
	img.addEnv(env)
	if i.Data != "" {
		if err := os.MkdirAll(i.Data, 0o700); err != nil {
			return nil, err
		}
		env[engine.DataVariable] = i.Data
	}
	for key, value := range i.Env {
		env[key] = value
	}
	args := i.Command
	if len(args) == 0 {
		args = img.command()
	}
	if len(args) == 0 {
		return nil, fmt.Errorf("image %s has no entrypoint: name a command", i.Image)
	}
	dir, err := img.workingDir()
	if err != nil {
		return nil, err
	}
	program, err := img.program(args[0])
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: program, Args: args, Dir: dir, Env: environ(env)}, nil
}

// children holds a channel for each instance, by token, that is a child of
// this operating-system process, whichever Engine has started it. It is closed
// once the end of the instance has been written down.
var children sync.Map

// settle waits until the end of an instance, which is not alive any more, has
// been written down, if that is done here.
func (r record) settle() {
	if done, ok := children.Load(r.Process.Token); ok {
		<-done.(chan struct{})
	}
}

// reap waits for the process of an instance that this engine has started, so
// that no zombie stays, and writes down how it ended. It ends with the process.
func (r record) reap(cmd *exec.Cmd, done chan struct{}) {
	defer close(done)
	defer children.Delete(r.Process.Token)
	_ = cmd.Wait() // its error says no more than the exit code
	// When the instance has been forgotten meanwhile, there is nowhere to write.
	_ = os.WriteFile(r.exitFile(), []byte(strconv.Itoa(exitCode(cmd.ProcessState))), 0o600)
}

// Stop ends the instances of a group together.
func (e *Engine) Stop(ctx context.Context, group string) error {
	if err := engine.CheckName("group", group); err != nil {
		return err
	}
	defer e.lock(group)()
	if err := e.stop(ctx, group); err != nil {
		return fmt.Errorf("stop %s: %w", group, err)
	}
	return nil
}

func (e *Engine) stop(ctx context.Context, group string) error {
	records, err := e.group(group)
	if err != nil {
		return err
	}
	begin := time.Now()
	for _, r := range records {
		if err := r.Process.signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	for _, r := range records {
		wait, cancel := context.WithDeadline(ctx, begin.Add(r.Grace))
		r.Process.wait(wait)
		cancel()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := r.Process.kill(false); err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		r.settle()
		if err := os.RemoveAll(r.dir); err != nil {
			return err
		}
	}
	return os.RemoveAll(e.path("instances", group))
}

// List reads the records of all groups.
func (e *Engine) List(ctx context.Context) ([]engine.Status, error) {
	groups, err := os.ReadDir(e.path("instances"))
	if err != nil {
		return nil, err
	}
	var list []engine.Status
	for _, g := range groups {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		records, err := e.group(g.Name())
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", g.Name(), err)
		}
		for _, r := range records {
			list = append(list, r.status())
		}
	}
	return list, nil
}

// group reads the records of a group, sorted by name.
func (e *Engine) group(group string) ([]record, error) {
	names, err := os.ReadDir(e.path("instances", group))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var records []record
	for _, n := range names {
		r, err := readRecord(e.path("instances", group, n.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // not started yet, or just stopped
		}
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// Logs reads the end of the instance's log file.
func (e *Engine) Logs(ctx context.Context, group, name string, tail int) ([]byte, error) {
	if err := errors.Join(engine.CheckName("group", group), engine.CheckName("instance name", name)); err != nil {
		return nil, err
	}
	f, err := os.Open(e.path("instances", group, name, "log"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("logs of %s/%s: %w", group, name, engine.ErrNoInstance)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return lastLines(f, tail)
}

// lastLines returns the last n lines of f, of which the last may be unended.
func lastLines(f *os.File, n int) ([]byte, error) {
	const chunk = 64 << 10
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if n <= 0 {
		return nil, nil
	}
	var tail []byte
	for end := info.Size(); end > 0; {
		begin := max(0, end-chunk)
		part := make([]byte, end-begin, int(end-begin)+len(tail))
		if _, err := io.ReadFull(io.NewSectionReader(f, begin, end-begin), part); err != nil {
			return nil, err
		}
		tail, end = append(part, tail...), begin
		lines := bytes.SplitAfter(bytes.TrimSuffix(tail, []byte("\n")), []byte("\n"))
		if len(lines) > n {
			return tail[len(bytes.Join(lines[:len(lines)-n], nil)):], nil
		}
	}
	return tail, nil
}

func (r record) status() engine.Status {
	s := engine.Status{Group: r.Group, Name: r.Name, Image: r.Image, Labels: r.Labels, Running: r.Process.alive()}
	if s.Running {
		return s
	}
	r.settle()
	s.Exit = -1
	if data, err := os.ReadFile(r.exitFile()); err == nil {
		if code, err := strconv.Atoi(string(data)); err == nil {
			s.Exit = code
		}
	}
	return s
}

// exitFile holds the exit code. It bears the token, so that the end of a
// process that was replaced is not taken for the end of its successor.
func (r record) exitFile() string { return filepath.Join(r.dir, "exit-"+r.Process.Token) }

func (r record) write() error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(r.dir, "record.json"), data)
}

// readRecord reads the record in dir and finds its process if the engine
// died while it started it.
func readRecord(dir string) (record, error) {
	r := record{dir: dir}
	data, err := os.ReadFile(filepath.Join(dir, "record.json"))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, "record.json"), err)
	}
	if r.Process.PID == 0 {
		r.Process, err = r.Process.find()
	}
	return r, err
}
