package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server that runs for a measurement.
type process struct {
	name   string
	log    string // the file of all that it says
	cmd    *exec.Cmd
	exited chan struct{}
}

// start starts a program. It ends with ctx, or by stop.
func (m *measurement) start(ctx context.Context, name string, env []string, program string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(m.dir, name+".log"), exited: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd = exec.CommandContext(ctx, program, args...)
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = m.dir, append(os.Environ(), env...), log, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.exited)
		_ = p.cmd.Wait() // what it said is in the log
	}()
	return p, nil
}

// stop ends the process as an operator would, and waits for that.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-p.exited:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// healthy waits until url is answered with 200.
func (p *process) healthy(ctx context.Context, url string, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s has ended: %s", p.name, p.said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s: %s", p.name, url, p.said())
		case <-poll.C:
		}
	}
}

// said returns the end of what the process has said.
func (p *process) said() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(len(lines)-5, 0):], "\n")
}

// cpu returns the CPU time that the process has used so far; 0 if that cannot
// be known.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	// proc(5): the name in parentheses is the second field, and may have spaces;
	// the 14th and 15th are ticks of a hundredth of a second.
	_, after, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(after)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

// resident returns the bytes of memory that the process has; 0 if that cannot
// be known.
func (p *process) resident() int {
	var kilobytes int
	_, _ = fmt.Sscan(field(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid), "VmRSS"), &kilobytes)
	return kilobytes << 10
}

// cpuOf returns the CPU time of all of them.
func cpuOf(running []*process) time.Duration {
	var sum time.Duration
	for _, p := range running {
		sum += p.cpu()
	}
	return sum
}

// result runs a program that prints JSON, and reads that into v. It returns
// the CPU time that the program took.
func (m *measurement) result(ctx context.Context, v any, program string, args ...string) (time.Duration, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = m.dir, &out, &errs
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args[0], err, strings.TrimSpace(errs.String()))
	}
	if v != nil {
		if err := json.Unmarshal(out.Bytes(), v); err != nil {
			return 0, fmt.Errorf("%s %s: %w", filepath.Base(program), args[0], err)
		}
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), nil
}

// build builds the program in a directory of the checkout and returns its
// path.
func (m *measurement) build(ctx context.Context, dir string) (string, error) {
	program := filepath.Join(m.dir, filepath.Base(dir))
	cmd := exec.CommandContext(ctx, "go", "build", "-o", program, ".")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not build: %w\n%s", dir, err, out)
	}
	return program, nil
}

// freeAddresses returns n addresses on loopback that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, n)
	for i := range addresses {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // all are held until there are enough
		addresses[i] = l.Addr().String()
	}
	return addresses, nil
}
