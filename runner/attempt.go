package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/runner/buildlog"
	"landfall.dev/runner/room"
	"landfall.dev/runner/task"
)

const (
	defaultTimeout = 30 * time.Minute // of a job that names none
	keepLimit      = 10 * time.Minute // for reports, artifacts and the image
)

// attempt is one execution of a build under a lease.
type attempt struct {
	runner  *Runner
	build   api.Build
	image   string // of the container; named exactly once it has a place
	room    room.Room
	spare   string // the container that was prepared for it, if any
	space   workspace
	log     *buildlog.Log
	logger  *slog.Logger
	record  record               // of how far it has come
	found   bool                 // a runner that was killed has left it
	resumed bool                 // and had begun the task at work
	masked  []string             // what must not be in the log
	begun   bool                 // the steps have
	kept    bool                 // its container is to be
	lost    bool                 // its engine has failed, and may have something of it
	lend    func() (back func()) // its place to another build, see Runner.lend
}

// failure is an error that is the build's own fault.
type failure struct {
	text string
	exit int // of the script, 0 if it is not about that
}

func (f *failure) Error() string { return f.text }

func failed(format string, args ...any) *failure {
	return &failure{text: fmt.Sprintf(format, args...)}
}

// execute runs b, whose lease is held, and says how it ended, unless the
// lease is lost or running, the runner's context, ends. It goes on from before,
// if there is such a thing.
func (r *Runner) execute(running context.Context, b api.Build, before *record) {
	ctx, lose := context.WithCancelCause(running)
	defer lose(nil)
	release := r.hold(b, lose)
	defer release()
	defer r.fleet.Leave(task.ID(b))
	logger := r.Logger.With("build", b.Link.ID(), "attempt", b.Attempt)
	logger.Info("leased", "project", b.Project, "job", b.Job, "resumed", before != nil)

	var beats sync.WaitGroup
	defer beats.Wait()
	beating, stop := context.WithCancel(ctx)
	defer stop()
	wait := r.beat
	if before != nil {
		wait = 0
	}
	beats.Go(func() { r.keepLease(beating, b, wait, lose, logger) })

	end := api.FinishArgs{Attempt: b.Attempt, State: api.BuildError}
	a, err := r.prepare(b, before, logger)
	if err != nil {
		end.Error = err.Error()
	} else {
		defer a.leave(running)
		a.lend = func() func() { return r.lend(running, task.ID(b)) }
		end = a.run(running, ctx, lose)
	}
	release() // that the build is over is known from here on
	if err == nil && ctx.Err() != nil && end.State != api.BuildCancelled {
		logger.Info("gave up", "cause", context.Cause(ctx))
		return
	}
	err = retry(running, func() error {
		_, err := api.Builds.Send(running, r.Client, b.Link.ID(), "finish", end)
		return err
	})
	if err != nil {
		logger.Warn("finished without being heard", "state", end.State, "err", err)
		return
	}
	logger.Info("finished", "state", end.State, "reason", end.Error)
}

// keepLease renews the lease after wait and then again and again, until ctx ends
// or it is lost.
func (r *Runner) keepLease(ctx context.Context, b api.Build, wait time.Duration, lose context.CancelCauseFunc, logger *slog.Logger) {
	for ; sleep(ctx, wait); wait = r.beat {
		beat, cancel := context.WithTimeout(ctx, r.beat)
		_, err := api.Builds.Send(beat, r.Client, b.Link.ID(), "heartbeat", api.HeartbeatArgs{Attempt: b.Attempt, Engine: r.fleet.Where(task.ID(b))})
		cancel()
		switch {
		case err == nil || ctx.Err() != nil:
		case kit.Temporary(err):
			logger.Warn("could not renew the lease", "err", err)
		default:
			lose(fmt.Errorf("%w: %w", errLost, err))
			return
		}
	}
}

