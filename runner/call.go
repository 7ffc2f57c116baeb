package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/kit"
	"landfall.dev/runner/buildlog"
	"landfall.dev/runner/step"
)

// segments runs one of the files in the directory of the script to its end: at
// each step that starts other builds it is left, and goes on after that in a
// container of its own.
func (a *attempt) segments(ctx context.Context, file string, out io.Writer) (engine.Result, error) {
	calls := step.Calls(a.build.Spec)
	for {
		exit, err := a.task(ctx, file, out)
		n := step.Left(a.space.state())
		call := calls[n]
		if err != nil || call == nil || n <= a.record.Answered {
			return exit, err
		}
		if quiet, ok := out.(*restless); ok {
			quiet.alarm.Stop() // other builds are not silence
		}
		answer, err := a.call(ctx, n, call)
		if err == nil {
			err = step.Resume(a.space.script(), n, answer)
		}
		if err != nil {
			return exit, fmt.Errorf("step %d: %w", n, err)
		}
		a.record.Answered = n
		if err := a.reach(a.record.Phase); err != nil {
			return exit, err
		}
		if quiet, ok := out.(*restless); ok {
			quiet.alarm.Reset(quiet.limit)
		}
	}
}

// call starts the builds of a step, and waits for them if it shall.
func (a *attempt) call(ctx context.Context, n int, c *api.CallStep) (step.Answer, error) {
	var starts []api.Start
	var err error
	for _, called := range c.All() {
		var more []api.Start
		if more, err = a.starts(called.Jobs, called.Pass, c.Wait); err != nil {
			break
		}
		starts = append(starts, more...)
	}
	var mistake *failure
	if errors.As(err, &mistake) {
		return step.Answer{Said: mistake.text + "\n", Stop: true}, nil
	}
	if err != nil || len(starts) == 0 {
		return step.Answer{}, err
	}
	err = retry(ctx, func() error {
		_, err := api.Builds.Send(ctx, a.runner.Client, a.build.Link.ID(), "heartbeat",
			api.HeartbeatArgs{Attempt: a.build.Attempt, Step: n, Starts: starts})
		return err
	})
	if errors.Is(err, kit.ErrInvalid) {
		return step.Answer{Said: err.Error() + "\n", Stop: true}, nil
	}
	if err != nil {
		return step.Answer{}, err
	}
	answer := step.Answer{Env: map[string]string{}}
	if c.Wait {
		defer a.lend()()
	}
	for i, s := range starts {
		link := api.CalledBuild(a.build, n, i)
		key := notWord.ReplaceAllString(s.Job, "_")
		answer.Env["TRIGGERED_BUILD_NUMBER_"+key] = link.ID()
		answer.Env["LAST_TRIGGERED_JOB_NAME"] = s.Job
		answer.Env["TRIGGERED_JOB_NAMES"] = strings.TrimPrefix(answer.Env["TRIGGERED_JOB_NAMES"]+","+s.Job, ",")
		if !c.Wait {
			answer.Said += fmt.Sprintf("%s started %s\n", s.Job, link)
			continue
		}
		b, err := a.await(ctx, link)
		if err != nil {
			return answer, err
		}
		result := b.Outcome()
		answer.Env["TRIGGERED_BUILD_RESULT_"+key] = string(result)
		answer.Said += fmt.Sprintf("%s %s %s\n", s.Job, link, strings.TrimSpace(string(b.State)+" "+buildlog.Plain([]byte(b.Error))))
		answer = weigh(answer, c, result)
	}
	return answer, nil
}

var notWord = regexp.MustCompile(`\W`)

// await returns a build once it has ended.
func (a *attempt) await(ctx context.Context, link kit.Link) (api.Build, error) {
	var b api.Build
	err := retry(ctx, func() error {
		var err error
		b, err = api.Builds.Await(ctx, a.runner.Client, link.ID(), func(b api.Build) bool { return b.State.Done() })
		return err
	})
	if err != nil {
		return b, fmt.Errorf("wait for %s: %w", link, err)
	}
	return b, nil
}

