package tutorial

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// shell is a running bash. Its jobs end with the test.
type shell struct {
	in  io.Writer
	out *bufio.Reader
}

// mark stands before the status of a command.
const mark = "-- status "

func newShell(t *testing.T, dir string, env ...string) *shell {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "-m")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		fmt.Fprintln(in, "kill -9 $(jobs -p); wait; exit")
		in.Close()
		_ = cmd.Wait() // the jobs were killed, which is no success
	})
	return &shell{in, bufio.NewReader(out)}
}

// run runs a line and returns what it printed, with its errors, and its exit
// status. What a job in the background says goes to inn.log.
func (s *shell) run(line string) (out string, status int, err error) {
	if job, ok := strings.CutSuffix(line, "&"); ok {
		to := " 2>> inn.log &"
		if strings.Contains(line, "2>") {
			to = " &"
		}
		line = strings.TrimSpace(job) + to
	}
	if _, err := fmt.Fprintf(s.in, "{ %s\n} 2>&1; status=$?; echo; echo \"%s$status\"\n", line, mark); err != nil {
		return "", 0, err
	}
	var b strings.Builder
	for {
		text, err := s.out.ReadString('\n')
		if err != nil {
			return b.String(), 0, fmt.Errorf("the shell has ended: %w", err)
		}
		if n, ok := strings.CutPrefix(text, mark); ok {
			_, err := fmt.Sscan(n, &status)
			return strings.TrimSpace(b.String()), status, err
		}
		b.WriteString(text)
	}
}
