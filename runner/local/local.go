// Package local runs the steps of a build on a developer's machine as a runner
// would: the same script, in a container of the same image with the same limits,
// mounts and environment, without a hub. It keeps nothing of what the build
// makes: no artifacts, reports or images.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"landfall.dev/api"
	"landfall.dev/engine"
	"landfall.dev/runner/room"
	"landfall.dev/runner/step"
)

// Where a build in a container finds its steps and leaves its state, as on a
// runner.
const (
	scriptPath = "/landfall/script"
	statePath  = "/landfall/state"
)

// grace is how long a step that is ended may take to clean up.
const grace = 10 * time.Second

// Config is what a build is run with.
type Config struct {
	Build  api.Build // with its Spec
	Engine engine.Engine
	Image  string
	// Dir is for the workspace; it is made, and left alone afterwards.
	Dir string
	// Sources writes what is built into a directory.
	Sources func(dir string) error
	Mounts  []engine.Mount
	Limits  engine.Limits
	Place   step.Place
	// Secrets are masked in the output, besides the job's secret parameters.
	Secrets []string
}

// Outcome is how a build ended.
type Outcome struct {
	Result api.Result
	Exit   int
	Why    string // if it did not succeed
}

// Run runs the build and writes what it writes to out.
func Run(ctx context.Context, c Config, out io.Writer) (Outcome, error) {
	spec := c.Build.Spec
	if err := step.CheckParameters(c.Build); err != nil {
		return Outcome{}, err
	}
	given, err := room.For(c.Build, c.Limits)
	if err != nil {
		return Outcome{}, err
	}
	src, script, state := filepath.Join(c.Dir, "src"), filepath.Join(c.Dir, "script"), filepath.Join(c.Dir, "state")
	sources := filepath.Join(src, spec.SourceDir)
	if spec.SourceDir != "" && !filepath.IsLocal(spec.SourceDir) {
		return Outcome{}, fmt.Errorf("the folder %q for the sources is not in the workspace", spec.SourceDir)
	}
	if err := errors.Join(os.MkdirAll(sources, 0o755), os.MkdirAll(filepath.Join(state, "env"), 0o700)); err != nil {
		return Outcome{}, err
	}
	if err := c.Sources(sources); err != nil {
		return Outcome{}, fmt.Errorf("copy the sources: %w", err)
	}
	copies, err := step.Write(script, spec)
	if err != nil {
		return Outcome{}, fmt.Errorf("write the script: %w", err)
	}
	if err := leaveOut(script, copies); err != nil {
		return Outcome{}, fmt.Errorf("write the script: %w", err)
	}
	if spec.TimeoutSeconds > 0 {
		limit := time.Duration(spec.TimeoutSeconds) * time.Second
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("took longer than %s", limit))
		defer cancel()
	}
	env := c.Place.Env(c.Build)
	all := step.NewEnd(out, func() {})
	masked := step.NewMask(all, append(secrets(spec, env), c.Secrets...))
	task := engine.Task{
		ID:      "local-" + filepath.Base(c.Dir),
		Image:   c.Image,
		Dir:     src,
		Command: []string{"sh", "-c", `. "$` + step.ScriptVariable + `/main.sh"`},
		Env:     env,
		Mounts: append(append([]engine.Mount(nil), c.Mounts...),
			engine.Mount{Host: script, Target: scriptPath, ReadOnly: true, Env: step.ScriptVariable, Own: true},
			engine.Mount{Host: state, Target: statePath, Env: step.StateVariable, Own: true}),
		Limits: given.Limits, Network: engine.NoNetwork, Grace: grace, Services: given.Services, Caches: given.Caches,
	}
	calls, answered := step.Calls(spec), 0
	for {
		ended, err := c.Engine.Run(ctx, task, masked)
		if err := errors.Join(err, masked.Flush(), all.Flush()); err != nil {
			return Outcome{}, err
		}
		n := step.Left(state)
		if calls[n] == nil || n <= answered {
			return outcome(ended, state), nil
		}
		if err := step.Resume(script, n, step.Answer{Said: "A local build starts no others.\n"}); err != nil {
			return Outcome{}, fmt.Errorf("write the script: %w", err)
		}
		answered = n
	}
}

func outcome(ended engine.Result, state string) Outcome {
	o := Outcome{Exit: ended.Exit}
	o.Result, o.Why = step.Ended(state)
	switch {
	case ended.OutOfMemory:
		o.Result, o.Why = api.ResultFailure, "out of memory"
	case o.Result == "":
		o.Result, o.Why = api.ResultFailure, fmt.Sprintf("the script exited with %d", ended.Exit)
	}
	return o
}

// leaveOut lets the steps that copy artifacts say that there are none.
func leaveOut(script string, copies []step.Copy) error {
	for _, c := range copies {
		dir := filepath.Join(script, fmt.Sprintf("%d.copy", c.N))
		err := errors.Join(os.MkdirAll(filepath.Join(dir, "files"), 0o700),
			os.WriteFile(filepath.Join(dir, "said"), []byte("A local build has no artifacts of other builds.\n"), 0o600))
		if err == nil && !c.Step.Optional {
			err = os.WriteFile(filepath.Join(dir, "failed"), nil, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// secrets are the values of the job's secret parameters.
func secrets(spec *api.JobSpec, env map[string]string) []string {
	var values []string
	for _, p := range spec.Parameters {
		if p.Secret {
			values = append(values, env[p.Name])
		}
	}
	return values
}
