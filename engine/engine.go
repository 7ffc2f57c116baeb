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

	// ErrNoTask means that a task is to be resumed that is not there.
	ErrNoTask = errors.New("no such task")

	// ErrNotReady means that a service of a task has ended or was not ready in
	// time. Its last lines are in the task's output.
	ErrNotReady = errors.New("not ready")

	// ErrInUse means that a cache, or what a task was prepared with that another
	// has taken over, cannot be removed now.
	ErrInUse = errors.New("a build uses it: wait until that has ended")

	// ErrNoCache means that a cache was named which does not exist.
	ErrNoCache = errors.New("no such cache")

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
	Tasks

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

// Tasks is the part of an Engine that runs tasks.
type Tasks interface {
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
}

// Resumer is implemented by engines whose tasks outlive a caller that is killed:
// a new engine with the same name or state directory finds them.
type Resumer interface {
	// Resume takes the place of the Run of t whose caller has died: it writes all
	// that the task has written, from its first byte on, to out, and goes on as
	// Run does. Of t, Command and Env do not matter. If the task is not there, or was
	// not started yet, it is ErrNoTask.
	Resume(ctx context.Context, t Task, out io.Writer) (Result, error)

	// Left returns the ids of the tasks that are there, running or ended.
	Left(ctx context.Context) ([]string, error)

	// Discard kills a task and forgets it. To discard what is not there is no
	// error. What another task has taken over is left to it, and is ErrInUse.
	Discard(ctx context.Context, id string) error
}

// Preparer is implemented by engines that can start a task's container before it
// is known what the task does.
type Preparer interface {
	// Prepare starts a container that waits for a task which names t.ID as its
	// Spare, and discards it like one. That task is to be equal to t but for ID,
	// Command, Env and where its own directories are: they may be renamed
	// meanwhile.
	Prepare(ctx context.Context, t Task) error
}

// Host is implemented by engines of containers. It tells what there is at hand,
// for whoever chooses among several.
type Host interface {
	// Ping returns an error unless the engine answers.
	Ping(ctx context.Context) error

	// Find returns what names exactly the image that ref names now, for a
	// Task: "name@sha256:…", or the image's id if it is of no registry. It is
	// ErrNoImage if the image is not loaded.
	Find(ctx context.Context, ref string) (string, error)

	// Cached returns how many of the caches are there.
	Cached(ctx context.Context, caches []Cache) (int, error)
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

	// Spare, if set, is the id of a task that was prepared for this one. If its
	// container is not there, the task is run without.
	Spare string

	// Services run beside it, and are ready before it begins. With them its
	// network is one that only they are in. The process engine has none.
	Services []Service
	// Caches are kept for later tasks. The process engine has none.
	Caches []Cache
}

// Service is a program that runs beside a task until that has ended. The task
// reaches it by its name.
type Service struct {
	Name    string // letters, digits and '-'
	Image   string // as loaded
	Command []string
	Env     map[string]string // added to the image's
	Limits  Limits

	// Ready is a shell's line that is run in the service until it ends with 0.
	// Without it the health check of the image decides, if it has one.
	Ready string
}

// Cache is a directory that outlives the task. Tasks whose caches have the same
// name share it, also at the same time.
type Cache struct {
	Name string // letters, digits, '.', '_', '-'
	Path string // absolute path in the container

	// Own, if set, names what the task writes to instead: it sees the shared
	// directory below that, and changes nothing there.
	Own string

	// Title is what people know it by: whose it is, what it is called there, and
	// for whom Own is.
	Title CacheTitle

	// MaxMB bounds the shared directory together with what is written over it;
	// zero means no limit. When the task has ended, what was used least recently is
	// removed until this and Limits.CachesMB are kept, but nothing that another
	// task uses.
	MaxMB int64
}

// CacheTitle is what people know a cache by.
type CacheTitle struct {
	Project string // "ledger"
	Key     string // "go"
	Of      string // who writes over what is shared: "changes/42"; empty for that itself
}

func (t CacheTitle) String() string {
	text := t.Project + "/" + t.Key
	if t.Of != "" {
		text += " of " + t.Of
	}
	return text
}

// KeptCache is a cache as an engine has it: a shared directory, or what was
// written over one.
type KeptCache struct {
	Name  string // as Name or Own of a Cache
	Title CacheTitle
	Bytes int64
	Used  time.Time // when the last task ended that had it
	InUse bool      // some task has it
}

// Mount gives a task a directory of the host, such as a cache.
type Mount struct {
	Host     string // absolute path
	Target   string // absolute path in the container
	ReadOnly bool   // not enforced by the process engine

	// Env, if set, names a variable that tells the task where the directory
	// is: Target in a container, Host without one.
	Env string

	// Own tells that the directory is the task's alone. An engine on another
	// machine copies it there and, unless it is read-only, back.
	Own bool
}

// Limits bound what a program may use; zero means no limit. The process
// engine does not enforce them.
type Limits struct {
	CPUs     float64
	MemoryMB int64
	Pids     int64
	// DiskMB bounds what a task writes to its workspace and its container, and to
	// each cache, above that one's own limit. It is looked after once a second, or
	// less often, so that a task can have somewhat more before it is killed. The
	// workspace on another machine is not bounded.
	DiskMB int64
	// CachesMB bounds what all caches of the projects take that the task's caches
	// are of, for each. See Cache.MaxMB.
	CachesMB int64
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
	Exit        int  // exit code; 128 + n if signal n ended it; -1 if nobody saw it end
	OutOfMemory bool // it was killed at its memory limit
	OutOfPids   bool // it was killed because it stayed at its limit of processes
	OutOfDisk   bool // it was killed because it wrote more than it may
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
