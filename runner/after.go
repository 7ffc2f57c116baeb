package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/runner/buildlog"
	"landfall.dev/runner/step"
)

// afterLimit is how long the steps after a build may take that did not come
// to its end by itself, and those that wait for the whole log.
const afterLimit = 2 * time.Minute

// stepResult is the result that the steps have noted and the step that is to
// blame, both empty if they did not come to that.
func (a *attempt) stepResult() (api.Result, string) {
	result, why := step.Ended(a.space.state())
	return result, buildlog.Plain([]byte(why))
}

// runAfter runs those steps for after the build that main.sh has not run: all
// if it was ended, those that depend on the log if not. That they make the
// result of the build worse is a *failure.
func (a *attempt) runAfter(ctx context.Context, result api.Result) error {
	if ctx.Err() != nil {
		return nil // see abort
	}
	if a.record.Phase < phaseLast {
		some, err := a.chooseAfter(result)
		if err != nil || !some {
			return err
		}
		if err := a.reach(phaseLast); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, afterLimit, errTimeUp)
	defer cancel()
	if _, err := a.segments(ctx, "last.sh", a.log); err != nil {
		if errors.Is(context.Cause(ctx), errTimeUp) {
			err = failed("the steps after the build took longer than %s", period(afterLimit))
		}
		return err
	}
	if !a.record.Whole {
		a.log.Broken()
	}
	worst, why := a.stepResult()
	switch {
	case worst == result || result == api.ResultFailure || result == api.ResultAborted:
		return nil
	case worst == "":
		return failed("the steps after the build did not come to their end")
	case worst == api.ResultUnstable:
		return failed("the build is unstable: %s", why)
	}
	return failed("%s", why)
}

// chooseAfter writes last.sh with the steps that are to run. It returns false if
// there are none.
func (a *attempt) chooseAfter(result api.Result) (bool, error) {
	ended, _ := a.stepResult()
	var which []int
	for i, after := range a.build.Spec.After {
		if len(after.Log) == 0 && ended != "" || len(after.On) > 0 && !slices.Contains(after.On, result) {
			continue
		}
		found, err := a.logHas(after.Log, after.LogAll)
		if err != nil {
			return false, err
		}
		if found {
			which = append(which, i)
		}
	}
	if len(which) == 0 {
		return false, nil
	}
	err := step.WriteLast(a.space.script(), a.build.Spec, result, which)
	if err == nil {
		err = removeResult(a.space.state())
	}
	if err != nil {
		return false, fmt.Errorf("write the script: %w", err)
	}
	return true, nil
}

// removeResult removes what the steps have noted, so that what is there later
// is of those after them.
func removeResult(state string) error {
	root, err := os.OpenRoot(state)
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll("result")
}

// logHas tells whether one of the patterns, or all, match a line of the log,
// or there are none.
func (a *attempt) logHas(patterns []string, all bool) (bool, error) {
	for _, p := range patterns {
		match, err := a.searchLog(p)
		if err != nil {
			return false, err
		}
		if (match != nil) != all {
			return match != nil, nil
		}
	}
	return all || len(patterns) == 0, nil
}

// searchLog returns the first match of the pattern in a line of the log, with
// its groups; nil if there is none.
func (a *attempt) searchLog(pattern string) ([]string, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, failed("the pattern %q for the log is malformed: %v", pattern, err)
	}
	lines := bufio.NewReaderSize(a.log.Text(), 64<<10)
	for {
		line, err := lines.ReadSlice('\n') // of a longer line, parts
		if match := re.FindStringSubmatch(strings.TrimRight(string(line), "\r\n")); match != nil {
			return match, nil
		}
		if err == io.EOF {
			return nil, nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read the log: %w", err)
		}
	}
}

// abort tells whether the build was cancelled and is still this attempt's, and
// if so runs its steps for afterwards.
func (a *attempt) abort(ctx context.Context) bool {
	var b api.Build
	err := retry(ctx, func() (err error) {
		b, err = api.Builds.Read(ctx, a.runner.Client, a.build.Link.ID())
		return err
	})
	if err != nil || b.State != api.BuildCancelled || b.Attempt != a.build.Attempt {
		return false // somebody else runs it, and these steps too
	}
	if err := a.log.Say(b.Error); err != nil {
		a.logger.Warn("could not write to the log", "err", err)
	}
	if a.begun && len(a.build.Spec.After) > 0 {
		if err := a.runAfter(ctx, api.ResultAborted); err != nil {
			a.logger.Warn("could not run the steps after a cancelled build", "err", err)
		}
	}
	return true
}

// groupMark is a group of a match in a description.
var groupMark = regexp.MustCompile(`\\(\d)`)

// describeBuild returns the name and the description of the build that has
// ended.
func (a *attempt) describeBuild() (name, description string, err error) {
	spec := a.build.Spec
	if spec.BuildName == "" && spec.Describe == nil {
		return "", "", nil
	}
	env := a.env()
	for key, value := range step.Injected(a.space.state()) {
		env[key] = value
	}
	name = step.Shorten(step.Expand(spec.BuildName, env))
	d := spec.Describe
	if d == nil {
		return name, "", nil
	}
	if d.Pattern == "" {
		return name, step.Shorten(step.Expand(d.Text, env)), nil
	}
	match, err := a.searchLog(d.Pattern)
	if match == nil || err != nil {
		return name, "", err
	}
	text := step.Expand(d.Text, env)
	if d.Text == "" {
		text = match[min(1, len(match)-1)]
	}
	text = groupMark.ReplaceAllStringFunc(text, func(mark string) string {
		if n := int(mark[1] - '0'); n < len(match) {
			return match[n]
		}
		return ""
	})
	return name, buildlog.Plain([]byte(text)), nil
}
