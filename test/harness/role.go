package harness

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Role is a process of the product that can be killed and started again. Its
// methods may be called concurrently.
type Role struct {
	Name string

	t       testing.TB
	program string
	args    []string
	log     string

	mu      sync.Mutex
	cmd     *exec.Cmd
	ended   chan struct{} // closed when cmd has ended
	wanted  bool          // it was not us who ended it
	stopped bool          // for good
	frail   bool          // it may end by itself
}

// NewRole starts program with args; its output is kept in a file in dir.
func NewRole(t testing.TB, name, dir, program string, args ...string) *Role {
	t.Helper()
	r := &Role{Name: name, t: t, program: program, args: args, log: filepath.Join(dir, name+".log")}
	r.Start()
	return r
}

// Start starts the role, unless it was stopped for good.
func (r *Role) Start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped {
		return
	}
	out, err := os.OpenFile(r.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		r.t.Errorf("start %s: %v", r.Name, err)
		return
	}
	defer out.Close()
	cmd := exec.Command(r.program, r.args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		r.t.Errorf("start %s: %v", r.Name, err)
		return
	}
	ended := make(chan struct{})
	r.cmd, r.ended, r.wanted = cmd, ended, true
	go func() {
		err := cmd.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.wanted && r.cmd == cmd && !r.frail {
			r.t.Errorf("%s ended by itself: %v\n%s", r.Name, err, r.tail())
		}
		close(ended)
	}()
}

// MayEnd makes it no failure that the role ends by itself, as others' programs do
// at times: see Fallen.
func (r *Role) MayEnd() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.frail = true
}

// Fallen tells whether the role has ended by itself, and what it wrote last.
func (r *Role) Fallen() (last string, fallen bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	select {
	case <-r.ended:
		return string(r.tail()), r.wanted
	default:
		return "", false
	}
}

// Kill ends the role with SIGKILL and returns once it is gone.
func (r *Role) Kill() {
	r.mu.Lock()
	r.wanted = false
	_ = r.cmd.Process.Kill() // it may have ended already
	ended := r.ended
	r.mu.Unlock()
	<-ended
}

// stop kills the role for good.
func (r *Role) stop() {
	r.mu.Lock()
	r.stopped = true
	started := r.cmd != nil
	r.mu.Unlock()
	if started {
		r.Kill()
	}
}

// End asks the role to end, and returns once it has.
func (r *Role) End() {
	r.mu.Lock()
	r.wanted, r.stopped = false, true
	_ = r.cmd.Process.Signal(os.Interrupt) // it may have ended already
	ended := r.ended
	r.mu.Unlock()
	<-ended
}

// tail returns the last lines that the role has written.
func (r *Role) tail() []byte {
	b, _ := os.ReadFile(r.log)
	lines := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-25):], nil)
}

// FreeAddress returns a loopback address that nothing listens on. Its port is
// below those of outgoing connections and of instances, which else might take
// it while its role is down.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 12000+rand.IntN(8000))
		if l, err := net.Listen("tcp", address); err == nil {
			_ = l.Close() // nothing was done with it
			return address
		}
	}
	t.Fatal("found no free port")
	return ""
}