// asBadAs tells whether r is limit or worse; a limit that is empty never is
// reached.
func asBadAs(r, limit api.Result) bool {
	return limit != "" && r.Rank() >= limit.Rank()
}

// weigh takes the result of a build into the answer of the step that has waited
// for it.
func weigh(a step.Answer, c *api.CallStep, r api.Result) step.Answer {
	switch {
	case asBadAs(r, c.StepFails):
		a.Stop = true
	case asBadAs(r, c.Fails):
		a.Verdict = api.ResultFailure
	case asBadAs(r, c.Unstable) && a.Verdict == "":
		a.Verdict = api.ResultUnstable
	}
	return a
}

// starts are the builds that jobs name, with the parameters that they get. That
// these are not there is a *failure.
func (a *attempt) starts(jobs []string, p api.Pass, wait bool) ([]api.Start, error) {
	env := a.env()
	maps.Copy(env, step.Injected(a.space.state()))
	params, err := a.pass(p, env)
	if err != nil {
		return nil, err
	}
	var starts []api.Start
	for _, job := range jobs {
		for name := range strings.SplitSeq(step.Expand(job, env), ",") {
			if name = strings.TrimSpace(name); name != "" {
				starts = append(starts, api.Start{Job: name, Params: params, Wait: wait})
			}
		}
	}
	return starts, nil
}

// pass returns the parameters that a build hands on.
func (a *attempt) pass(p api.Pass, env map[string]string) (map[string]string, error) {
	params := map[string]string{}
	if p.Current {
		for _, own := range a.build.Spec.Parameters {
			if !own.Secret {
				params[own.Name] = env[own.Name]
			}
		}
		maps.Copy(params, a.build.Params)
	}
	if name := step.Expand(p.File, env); name != "" {
		values, err := step.Properties(a.space.src(), name, env)
		switch {
		case err == nil:
			maps.Copy(params, values)
		case p.FileNeeded:
			return nil, failed("There is no file of properties %s.", buildlog.Plain([]byte(name)))
		case !errors.Is(err, fs.ErrNotExist):
			a.logger.Info("read no parameters", "file", name, "err", err)
		}
	}
	for name, value := range p.Params {
		params[name] = step.Expand(value, env)
	}
	return params, nil
}

// judge returns how the build has ended by its log too, after its steps have
// ended with err.
func (a *attempt) judge(err error) error {
	if worst, _ := a.stepResult(); worst != "" && a.record.Result != api.ResultAborted {
		a.record.Result = worst
	}
	for _, f := range a.build.Spec.Finds {
		match, searchErr := a.searchLog(f.Pattern)
		if searchErr != nil {
			return searchErr
		}
		if (match != nil) == f.Missing || asBadAs(a.record.Result, f.Result) {
			continue
		}
		a.record.Result = f.Result
		why := failed("a line of the log matches %q", f.Pattern)
		if f.Missing {
			why = failed("no line of the log matches %q", f.Pattern)
		}
		if err == nil {
			err = why
		}
	}
	return err
}

// conclude takes the secrets away, and says in end what follows on the build: whether it is tried again, and
// which builds it starts.
func (a *attempt) conclude(end *api.FinishArgs) error {
	if err := step.RemoveSecrets(a.space.script(), a.space.state()); err != nil {
		return err
	}
	if end.State != api.BuildPassed && end.State != api.BuildFailed {
		return nil
	}
	end.Result = api.Build{State: end.State, Result: a.record.Result}.Outcome()
	if r := a.build.Spec.Retry; r != nil && (end.Result == api.ResultFailure || r.Unstable && end.Result == api.ResultUnstable) {
		end.Again = r.Log == ""
		if r.Log != "" {
			match, err := a.searchLog(r.Log)
			if err != nil {
				return err
			}
			end.Again = match != nil
		}
	}
	for _, d := range a.build.Spec.Downstream {
		if len(d.On) > 0 && !slices.Contains(d.On, end.Result) {
			continue
		}
		starts, err := a.starts(d.Jobs, d.Pass, false)
		if err != nil {
			return err
		}
		end.Starts = append(end.Starts, starts...)
	}
	return nil
}
