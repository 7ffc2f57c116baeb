package linear

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"landfall.dev/test/harness"
)

// member is a node of the cluster, whose process comes and goes.
type member struct {
	t    *testing.T
	name string
	dir  string // of its data; a file system of its own if disk is set
	url  string
	ns   string
	env  []string
	log  string // the file that it writes to
	disk bool

	faults string // the file of them

	mu     sync.Mutex
	cmd    *exec.Cmd
	ended  chan struct{}
	wanted bool // it was not us who ended it
	full   bool // its disk is
	hurt   bool // it was full while the process ran: it may end by that
}

// diskSize is that of the file systems that get full.
const diskSize = 256 << 20

// prepare makes the member's files.
func (m *member) prepare(dir string) {
	m.t.Helper()
	m.dir, m.log = filepath.Join(dir, m.name), filepath.Join(dir, m.name+".log")
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		m.t.Fatal(err)
	}
	if m.disk {
		if err := syscall.Mount("linear", m.dir, "tmpfs", 0, fmt.Sprintf("size=%d", diskSize)); err != nil {
			m.t.Fatalf("mount a small file system: %v (this test takes root)", err)
		}
		m.t.Cleanup(func() { _ = syscall.Unmount(m.dir, syscall.MNT_DETACH) })
	}
	m.faults = filepath.Join(dir, m.name+".faults")
	m.skew(0)
	m.slow(0)
}

// skew sets by what the process's clock is off, at once.
func (m *member) skew(by time.Duration) {
	m.t.Helper()
	if err := harness.Skew(m.faults, by); err != nil {
		m.t.Fatal(err)
	}
}

// slow sets by what each sync of the process takes longer, at once.
func (m *member) slow(by time.Duration) {
	m.t.Helper()
	if err := harness.SlowDisk(m.faults, by); err != nil {
		m.t.Fatal(err)
	}
}

// start starts the process, unless it runs.
func (m *member) start() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs() {
		return
	}
	out, err := os.OpenFile(m.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.Command("ip", "netns", "exec", m.ns, program)
	cmd.Env = append(append(os.Environ(), "DATA_DIR="+m.dir, harness.FaultsVariable+"="+m.faults), m.env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	ended := make(chan struct{})
	m.cmd, m.ended, m.wanted, m.hurt = cmd, ended, true, m.full
	go m.wait(cmd, ended)
}

// wait notes the end of the process. One that ended for want of space is
// started again as soon as there is some.
func (m *member) wait(cmd *exec.Cmd, ended chan struct{}) {
	err := cmd.Wait()
	m.mu.Lock()
	again := m.wanted && m.hurt && !m.full
	if m.wanted && !m.hurt {
		m.t.Errorf("%s ended by itself: %v\n%s", m.name, err, m.said(30))
	}
	close(ended)
	m.mu.Unlock()
	if again {
		m.start()
	}
}

// runs tells whether there is a process. The caller holds mu.
func (m *member) runs() bool {
	if m.cmd == nil {
		return false
	}
	select {
	case <-m.ended:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL and returns once it is gone.
func (m *member) kill() {
	m.mu.Lock()
	if m.cmd == nil {
		m.mu.Unlock()
		return
	}
	m.wanted = false
	_ = m.cmd.Process.Kill() // it may have ended already
	ended := m.ended
	m.mu.Unlock()
	<-ended
}

// pause stops the process where it is, and returns once all its threads have.
func (m *member) pause() {
	m.signal(syscall.SIGSTOP)
	for end := time.Now().Add(patience); time.Now().Before(end); runtime.Gosched() {
		if m.stopped() {
			return
		}
	}
	m.t.Errorf("%s still runs %s after it was stopped", m.name, patience)
}

// stopped tells whether no thread of the process runs; see proc(5).
func (m *member) stopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.runs() {
		return true
	}
	stats, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", m.cmd.Process.Pid))
	for _, path := range stats {
		b, err := os.ReadFile(path)
		_, state, _ := bytes.Cut(b, []byte(") "))
		if err == nil && !bytes.HasPrefix(state, []byte("T")) {
			return false
		}
	}
	return true
}

// resume lets it go on.
func (m *member) resume() { m.signal(syscall.SIGCONT) }

func (m *member) signal(s syscall.Signal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.runs() {
		_ = m.cmd.Process.Signal(s) // it may end at this moment
	}
}

// fill leaves no byte on the member's file system.
func (m *member) fill() {
	m.t.Helper()
	m.mu.Lock()
	m.full, m.hurt = true, true
	m.mu.Unlock()
	f, err := os.Create(m.ballast())
	if err != nil {
		return // it is full by itself
	}
	defer f.Close()
	page := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(page)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		m.t.Errorf("fill the disk of %s: %v", m.name, err)
	}
}

// free gives the space back and starts the process if it has ended.
func (m *member) free() {
	m.t.Helper()
	if err := os.Remove(m.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		m.t.Errorf("free the disk of %s: %v", m.name, err)
	}
	m.mu.Lock()
	m.full = false
	m.mu.Unlock()
	m.start()
}

func (m *member) ballast() string { return filepath.Join(m.dir, "ballast") }

// said returns the last lines of the process.
func (m *member) said(n int) []byte {
	b, _ := os.ReadFile(m.log)
	lines := bytes.SplitAfter(b, []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], nil)
}

// dump has the process write what it is doing, and ends it.
func (m *member) dump() {
	m.mu.Lock()
	m.wanted = false
	m.mu.Unlock()
	m.resume()
	m.signal(syscall.SIGQUIT)
	select {
	case <-m.ended:
	case <-time.After(5 * time.Second):
	}
}
