// Package engine is the contract for running programs from images: tasks,
// which run to their end (builds, tests), and groups of instances, which run
// until they are stopped (platforms).
//
// The packages below implement it, each for one place to run in: process
// (no isolation, for trying Landfall out) and docker. Package enginetest
// holds the suite that each of them passes. An engine never decides what
// should run and never restarts anything: its caller compares List with what
// is wanted and calls Start or Stop.
package engine

import (
	"context"
	"errors"
	"io"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// The kinds of error that a caller can act on, tested with errors.Is.
var (
	// ErrNoImage means that an image was named which is not loaded.
	ErrNoImage = errors.New("not on this machine: load or push it first")

	// ErrNoInstance means that an instance was named which does not exist.
	ErrNoInstance = errors.New("no such instance")

	// ErrInvalid means that a Task or an Instance contradicts this contract;
	// to repeat the call would not help.
	ErrInvalid = errors.New("invalid")
)

// What a program finds in its environment and, in a container, its paths.
const (
	// DataVariable names the environment variable that tells an instance the
	// path of its persistent directory, under every engine.
	DataVariable = "DATA_DIR"

	// DataPath is where a container finds that directory.
	DataPath = "/data"

	// WorkPath is where a task's container finds its workspace.
	WorkPath = "/work"
)

// DefaultGrace is the time between SIGTERM and SIGKILL of an instance that
// does not name its own.
const DefaultGrace = 10 * time.Second

// Engine runs tasks and named groups of instances. It sees only what was
// started under its own name or state directory, so several agents can share
// a machine. Its methods may be called concurrently, but not for the same
// task or the same instance.
type Engine interface {
	// Name is "process" or "docker".
	Name() string

	// Run runs t to its end and streams its standard output and error,
	// combined, to out, which only one goroutine writes to at a time. Each of
	// the two is in order; between them an engine may mix it up. When Run
	// returns, nothing that t started is alive and nothing will be written.
	//
	// A command that cannot be found (exit code 127) or executed is a failure
	// of the task, explained in its output. An error means that the engine
	// could not run it or that out failed. If ctx ends, t is ended (SIGTERM,
	// grace, SIGKILL) and the error is ctx's cause.
	//
	// What an earlier Run of the same ID left behind, because its caller
	// died, is killed first.
	Run(ctx context.Context, t Task, out io.Writer) (Result, error)

	// Start makes i run and returns once it has been started, which is not
	// yet ready to serve. If it runs already from the same image, nothing
	// happens; from another image, that is an error. If it has ended, it is
	// started again with what i now says, on the same data. A program that is
	// not in the image is an error here or ends the instance with 127.
	//
	// The instance outlives its caller, even one that is killed: a new engine
	// with the same name or state directory finds it.
	Start(ctx context.Context, i Instance) error

	// Stop ends all instances of a group (SIGTERM, grace, SIGKILL) and
	// forgets them with their logs; their data stays. To stop what is not
	// there is no error. If ctx ends first, Stop may be repeated.
	Stop(ctx context.Context, group string) error

	// List returns all instances, running or ended, by group and name.
	List(ctx context.Context) ([]Status, error)

	// Load makes img available to tasks and instances as ref, which is
	// "name@sha256:…" with img's own digest, or "name:tag" (for tasks only).
	// To load what is there already costs little.
	Load(ctx context.Context, img v1.Image, ref string) error

	// Logs returns the last lines that an instance wrote, at most tail. They
	// include what it wrote before it was started again, if that is kept.
	Logs(ctx context.Context, group, name string, tail int) ([]byte, error)
}

// Task is a command that runs to its end.
type Task struct {
	ID      string // letters, digits, '.', '_', '-'; unique for its engine
	Image   string // reference as loaded; the process engine ignores it
	Dir     string // workspace on the host: the working directory, at WorkPath in a container
	Command []string
	Env     map[string]string // and nothing else but PATH and HOME, a directory of its own
	Mounts  []Mount
	Limits  Limits
	Network Network
	Grace   time.Duration // from SIGTERM to SIGKILL; 0 means SIGKILL at once
}

// Mount gives a task a directory of the host, such as a cache.
type Mount struct {
	Host     string // absolute path
	Target   string // absolute path in the container
	ReadOnly bool   // not enforced by the process engine

	// Env, if set, names a variable that tells the task where the directory
	// is: Target in a container, Host without one.
	Env string
}

// Limits bound what a program may use; zero means no limit. The process
// engine does not enforce them.
type Limits struct {
	CPUs     float64
	MemoryMB int64
	Pids     int64
}

// Network says what a task may reach. The process engine does not enforce it.
type Network string

// The networks of a task.
const (
	NoNetwork     Network = "none" // also when it is empty
	HostNetwork   Network = "host"
	BridgeNetwork Network = "bridge" // outwards only
)

// Result is how a task ended.
type Result struct {
	Exit        int  // exit code; 128 + n if signal n ended it
	OutOfMemory bool // it was killed at its memory limit
}

// Instance is one member of a group, known by Group and Name together. It
// listens on the host's addresses, which its caller chooses and passes in
// Command or Env.
type Instance struct {
	Group   string            // letters, digits, '.', '_', '-'
	Name    string            // likewise
	Image   string            // name@sha256:…, as loaded
	Command []string          // program and arguments; empty means the image's own
	Env     map[string]string // added to the image's
	Data    string            // persistent directory on the host, made if missing; told in DataVariable
	Limits  Limits
	Grace   time.Duration     // from SIGTERM to SIGKILL; 0 means DefaultGrace
	Labels  map[string]string // returned by List
}

// Status is an instance as the engine sees it.
type Status struct {
	Group   string
	Name    string
	Image   string
	Labels  map[string]string
	Running bool
	Exit    int // once it has ended: as in Result, or -1 if nobody saw it end
}
