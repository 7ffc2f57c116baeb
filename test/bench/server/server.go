// Package server runs the servers of measurements, as processes.
package server

import (
	"context"
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

// Server is a process that runs for a measurement.
type Server struct {
	Name   string
	Log    string          // the file of all that it says
	Exited <-chan struct{} // closed when it has ended
	cmd    *exec.Cmd
}

// Start starts a program in dir, where its log is. It ends with ctx, or by Stop.
func Start(ctx context.Context, dir, name string, env []string, program string, args ...string) (*Server, error) {
	exited := make(chan struct{})
	s := &Server{Name: name, Log: filepath.Join(dir, name+".log"), Exited: exited}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	s.cmd = exec.CommandContext(ctx, program, args...)
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = dir, append(os.Environ(), env...), log, log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(exited)
		_ = s.cmd.Wait() // what it said is in the log
	}()
	return s, nil
}

// Stop ends the process as an operator would, and waits for that.
func (s *Server) Stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-s.Exited:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.Exited
	}
}

// Kill ends the process at once, and waits for that.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // an error means that it has ended
	<-s.Exited
}

// Healthy waits until url is answered with 200.
func (s *Server) Healthy(ctx context.Context, url string, limit time.Duration) error {
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
		case <-s.Exited:
			return fmt.Errorf("%s has ended: %s", s.Name, s.Said())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer at %s: %s", s.Name, url, s.Said())
		case <-poll.C:
		}
	}
}

// Said returns the end of what the process has said.
func (s *Server) Said() string {
	b, err := os.ReadFile(s.Log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(len(lines)-5, 0):], "\n")
}

// CPU returns the CPU time that the process has used so far; 0 if that cannot
// be known.
func (s *Server) CPU() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
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

// Resident returns the bytes of memory that the process has; 0 if that cannot
// be known.
func (s *Server) Resident() int {
	var kilobytes int
	_, _ = fmt.Sscan(Field(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid), "VmRSS"), &kilobytes)
	return kilobytes << 10
}

// CPUOf returns the CPU time of all of them.
func CPUOf(running []*Server) time.Duration {
	var sum time.Duration
	for _, p := range running {
		sum += p.CPU()
	}
	return sum
}

// Await waits until s has brought about what is said.
func (s *Server) Await(ctx context.Context, what string, done func() bool) error {
	limit := time.After(time.Minute)
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-s.Exited:
			return fmt.Errorf("%s has ended: %s", s.Name, s.Said())
		case <-limit:
			return fmt.Errorf("%s does not come to %s: %s", s.Name, what, s.Said())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// FreeAddresses returns n addresses on loopback that nobody listens on.
func FreeAddresses(n int) ([]string, error) {
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

// Field returns the value of the first line "name: value" in the file.
func Field(file, name string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
