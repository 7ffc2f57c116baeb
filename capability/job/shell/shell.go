// Package shell finds mistakes in the grammar of shell scripts without running
// them, by bash -n.
//
// The scripts come with patches, from people who may do harm. bash reads one
// from its standard input and only parses it; it has no environment, no files
// to start with, and a limit of time. It never runs a script.
package shell

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ErrNoShell is that there is no bash on this machine.
var ErrNoShell = errors.New("there is no bash")

// Mistake is what is wrong with a script.
type Mistake struct {
	Line int // of the script, from 1
	Text string
}

const (
	// maxTime is how long bash may take for one script; it takes milliseconds.
	maxTime = time.Minute
	// maxOutput is how much of what it says is read, in bytes.
	maxOutput = 16 << 10
)

// Interpreter returns the name of the program that a script's first line asks
// for: "python3", and "sh" for one that asks for none.
func Interpreter(script string) string {
	first, _, _ := strings.Cut(script, "\n")
	command, ok := strings.CutPrefix(first, "#!")
	words := strings.Fields(command)
	if !ok || len(words) == 0 {
		return "sh"
	}
	name := path.Base(words[0])
	for _, w := range words[1:] {
		if name != "env" {
			break
		}
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") {
			name = path.Base(w)
		}
	}
	return name
}

// Known tells whether scripts of the interpreter can be checked.
func Known(interpreter string) bool {
	switch interpreter {
	case "sh", "bash", "dash", "ash":
		return true
	}
	return false
}

// complaint is a line of what bash says.
var complaint = regexp.MustCompile(`^[^:]*: line ([0-9]+): (.+)$`)

// Check returns the first mistake in a script for sh or bash, or nil. The grammar
// is that of bash with its extended patterns, of which sh's is a part. Its
// error is of this machine: ErrNoShell, say.
func Check(ctx context.Context, script string) (*Mistake, error) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		return nil, ErrNoShell
	}
	limited, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	cmd := exec.CommandContext(limited, bash, "--norc", "--noprofile", "-O", "extglob", "-n")
	cmd.Env, cmd.Dir = []string{"LC_ALL=C"}, "/"
	cmd.Stdin = strings.NewReader(script)
	said := &head{}
	cmd.Stdout, cmd.Stderr = said, said
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, nil
	case ctx.Err() != nil:
		return nil, fmt.Errorf("bash -n did not end: %w", context.Cause(ctx))
	case limited.Err() != nil:
		return &Mistake{Line: 1, Text: fmt.Sprintf("bash could not read it in %v", maxTime)}, nil
	case !errors.As(err, &exit):
		return nil, fmt.Errorf("bash -n: %w", err)
	}
	lines := bufio.NewScanner(&said.Buffer)
	for lines.Scan() {
		if found := complaint.FindStringSubmatch(lines.Text()); found != nil {
			n, _ := strconv.Atoi(found[1])
			last := strings.Count(strings.TrimRight(script, "\n"), "\n") + 1 // its end is after that
			return &Mistake{Line: min(n, last), Text: found[2]}, nil
		}
	}
	return &Mistake{Line: 1, Text: fmt.Sprintf("bash could not read it: %v", exit)}, nil
}

// head keeps the beginning of what is written to it.
type head struct{ bytes.Buffer }

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), maxOutput-h.Len())])
	return len(p), nil
}