// prepare makes the workspace and the log of b, or finds those of before.
func (r *Runner) prepare(b api.Build, before *record, logger *slog.Logger) (*attempt, error) {
	if b.Spec == nil {
		return nil, fmt.Errorf("runner %s: the build has no specification of what to do", r.Name)
	}
	a := &attempt{runner: r, build: b, image: b.Spec.Image, logger: logger}
	if a.image == "" {
		a.image = r.DefaultImage
	}
	if before != nil && before.Phase > phaseFetch {
		return a, a.open(*before)
	}
	space, err := r.newWorkspace(b)
	if err != nil {
		return nil, fmt.Errorf("runner %s: make a workspace: %w", r.Name, err)
	}
	a.space = space
	a.record = record{Build: b.Link.ID(), Attempt: b.Attempt, Image: a.image, Begun: time.Now()}
	if a.log, err = buildlog.New(space.log()); err == nil {
		if before != nil {
			a.log.Again()
		}
		err = a.reach(phaseFetch)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("runner %s: make a log: %w", r.Name, err), removeAll(space.dir))
	}
	return a, nil
}

// open takes over what a runner that was killed has left.
func (a *attempt) open(before record) (err error) {
	a.space = workspace{filepath.Join(a.runner.Dir, task.ID(a.build))}
	a.record, a.image, a.masked = before, before.Image, before.Masked
	a.resumed = before.Phase == phaseSteps || before.Phase == phaseLast
	a.found, a.begun = true, true
	// What is said of reports and images is said again.
	a.log, err = buildlog.Reopen(a.space.log(), before.Log, before.Phase == phaseKeep)
	return err
}

// leave removes the workspace, or keeps it with a container for a while. It sees
// to it that nothing else is left: at an engine that has failed, by a runner that
// was killed, or prepared for steps that have not begun.
func (a *attempt) leave(running context.Context) {
	id := task.ID(a.build)
	if at := a.runner.fleet.Engine(id); a.kept && at != nil {
		a.runner.behind.Go(func() { a.linger(running, at) })
		return
	}
	a.remove()
	if a.lost || a.found {
		a.runner.behind.Go(func() { a.discard(running, id) })
	}
	if a.spare != "" && !a.begun {
		a.runner.behind.Go(func() { a.discard(running, a.spare) })
	}
}

// discard discards a task, as often as it takes.
func (a *attempt) discard(ctx context.Context, id string) {
	if err := retry(ctx, func() error { return a.runner.discard(ctx, id) }); err != nil {
		a.logger.Warn("left a task", "id", id, "err", err)
	}
}

func (a *attempt) remove() {
	if err := errors.Join(a.log.Close(), removeAll(a.space.dir)); err != nil {
		a.logger.Warn("left a workspace", "err", err)
	}
}

// run carries the attempt out and returns its outcome once all of the log has
// been sent and sealed. ctx ends when the lease is lost, running with the runner.
// If the build was cancelled, it is ended, and its log goes on until then.
func (a *attempt) run(running, ctx context.Context, lose context.CancelCauseFunc) api.FinishArgs {
	sendable, stop := context.WithCancelCause(running)
	defer stop(nil)
	var sending sync.WaitGroup
	sending.Go(func() {
		if err := a.log.Send(sendable, a.send); err != nil {
			lose(err)
		}
	})
	end := api.FinishArgs{Attempt: a.build.Attempt, State: api.BuildPassed}
	err := a.perform(ctx, &end)
	switch {
	case err != nil && ctx.Err() == nil:
		a.explain(err, &end)
		end.EngineLost = a.lost && end.State == api.BuildError
	case ctx.Err() != nil && a.abort(running):
		end = api.FinishArgs{Attempt: a.build.Attempt, State: api.BuildCancelled}
	case ctx.Err() != nil:
		stop(context.Cause(ctx))
	}
	if end.Name, end.Description, err = a.describeBuild(); err != nil {
		a.logger.Warn("could not describe the build", "err", err)
	}
	end.Engine, end.BuildImage = a.placed()
	if err := a.conclude(&end); err != nil {
		a.logger.Warn("could not say what follows on the build", "err", err)
	}
	a.kept = ctx.Err() == nil && a.keeps(running, end.State)
	a.log.End()
	sending.Wait()
	if ctx.Err() == nil || end.State == api.BuildCancelled {
		if err := a.seal(running, &end); err != nil {
			lose(err)
		}
	}
	return end
}

