package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	defaultTimeout = 30 * time.Minute // of a job that names none
	keepLimit      = 10 * time.Minute // for reports, artifacts and the image
)

// attempt is one execution of a build under a lease.
type attempt struct {
	runner *Runner
	build  api.Build
	image  string // of the container
	space  workspace
	log    *buildLog
	logger *slog.Logger
	begun  bool // the steps have
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
// lease is lost or running, the runner's context, ends.
func (r *Runner) execute(running context.Context, b api.Build) {
	ctx, lose := context.WithCancelCause(running)
	defer lose(nil)
	release := r.hold(b, lose)
	defer release()
	logger := r.Logger.With("build", b.Link.ID(), "attempt", b.Attempt)
	logger.Info("leased", "project", b.Project, "job", b.Job)

	var beats sync.WaitGroup
	defer beats.Wait()
	beating, stop := context.WithCancel(ctx)
	defer stop()
	beats.Go(func() { r.keepLease(beating, b, lose, logger) })

	var end api.FinishArgs
	a, err := r.prepare(b, logger)
	if err != nil {
		end = api.FinishArgs{Attempt: b.Attempt, State: api.BuildError, Error: err.Error()}
	} else {
		defer a.remove()
		end = a.run(ctx, lose)
	}
	release() // that the build is over is known from here on
	if err == nil && ctx.Err() != nil {
		logger.Info("gave up", "cause", context.Cause(ctx))
		a.abort(running)
		return
	}
	err = retry(ctx, func() error {
		_, err := api.Builds.Send(ctx, r.Client, b.Link.ID(), "finish", end)
		return err
	})
	if err != nil {
		logger.Warn("finished without being heard", "state", end.State, "err", err)
		return
	}
	logger.Info("finished", "state", end.State, "reason", end.Error)
}

// keepLease renews the lease until ctx ends or it is lost.
func (r *Runner) keepLease(ctx context.Context, b api.Build, lose context.CancelCauseFunc, logger *slog.Logger) {
	for sleep(ctx, r.beat) {
		beat, cancel := context.WithTimeout(ctx, r.beat)
		_, err := api.Builds.Send(beat, r.Client, b.Link.ID(), "heartbeat", api.HeartbeatArgs{Attempt: b.Attempt})
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

// prepare makes the workspace and the log of b.
func (r *Runner) prepare(b api.Build, logger *slog.Logger) (*attempt, error) {
	if b.Spec == nil {
		return nil, fmt.Errorf("runner %s: the build has no specification of what to do", r.Name)
	}
	a := &attempt{runner: r, build: b, image: b.Spec.Image, logger: logger}
	if a.image == "" {
		a.image = r.DefaultImage
	}
	space, err := r.newWorkspace(b, a.image)
	if err != nil {
		return nil, fmt.Errorf("runner %s: make a workspace: %w", r.Name, err)
	}
	a.space = space
	if a.log, err = newLog(space.log()); err != nil {
		return nil, errors.Join(fmt.Errorf("runner %s: make a log: %w", r.Name, err), removeAll(space.dir))
	}
	return a, nil
}

func (a *attempt) remove() {
	if err := errors.Join(a.log.file.Close(), removeAll(a.space.dir)); err != nil {
		a.logger.Warn("left a workspace", "err", err)
	}
}

// run carries the attempt out and returns its outcome once all of the log has
// been sent.
func (a *attempt) run(ctx context.Context, lose context.CancelCauseFunc) api.FinishArgs {
	var sending sync.WaitGroup
	sending.Go(func() {
		to := func(ctx context.Context, offset int64, part []byte) (int64, error) {
			return a.runner.sendLog(ctx, a.build, offset, part)
		}
		if err := a.log.send(ctx, to); err != nil {
			lose(err)
		}
	})
	end := api.FinishArgs{Attempt: a.build.Attempt, State: api.BuildPassed}
	if err := a.perform(ctx, &end); err != nil && ctx.Err() == nil {
		a.explain(err, &end)
	}
	var err error
	if end.Name, end.Description, err = a.describeBuild(); err != nil {
		a.logger.Warn("could not describe the build", "err", err)
	}
	a.log.end()
	sending.Wait()
	end.LogSize = a.log.length()
	return end
}

// perform goes through the build from the sources to the image, and notes in
// end what there is to keep.
func (a *attempt) perform(ctx context.Context, end *api.FinishArgs) error {
	limit := time.Duration(a.build.Spec.TimeoutSeconds) * time.Second
	if limit <= 0 {
		limit = defaultTimeout
	}
	inTime, cancel := context.WithTimeoutCause(ctx, limit, errTimeUp)
	defer cancel()
	if err := a.fetch(inTime); err != nil {
		return err
	}
	ended := a.script(ctx, inTime, limit)
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
	if err := a.log.say(string(end.State) + ": " + end.Error); err != nil {
		a.logger.Warn("could not write to the log", "err", err)
	}
}
