package script

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long what must happen may take on a busy machine.
const patience = time.Minute

// stage is what a script has started.
type stage struct {
	dir    string
	roles  []*role
	load   *load
	readme []string // what stands for what of README.md, as for strings.NewReplacer
}

type stageKey struct{}

// role is a process in the background, maybe one of several in a row.
type role struct {
	name    string
	program string
	args    []string
	env     []string
	dir     string // where it runs; empty means the script's directory
	cmd     *exec.Cmd
	ended   chan struct{}
	agent   bool // it leaves instances behind
}

// start starts the role, whose output goes on in its log.
func (s *stage) start(r *role) error {
	path := s.log(r.name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	r.cmd = exec.Command(r.program, r.args...)
	r.dir = cmp.Or(r.dir, s.dir)
	r.cmd.Dir, r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = s.dir, r.env, log, log
	// A process group of its own: a shell's children end with it.
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := r.cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	r.ended = ended
	go func() {
		_ = r.cmd.Wait()
		close(ended)
	}()
	if !slices.Contains(s.roles, r) {
		s.roles = append(s.roles, r)
	}
	return nil
}

func (s *stage) log(name string) string { return filepath.Join(s.dir, "logs", name+".log") }

// find returns the role with the name, nil if there is none.
func (s *stage) find(name string) *role {
	for _, r := range s.roles {
		if r.name == name {
			return r
		}
	}
	return nil
}

// signal sends a signal to the role and waits for its end.
func (r *role) signal(sig syscall.Signal) error {
	if err := syscall.Kill(-r.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	select {
	case <-r.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("%s did not end within %s of %s", r.name, patience, sig)
	}
}

// end ends all roles, the latest first, and what agents have left running.
func (s *stage) end() {
	if s.load != nil {
		s.load.end()
	}
	for _, r := range slices.Backward(s.roles) {
		if r.signal(syscall.SIGTERM) != nil {
			_ = r.signal(syscall.SIGKILL)
		}
		if r.agent {
			clear := exec.Command(r.program, append([]string{"agent", "clear"}, kept(r.args)...)...)
			clear.Dir = r.dir
			_ = clear.Run() // an agent that never came to start anything has nothing to clear
		}
	}
}

// kept are the flags of an agent that agent clear takes too.
func kept(args []string) []string {
	var flags []string
	for i, a := range args {
		if a == "--data" || a == "--name" || a == "--engine" {
			flags = append(flags, a, args[i+1])
		}
	}
	return flags
}

// trace is what a program prints that ends by a defect; secret is a token.
var (
	trace  = regexp.MustCompile(`panic:|panicked|goroutine \d+|runtime error`)
	secret = regexp.MustCompile(`lf_[a-z2-7]{16}_[a-z2-7]{20,}`)
)

// checkLogs fails if a log has what none may have.
func (s *stage) checkLogs(t testing.TB) {
	logs, err := filepath.Glob(s.log("*"))
	if err != nil {
		t.Error(err)
	}
	for _, path := range logs {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Error(err)
			continue
		}
		name := filepath.Base(path)
		for n, line := range strings.Split(string(b), "\n") {
			if trace.MatchString(line) {
				t.Errorf("%s:%d has a trace: %s", name, n+1, line)
			}
			if secret.MatchString(line) {
				t.Errorf("%s:%d has a token: %s", name, n+1, line)
			}
		}
		if t.Failed() {
			t.Logf("%s:\n%s", name, tail(string(b), 4000))
		}
	}
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

var ports struct {
	sync.Mutex
	taken map[int]bool
}

// freeAddress returns an address on loopback that nothing listens on, below
// the ports of outgoing connections, and no other script gets.
func freeAddress() string {
	ports.Lock()
	defer ports.Unlock()
	if ports.taken == nil {
		ports.taken = map[int]bool{}
	}
	for {
		port := 10000 + rand.IntN(10000)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		l, err := net.Listen("tcp", address)
		if err != nil || ports.taken[port] {
			continue
		}
		ports.taken[port] = true
		l.Close()
		return address
	}
}

// waitFor calls ready every 50 ms until it returns true, r has ended or time
// is up.
func (s *stage) waitFor(r *role, what string, ready func() bool) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(patience)
	for !ready() {
		select {
		case <-tick.C:
		case <-r.ended:
			b, _ := os.ReadFile(s.log(r.name))
			return fmt.Errorf("%s ended before %s:\n%s", r.name, what, tail(string(b), 2000))
		case <-limit:
			b, _ := os.ReadFile(s.log(r.name))
			return fmt.Errorf("%s: waited in vain for %s:\n%s", r.name, what, tail(string(b), 2000))
		}
	}
	return nil
}

func healthy(url string) bool {
	c := http.Client{Timeout: 2 * time.Second}
	resp, err := c.Get(url + "/healthz")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// load sends requests one after the other until it is ended.
type load struct {
	stop   chan struct{}
	done   sync.WaitGroup
	sent   int
	failed []string
}

func startLoad(url string) *load {
	l := &load{stop: make(chan struct{})}
	l.done.Go(func() {
		pause := time.NewTicker(5 * time.Millisecond)
		defer pause.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-pause.C:
				l.request(url)
			}
		}
	})
	return l
}

func (l *load) request(url string) {
	l.sent++
	resp, err := http.Get(url)
	if err != nil {
		l.failed = append(l.failed, err.Error())
		return
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		l.failed = append(l.failed, resp.Status)
	}
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.done.Wait()
}