// send appends a part to the log at the hub, see buildlog.Sender.
func (a *attempt) send(ctx context.Context, offset int64, part []byte) (size int64, err error) {
	err = retry(ctx, func() error {
		size, err = a.runner.sendLog(ctx, a.build, offset, part)
		if err == nil && size == offset && len(part) > 0 {
			err = kit.Errorf(kit.ErrUnavailable, a.build.Link, "the hub took nothing of the log")
		}
		return err
	})
	return size, err
}

// sealTries is how often what the hub lacks of a log is sent again.
const sealTries = 3

// seal sees to it that the hub has all of the log, or says in end what is
// missing. A build whose log the hub does not have does not pass.
func (a *attempt) seal(ctx context.Context, end *api.FinishArgs) error {
	want, err := a.log.Total()
	if err != nil {
		return err
	}
	end.LogSize, end.LogMissing = want.Size, a.log.Missing()
	var got api.LogSeal
	for range sealTries {
		got, err = a.runner.sealLog(ctx, a.build)
		switch {
		case errors.Is(err, kit.ErrNotFound):
			return nil // an older hub, which seals what it has
		case err != nil:
			return err
		case got.Digest == want.Digest:
			end.LogDigest = got.Digest
			return nil
		}
		a.log.Again() // the hub may have lost the end in a crash
		if err := a.log.Send(ctx, a.send); err != nil {
			return err
		}
	}
	end.LogMissing = max(want.Lines-got.Lines, 1)
	if end.State == api.BuildPassed {
		end.State, end.Error = api.BuildError, fmt.Sprintf("the log is incomplete, %d lines are missing: the hub has %d bytes of %d", end.LogMissing, got.Size, want.Size)
	}
	return nil
}

// perform goes through the build from the sources to the image, and notes in
// end what there is to keep.
func (a *attempt) perform(ctx context.Context, end *api.FinishArgs) error {
	ended := a.record.Ended.err()
	if a.record.Phase < phaseKeep {
		ended = a.work(ctx)
		if ctx.Err() != nil {
			return ended
		}
		a.record.Ended = outcomeOf(ended)
		if err := a.reach(phaseKeep); err != nil {
			return err
		}
	}
	kept, cancel := context.WithTimeout(ctx, keepLimit)
	defer cancel()
	var err error
	end.Reports, err = a.reports(kept, ended == nil)
	if err == nil && (ended == nil || a.build.Spec.ArtifactsAlways) {
		end.Artifacts, err = a.artifacts(kept)
	}
	if ended != nil || err != nil {
		return cmp.Or(ended, err)
	}
	end.Image, err = a.pack(kept)
	return err
}

// work fetches the sources and runs the steps.
func (a *attempt) work(ctx context.Context) (err error) {
	if a.room, err = room.For(a.build, a.runner.Limits); err != nil {
		return failed("%v", err)
	}
	limit := time.Duration(a.build.Spec.TimeoutSeconds) * time.Second
	if limit <= 0 {
		limit = defaultTimeout
	}
	inTime, cancel := context.WithDeadlineCause(ctx, a.record.Begun.Add(limit), errTimeUp)
	defer cancel()
	if a.record.Phase == phaseFetch {
		if err := a.place(inTime); err != nil {
			return err
		}
		if err := a.fetch(inTime); err != nil {
			return err
		}
	}
	return a.script(ctx, inTime, limit)
}

// explain notes in end that the build ended with err, and says so in the log,
// where the script has not done that itself.
func (a *attempt) explain(err error, end *api.FinishArgs) {
	var f *failure
	end.State, end.Error = api.BuildError, err.Error()
	if errors.As(err, &f) {
		end.State, end.ExitCode = api.BuildFailed, f.exit
	}
	if end.ExitCode != 0 {
		return
	}
	if err := a.log.Say(string(end.State) + ": " + end.Error); err != nil {
		a.logger.Warn("could not write to the log", "err", err)
	}
}
