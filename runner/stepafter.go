package runner

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
)

// afterLimit is how long the steps after a build may take that did not come
// to its end by itself, and those that wait for the whole log.
const afterLimit = 2 * time.Minute

// stepResult is the result that the steps have noted and the step that is to
// blame, both empty if they did not come to that.
func (a *attempt) stepResult() (api.Result, string) {
	// A root, because the build may have made the file a link.
	root, err := os.OpenRoot(a.space.state())
	if err != nil {
		return "", ""
	}
	defer root.Close()
	text, err := readSmall(root, "result")
	if err != nil {
		return "", "" // the script was killed before it could write it
	}
	result, why, _ := strings.Cut(strings.TrimSuffix(text, "\n"), "\n")
	return api.Result(result), plain([]byte(why))
}

// readSmall returns the beginning of a regular file of the build's.
func readSmall(root *os.Root, name string) (string, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	f, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, 128<<10))
	return string(data), err
}

// runAfter runs those steps for after the build that main.sh has not run: all
// if it was ended, those that depend on the log if not. That they make the
// result of the build worse is a *failure.
func (a *attempt) runAfter(ctx context.Context, result api.Result) error {
	if ctx.Err() != nil {
		return nil // see abort
	}
	ended, _ := a.stepResult()
	var calls strings.Builder
	for i, after := range a.build.Spec.After {
		if len(after.Log) == 0 && ended != "" || len(after.On) > 0 && !slices.Contains(after.On, result) {
			continue
		}
		found, err := a.logHas(after.Log, after.LogAll)
		if err != nil {
			return err
		}
		if found {
			calls.WriteString(callAfter(i, after))
		}
	}
	if calls.Len() == 0 {
		return nil
	}
	script := stepHead + fmt.Sprintf("lf_load\nlf_result=%s\n", result) + calls.String() + "lf_finish\n"
	if err := os.WriteFile(filepath.Join(a.space.script(), "last.sh"), []byte(script), 0o600); err != nil {
		return fmt.Errorf("write the script: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, afterLimit, errTimeUp)
	defer cancel()
	if _, err := a.task(ctx, "last.sh", a.log); err != nil {
		if errors.Is(context.Cause(ctx), errTimeUp) {
			err = failed("the steps after the build took longer than %s", period(afterLimit))
		}
		return err
	}
	last, why := a.stepResult()
	switch {
	case last == result || result == api.ResultFailure || result == api.ResultAborted:
		return nil
	case last == api.ResultUnstable:
		return failed("the build is unstable: %s", why)
	}
	return failed("%s", why)
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
	lines := bufio.NewReaderSize(io.NewSectionReader(a.log.file, 0, a.log.length()), 64<<10)
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

// abort runs the steps for after a build that somebody has cancelled. The hub
// takes no more of its log by then, so what they write is lost.
func (a *attempt) abort(ctx context.Context) {
	if !a.begun || len(a.build.Spec.After) == 0 {
		return
	}
	b, err := api.Builds.Read(ctx, a.runner.Client, a.build.Link.ID())
	if err != nil || b.State != api.BuildCancelled || b.Attempt != a.build.Attempt {
		return // somebody else runs it, and these steps too
	}
	if err := a.runAfter(ctx, api.ResultAborted); err != nil {
		a.logger.Warn("could not run the steps after a cancelled build", "err", err)
	}
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
	for key, value := range a.injected() {
		env[key] = value
	}
	name = shorten(expand(spec.BuildName, env))
	d := spec.Describe
	if d == nil {
		return name, "", nil
	}
	if d.Pattern == "" {
		return name, shorten(expand(d.Text, env)), nil
	}
	match, err := a.searchLog(d.Pattern)
	if match == nil || err != nil {
		return name, "", err
	}
	text := expand(d.Text, env)
	if d.Text == "" {
		text = match[min(1, len(match)-1)]
	}
	text = groupMark.ReplaceAllStringFunc(text, func(mark string) string {
		if n := int(mark[1] - '0'); n < len(match) {
			return match[n]
		}
		return ""
	})
	return name, plain([]byte(text)), nil
}

// injected are the variables that steps have set.
func (a *attempt) injected() map[string]string {
	env := map[string]string{}
	root, err := os.OpenRoot(a.space.state())
	if err != nil {
		return env
	}
	defer root.Close()
	entries, err := fs.ReadDir(root.FS(), "env")
	if err != nil {
		return env
	}
	for _, e := range entries {
		if value, err := readSmall(root, "env/"+e.Name()); err == nil {
			env[e.Name()] = value
		}
	}
	return env
}

// variable is what stands for a variable in a text.
var variable = regexp.MustCompile(`\$(?:\{(\w+)-?\}|(\w+)|\$)`)

// expand replaces the variables in text; those that are not set are empty.
func expand(text string, env map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		return env[strings.Trim(found, "${}-")]
	})
}
