package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"landfall.dev/engine"
)

// scriptVariable tells a build where its steps are; in a container that is
// scriptPath.
const (
	scriptVariable = "LANDFALL_SCRIPT"
	scriptPath     = "/landfall/script"
)

// errTimeUp is the cause of the end of a build that took too long.
var errTimeUp = errors.New("the time is up")

// script runs the steps. A step that fails is a *failure.
func (a *attempt) script(ctx context.Context, limit time.Duration) error {
	r := a.runner
	if a.image == "" && r.Engine.Name() != "process" {
		return fmt.Errorf("the job names no image, and runner %s has no default one: add image to the job", r.Name)
	}
	if err := writeScript(a.space.script(), a.build.Spec.Script); err != nil {
		return fmt.Errorf("write the script: %w", err)
	}
	steps := engine.Mount{Host: a.space.script(), Target: scriptPath, ReadOnly: true, Env: scriptVariable}
	result, err := r.Engine.Run(ctx, engine.Task{
		ID:      taskID(a.build),
		Image:   a.image,
		Dir:     a.space.src(),
		Command: []string{"sh", "-c", `. "$` + scriptVariable + `/main.sh"`},
		Env:     a.env(),
		Mounts:  append(slices.Clone(r.Mounts), steps),
		Limits:  r.Limits,
		Network: engine.NoNetwork,
	}, a.log)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errTimeUp):
		return failed("took longer than %s", period(limit))
	case errors.Is(err, engine.ErrNoImage):
		return fmt.Errorf("image %s is not on the machine of runner %s: load it there, or name another in the job", a.image, r.Name)
	case err != nil:
		return fmt.Errorf("run the script: %w", err)
	case result.Exit != 0:
		return &failure{text: a.log.failure(result.Exit, result.OutOfMemory), exit: result.Exit}
	}
	return nil
}

// env is the environment of the build.
func (a *attempt) env() map[string]string {
	env := map[string]string{}
	maps.Copy(env, a.runner.Env)
	maps.Copy(env, a.build.Spec.Env)
	maps.Copy(env, a.build.Params)
	env["LANDFALL_PROJECT"] = a.build.Project
	env["LANDFALL_COMMIT"] = a.build.Commit
	env["LANDFALL_BUILD"] = a.build.Link.ID()
	if a.build.Change != "" {
		env["LANDFALL_CHANGE"] = a.build.Change.ID()
	}
	delete(env, scriptVariable) // it is the mount's
	return env
}

// writeScript writes the steps into dir, one file each, and main.sh, which
// runs them in order until one fails.
func writeScript(dir string, steps []string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	var main strings.Builder
	main.WriteString("exec 2>&1\n")
	main.WriteString("end() { printf '\\n--- step %s exited with %s\\n' \"$1\" \"$2\"; exit \"$2\"; }\n")
	for i, step := range steps {
		n := i + 1
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.sh", n)), []byte(step+"\n"), 0o600); err != nil {
			return err
		}
		first, _, _ := strings.Cut(strings.TrimSpace(step), "\n")
		fmt.Fprintf(&main, "printf '%%s\\n' %s\n", quote(fmt.Sprintf("--- step %d: %s", n, shorten(first))))
		fmt.Fprintf(&main, "sh -e \"$%s/%d.sh\" || end %d $?\n", scriptVariable, n, n)
	}
	return os.WriteFile(filepath.Join(dir, "main.sh"), []byte(main.String()), 0o600)
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
