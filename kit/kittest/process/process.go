// Package process starts the binary of a test again, as processes that the test
// can kill.
package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// environ tells a process that a test has started it.
const environ = "KITTEST_PROCESS"

// Main is the TestMain of a package whose tests start processes: each is serve
// with the arguments that Start was given. It has to print where it can be
// reached, by Ready, and to return once ctx has ended: when the test that started
// it is no more.
func Main(m *testing.M, serve func(ctx context.Context, args []string) error) {
	if os.Getenv(environ) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // until the test's end of it is closed
		stop()
	}()
	if err := serve(ctx, os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Ready tells the test that the process is served at url.
func Ready(url string) { fmt.Println(url) }

// Process is a process that a test has started.
type Process struct {
	URL string // where it is served
	cmd *exec.Cmd
}

// Start starts this binary again with variables of the environment, as A=B, on
// top of the test's, and returns once it is ready. It ends with the test at the
// latest.
func Start(t testing.TB, variables []string, args ...string) *Process {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(append(os.Environ(), environ+"=1"), variables...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &Process{cmd: cmd}
	t.Cleanup(p.Kill)
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("start a process with %q: it ended before it was ready: %v", args, err)
	}
	p.URL = strings.TrimSpace(url)
	return p
}

// Signal sends SIGKILL, and does not wait for the end.
func (p *Process) Signal() error { return p.cmd.Process.Kill() }

// Kill ends the process with SIGKILL, if it has not ended yet.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says that it was killed
}
