package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Command is the first argument of the child process. A program that calls
// Evaluate calls Child, and nothing else, when it is started with it.
const Command = "plan-evaluate"

// What a program may use up.
const (
	maxSteps  = 1_000_000
	maxMemory = 256 << 20
	maxCPU    = 2 * time.Second
	maxWall   = 30 * time.Second // only the CPU time is a program's own affair: a machine may be busy
	maxAnswer = 2 << 20          // bytes that are read of what it writes
)

// childEnv is all of the child's environment: nothing of the parent's.
var childEnv = []string{
	"GOMEMLIMIT=192MiB", // collect garbage in time: only what is held may meet the limit
	"GOMAXPROCS=1",      // with more threads the runtime can hang instead of dying of the limit
	"GOTRACEBACK=none",  // nobody reads it
	"GORACE=exitcode=2", // a race-enabled binary dies like any other
}

var errWall = errors.New("wall clock limit")

// Evaluate runs the program in.Files["pipeline.star"] in a child process. An
// *Error is the program's fault; any other error means that the evaluation
// itself did not work, or that ctx ended.
func Evaluate(ctx context.Context, in Input) (Result, error) {
	return evaluate(ctx, in, maxWall)
}

func evaluate(ctx context.Context, in Input, wall time.Duration) (Result, error) {
	input, err := json.Marshal(in)
	if err != nil {
		return Result{}, fmt.Errorf("plan: input: %w", err)
	}
	if len(os.Args) > 1 && os.Args[1] == Command {
		return Result{}, errors.New("plan: this binary does not call Child when it is started with " + Command)
	}
	self, err := os.Executable()
	if err != nil {
		return Result{}, fmt.Errorf("plan: own binary: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wall, errWall)
	defer cancel()
	var stdout, stderr capped
	cmd := exec.CommandContext(ctx, self, Command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	cmd.Env = childEnv
	if err := cmd.Run(); err != nil {
		return Result{}, causeOfDeath(ctx, cmd.ProcessState, stderr.String(), wall, err)
	}
	var r response
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		return Result{}, fmt.Errorf("plan: answer of the evaluation: %w", err)
	}
	if r.Error != nil {
		return r.Result, r.Error
	}
	return r.Result, nil
}

// capped keeps what is written to it, and fails at what is too much.
type capped struct{ bytes.Buffer }

func (c *capped) Write(p []byte) (int, error) {
	if c.Len()+len(p) > maxAnswer {
		return 0, fmt.Errorf("more than %d MB were written", maxAnswer>>20)
	}
	return c.Buffer.Write(p)
}

// causeOfDeath tells which limit ended the child. state is nil if the child
// did not start.
func causeOfDeath(ctx context.Context, state *os.ProcessState, stderr string, wall time.Duration, err error) error {
	if cause := context.Cause(ctx); cause == errWall {
		return tooMuch(fmt.Sprintf("took longer than %v", wall))
	} else if cause != nil {
		return fmt.Errorf("plan: %w", cause)
	}
	if state == nil {
		return fmt.Errorf("plan: start of the evaluation: %w", err)
	}
	switch state.ExitCode() {
	case usedCPU:
		return tooMuch(fmt.Sprintf("used more than %v of CPU time", maxCPU))
	case runtimeDied:
		return tooMuchMemory()
	}
	reason, _, _ := strings.Cut(stderr, "\n")
	return fmt.Errorf("plan: the evaluation ended without an answer: %w: %s", err, reason)
}

const (
	// runtimeDied is the exit code of a process whose Go runtime cannot go on.
	// Its last words differ, as any allocation may be the one that fails, but
	// here the reason is always memory: serve catches all that is not fatal.
	runtimeDied = 2

	// usedCPU is the exit code that limit chose.
	usedCPU = 3
)

func tooMuchMemory() *Error {
	return tooMuch(fmt.Sprintf("used more than %d MB of memory", maxMemory>>20))
}

func tooMuch(what string) *Error {
	return &Error{File: mainFile, Message: mainFile + " " + what}
}

// response is what the child writes.
type response struct {
	Result
	Error *Error `json:"error,omitempty"`
}

// Child is the child's side of Evaluate: it limits its own process, reads the
// input from stdin and writes the outcome to stdout. It returns the exit code,
// which is 0 whenever there is an outcome, good or bad.
func Child(stdin io.Reader, stdout, stderr io.Writer) int {
	if err := limit(); err != nil {
		fmt.Fprintf(stderr, "limits of the process: %v\n", err)
		return 1
	}
	return serve(stdin, stdout, stderr)
}

// serve is Child without the limits of the process.
func serve(stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "internal error: %v\n", r)
			code = 1
		}
	}()
	var in Input
	if err := json.NewDecoder(stdin).Decode(&in); err != nil {
		fmt.Fprintf(stderr, "input: %v\n", err)
		return 1
	}
	if err := json.NewEncoder(stdout).Encode(run(in)); err != nil {
		fmt.Fprintf(stderr, "output: %v\n", err)
		return 1
	}
	return 0
}

// limit bounds the memory and the CPU time of this process. The limit of
// memory comes on top of what the process has already mapped, which depends on
// how the binary was built. It is RLIMIT_DATA because the Go runtime reserves
// far more addresses than it uses, so that RLIMIT_AS would stop it at once.
// When the CPU time is up, the process ends itself; should it be unable to, the
// kernel kills it a second later.
func limit() error {
	mapped, err := mappedData()
	if err != nil {
		return err
	}
	timeIsUp := make(chan os.Signal, 1)
	signal.Notify(timeIsUp, unix.SIGXCPU)
	go func() {
		<-timeIsUp
		os.Exit(usedCPU)
	}()
	seconds := uint64(maxCPU / time.Second)
	return errors.Join(
		unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: mapped + maxMemory, Max: mapped + maxMemory}),
		unix.Setrlimit(unix.RLIMIT_CPU, &unix.Rlimit{Cur: seconds, Max: seconds + 1}),
	)
}

// mappedData returns how many bytes RLIMIT_DATA already counts for this
// process: the sixth field of proc(5) statm, in pages.
func mappedData() (uint64, error) {
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	var size, resident, shared, text, lib, data uint64
	if _, err := fmt.Sscan(string(statm), &size, &resident, &shared, &text, &lib, &data); err != nil {
		return 0, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return data * uint64(os.Getpagesize()), nil
}
