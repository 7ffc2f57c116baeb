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
	"time"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/runner/step"
	"landfall.dev/runner/task"
)

// Where a build in a container finds its steps and leaves its state.
const (
	scriptPath = "/landfall/script"
	statePath  = "/landfall/state"
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
	if err := step.CheckParameters(a.build); err != nil {
		return failed("%v", err)
	}
	if a.record.Phase == phaseFetch {
		if err := a.writeScript(inTime); err != nil {
			return err
		}
		if err := a.reach(phaseSteps); err != nil {
			return err
		}
	}
	if err := a.giveSecrets(inTime); err != nil {
		return err
	}
	a.begun = true
	if a.record.Phase == phaseSteps {
		result, ended := a.runSteps(inTime, limit)
		if ctx.Err() != nil {
			return ended
		}
		a.record.Result, a.record.Ended = result, outcomeOf(ended)
		if err := a.reach(phaseChoose); err != nil {
			return err
		}
	}
	return a.judge(cmp.Or(a.record.Ended.err(), a.runAfter(ctx, a.record.Result)))
}

// writeScript makes the script, and fetches what it copies.
func (a *attempt) writeScript(ctx context.Context) error {
	copies, err := step.Write(a.space.script(), a.build.Spec)
	if err == nil {
		err = os.MkdirAll(filepath.Join(a.space.state(), "env"), 0o700)
	}
	if err != nil {
		return fmt.Errorf("write the script: %w", err)
	}
	return a.fetchCopies(ctx, copies)
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
	exit, err := a.segments(ctx, "main.sh", out)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeUp):
		return aborted, failed("took longer than %s", period(limit))
	case err != nil && errors.Is(context.Cause(ctx), errQuiet):
		return aborted, failed("wrote nothing for %s", period(quiet))
	case err != nil:
		return api.ResultAborted, err
	}
	switch {
	case exit.OutOfPids:
		return api.ResultFailure, failed("was killed: it had as many processes as it may, %d, and did not end them", a.room.Limits.Pids)
	case exit.OutOfDisk:
		return api.ResultFailure, failed("was killed: it wrote more than %d MiB of disk, its limit", a.room.Limits.DiskMB)
	}
	result, why := a.stepResult()
	if exit.Exit == 0 && result == "" { // which a daemon says of a container that it has lost
		a.log.Broken()
		return api.ResultAborted, errors.New("its container ended before its steps did: it, or its daemon, was ended from outside")
	}
	if result != "" && !a.record.Whole {
		a.log.Broken() // the engine has lost the end
	}
	exit.Exit = known(exit.Exit, result, why)
	switch {
	case result == api.ResultUnstable && why != "":
		return result, &failure{text: "the build is unstable: " + why, exit: exit.Exit}
	case result == api.ResultUnstable:
		return result, failed("the build is unstable")
	case exit.Exit != 0:
		return api.ResultFailure, &failure{text: a.log.Failure(exit.Exit, exit.OutOfMemory), exit: exit.Exit}
	}
	return api.ResultSuccess, nil
}

// newTask is the task that runs one of the files in the directory of the script.
func (a *attempt) newTask(file string) engine.Task {
	return engine.Task{
		ID:      task.ID(a.build),
		Image:   a.image,
		Dir:     a.space.src(),
		Command: []string{"sh", "-c", `. "$` + step.ScriptVariable + `/` + file + `"`},
		Env:     a.env(),
		Mounts: append(slices.Clone(a.runner.Mounts),
			engine.Mount{Host: a.space.script(), Target: scriptPath, ReadOnly: true, Env: step.ScriptVariable, Own: true},
			engine.Mount{Host: a.space.state(), Target: statePath, Env: step.StateVariable, Own: true}),
		Limits:   a.room.Limits,
		Network:  engine.NoNetwork,
		Grace:    grace,
		Spare:    a.spare,
		Services: a.room.Services,
		Caches:   a.room.Caches,
	}
}

// task runs one of the files in the directory of the script.
func (a *attempt) task(ctx context.Context, file string, out io.Writer) (engine.Result, error) {
	all := step.NewEnd(out, a.whole)
	masked := step.NewMask(all, a.secrets())
	result, err := a.begin(ctx, a.newTask(file), masked)
	a.lost = a.lost || err != nil
	flushErr := cmp.Or(masked.Flush(), all.Flush())
	switch {
	case errors.Is(err, engine.ErrNotReady):
		return result, failed("%v", err)
	case err != nil:
		if ctx.Err() == nil && a.log.Length() > a.record.Log {
			a.log.Broken() // the engine has lost it, not ended it
		}
		return result, fmt.Errorf("run the script: %w", err)
	case flushErr != nil:
		return result, fmt.Errorf("write the log: %w", flushErr)
	}
	return result, nil
}

// env is the environment of the build.
func (a *attempt) env() map[string]string {
	r := a.runner
	return step.Place{Runner: r.Name, Hub: r.Base, Variables: r.Env}.Env(a.build)
}

// secrets are the values that must not be in the log.
func (a *attempt) secrets() []string {
	env := a.env()
	values := slices.Clone(a.masked)
	for _, p := range a.build.Spec.Parameters {
		if p.Secret {
			values = append(values, env[p.Name])
		}
	}
	return values
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
