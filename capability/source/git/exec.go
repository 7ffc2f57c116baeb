package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// settings go to every run of git, so that neither the machine's nor a
// user's configuration changes what this package does. Objects and refs are
// on the disk before git returns.
var settings = []string{
	"-c", "safe.directory=*",
	"-c", "core.hooksPath=/dev/null",
	"-c", "core.quotePath=false",
	"-c", "core.fsync=committed,reference",
	"-c", "core.fsyncMethod=batch",
	"-c", "gc.auto=0",
	"-c", "uploadpack.allowFilter=true",
}

// Reader reads the objects of a repository. That of a Push sees the objects
// in quarantine as well. Its methods may be called concurrently.
//
// Where a method takes a commit, it is a full SHA-1 in hex, a full ref name
// (refs/heads/main) or HEAD; anything else is ErrInvalid.
type Reader struct {
	dir      string // the bare repository
	incoming string // the quarantine's object directory, or empty
}

// command prepares a run of git in the repository.
func (r Reader) command(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{}, settings...)
	all = append(all, "--git-dir", r.dir)
	cmd := exec.CommandContext(ctx, "git", append(all, args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + r.dir,
		"LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1",
		"GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_NO_REPLACE_OBJECTS=1",
	}
	if r.incoming != "" {
		cmd.Env = append(cmd.Env,
			"GIT_OBJECT_DIRECTORY="+r.incoming,
			"GIT_ALTERNATE_OBJECT_DIRECTORIES="+filepath.Join(r.dir, "objects"))
	}
	// Unlike a kill, this lets git remove its lock files.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// output runs git with stdin, which may be nil, and returns what it printed.
func (r Reader) output(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	cmd := r.command(ctx, args...)
	cmd.Stdin = stdin
	var out bytes.Buffer
	cmd.Stdout = &out
	err := run(ctx, cmd, args[0])
	return out.Bytes(), err
}

// line is output for one line of text, without its end.
func (r Reader) line(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	out, err := r.output(ctx, stdin, args...)
	return strings.TrimSuffix(string(out), "\n"), err
}

// run runs a prepared command; verb names it in errors.
func run(ctx context.Context, cmd *exec.Cmd, verb string) error {
	var words tail
	cmd.Stderr = &words
	return explain(ctx, cmd.Run(), verb, &words)
}

// explain adds to the error of a command what git said.
func explain(ctx context.Context, err error, verb string, words *tail) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("git %s: %w", verb, context.Cause(ctx))
	}
	return &commandError{verb: verb, words: words.String(), err: err}
}

// commandError is a run of git that ended with an error.
type commandError struct {
	verb  string
	words string // what git said on stderr
	err   error
}

func (e *commandError) Error() string {
	if e.words == "" {
		return fmt.Sprintf("git %s: %v", e.verb, e.err)
	}
	return fmt.Sprintf("git %s: %s", e.verb, e.words)
}

func (e *commandError) Unwrap() error { return e.err }

// exitCode returns the code that git ended with, or -1 if err is no such end.
func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// tail keeps the last 8 KiB of what is written to it.
type tail struct{ data []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if extra := len(t.data) - 8<<10; extra > 0 {
		t.data = t.data[extra:]
	}
	return len(p), nil
}

// String returns what was written as one line, without git's own prefixes.
func (t *tail) String() string {
	var lines []string
	for line := range strings.Lines(string(t.data)) {
		line = strings.TrimSpace(line)
		line = strings.TrimPrefix(line, "fatal: ")
		line = strings.TrimPrefix(line, "error: ")
		if line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
