package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine"
)

// These variables tell a build where its steps are, and where it notes what
// has to outlive them; in a container that is at the paths.
const (
	scriptVariable = "LANDFALL_SCRIPT"
	scriptPath     = "/landfall/script"
	stateVariable  = "LANDFALL_STATE"
	statePath      = "/landfall/state"
)

// grace is how long a step that is ended may take to clean up.
const grace = 10 * time.Second

// The causes of the end of a build that takes too long.
var (
	errTimeUp = errors.New("the time is up")
	errQuiet  = errors.New("it has been silent for too long")
)

// script runs the steps until inTime ends, which is so long after the limit,
// and those for afterwards. A step that fails is a *failure.
func (a *attempt) script(ctx, inTime context.Context, limit time.Duration) error {
	r := a.runner
	if a.image == "" && r.Engine.Name() != "process" {
		return fmt.Errorf("the job names no image, and runner %s has no default one: add image to the job", r.Name)
	}
	if err := a.checkParameters(); err != nil {
		return err
	}
	copies, err := writeSteps(a.space.script(), a.build.Spec)
	if err == nil {
		err = os.MkdirAll(filepath.Join(a.space.state(), "env"), 0o700)
	}
	if err != nil {
		return fmt.Errorf("write the script: %w", err)
	}
	if err := a.fetchCopies(inTime, copies); err != nil {
		return err
	}
	a.begun = true
	result, ended := a.runSteps(inTime, limit)
	return cmp.Or(ended, a.runAfter(ctx, result))
}

// runSteps runs main.sh and returns the result of the build.
func (a *attempt) runSteps(ctx context.Context, limit time.Duration) (api.Result, error) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var out io.Writer = a.log
	quiet := time.Duration(a.build.Spec.QuietSeconds) * time.Second
	if quiet > 0 {
		alarm := time.AfterFunc(quiet, func() { end(errQuiet) })
		defer alarm.Stop()
		out = &restless{out: out, alarm: alarm, limit: quiet}
	}
	aborted := api.ResultAborted
	if a.build.Spec.TimeoutFails {
		aborted = api.ResultFailure
	}
	exit, err := a.task(ctx, "main.sh", out)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeUp):
		return aborted, failed("took longer than %s", period(limit))
	case err != nil && errors.Is(context.Cause(ctx), errQuiet):
		return aborted, failed("wrote nothing for %s", period(quiet))
	case err != nil:
		return api.ResultAborted, err
	}
	result, why := a.stepResult()
	switch {
	case result == api.ResultUnstable && why != "":
		return result, &failure{text: "the build is unstable: " + why, exit: exit.Exit}
	case result == api.ResultUnstable:
		return result, failed("the build is unstable")
	case exit.Exit != 0:
		return api.ResultFailure, &failure{text: a.log.failure(exit.Exit, exit.OutOfMemory), exit: exit.Exit}
	}
	return api.ResultSuccess, nil
}

// task runs one of the files in the directory of the script.
func (a *attempt) task(ctx context.Context, file string, out io.Writer) (engine.Result, error) {
	r := a.runner
	masked := newMask(out, a.secrets())
	result, err := r.Engine.Run(ctx, engine.Task{
		ID:      taskID(a.build),
		Image:   a.image,
		Dir:     a.space.src(),
		Command: []string{"sh", "-c", `. "$` + scriptVariable + `/` + file + `"`},
		Env:     a.env(),
		Mounts: append(slices.Clone(r.Mounts),
			engine.Mount{Host: a.space.script(), Target: scriptPath, ReadOnly: true, Env: scriptVariable},
			engine.Mount{Host: a.space.state(), Target: statePath, Env: stateVariable}),
		Limits:  r.Limits,
		Network: engine.NoNetwork,
		Grace:   grace,
	}, masked)
	flushErr := masked.flush()
	switch {
	case errors.Is(err, engine.ErrNoImage):
		return result, fmt.Errorf("image %s is not on the machine of runner %s: load it there, or name another in the job", a.image, r.Name)
	case err != nil:
		return result, fmt.Errorf("run the script: %w", err)
	case flushErr != nil:
		return result, fmt.Errorf("write the log: %w", flushErr)
	}
	return result, nil
}

// restless is a writer that puts off an alarm whenever it is written to.
type restless struct {
	out   io.Writer
	alarm *time.Timer
	limit time.Duration
}

func (r *restless) Write(p []byte) (int, error) {
	r.alarm.Reset(r.limit)
	return r.out.Write(p)
}

// quote makes text one word for a shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// period is d in words, in minutes if it is so many exactly.
func period(d time.Duration) string {
	n, unit := int(d/time.Second), "second"
	if d%time.Minute == 0 {
		n, unit = int(d/time.Minute), "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}
