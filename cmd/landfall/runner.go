package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"landfall.dev/engine"
	"landfall.dev/engine/docker"
	"landfall.dev/engine/process"
	"landfall.dev/kit/rest"
	"landfall.dev/runner"
)

// engineFlags choose where containers run.
type engineFlags struct{ name string }

func (e *engineFlags) flags(c *cobra.Command) {
	c.Flags().StringVar(&e.name, "engine", "auto", "docker, process (no isolation), or auto: docker where a daemon answers")
}

// open returns the engine, which keeps its state below dir and knows what it
// started by owner.
func (e *engineFlags) open(ctx context.Context, dir, owner string) (engine.Engine, error) {
	switch e.name {
	case "docker":
		return docker.New(ctx, owner)
	case "process":
		return process.New(filepath.Join(dir, "engine"))
	case "auto":
		if d, err := docker.New(ctx, owner); err == nil {
			return d, nil
		}
		fmt.Fprintln(os.Stderr, "no Docker daemon answers: running processes without isolation")
		return process.New(filepath.Join(dir, "engine"))
	}
	return nil, fmt.Errorf("there is no engine %q: use docker, process or auto", e.name)
}

func runnerCommand() *cobra.Command {
	var hubURL, token, data, busybox string
	var mounts []string
	var e engineFlags
	var verbose bool
	config := runner.Config{}
	c := command("runner", "Run builds for a hub", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		secret, err := tokenText(token)
		if err != nil {
			return err
		}
		config.Logger = logger(verbose)
		if config.Engine, err = e.open(c.Context(), data, "runner-"+config.Name); err != nil {
			return err
		}
		if err := connect(&config, hubURL, secret); err != nil {
			return err
		}
		if config.Mounts, err = parseMounts(mounts); err != nil {
			return err
		}
		config.Dir = filepath.Join(data, "work")
		if config.Engine.Name() == "docker" {
			if err := buildImage(c.Context(), config.Engine, config.DefaultImage, busybox); err != nil {
				return err
			}
		}
		r, err := runner.New(config)
		if err != nil {
			return err
		}
		return r.Run(c.Context())
	})
	f := c.Flags()
	f.StringVar(&hubURL, "hub", "http://127.0.0.1:7700", "address of the hub")
	f.StringVar(&token, "token", "", "the runner's token, or @FILE")
	f.StringVar(&data, "data", "landfall-runner", "directory for workspaces")
	f.StringVar(&config.Name, "name", "runner", "name of this runner")
	f.IntVar(&config.Parallel, "parallel", 1, "builds at once")
	f.StringVar(&config.DefaultImage, "image", "landfall/build:busybox", "image for jobs that name none")
	f.StringVar(&busybox, "busybox", "/bin/busybox", "static busybox to make the default image of, where it is missing")
	f.StringSliceVar(&mounts, "mount", nil, "read-only cache for all builds, VARIABLE=HOST[:TARGET]; VARIABLE tells the build where it is")
	f.StringToStringVar(&config.Env, "env", nil, "environment of all builds, KEY=VALUE")
	f.Int64Var(&config.Limits.Pids, "pids", 4096, "processes and threads of a build in a container; 0 means no limit")
	f.Int64Var(&config.Limits.MemoryMB, "memory", 0, "MiB of memory of a build in a container; 0 means no limit")
	f.Float64Var(&config.Limits.CPUs, "cpus", 0, "processors of a build in a container; 0 means all")
	f.BoolVarP(&verbose, "verbose", "v", false, "log details")
	e.flags(c)
	return c
}

// connect gives the runner its ways to the hub.
func connect(config *runner.Config, hubURL, token string) error {
	u, err := url.Parse(hubURL)
	if err != nil || u.Host == "" {
		return fmt.Errorf("%q is no address of a hub: write it like http://127.0.0.1:7700", hubURL)
	}
	client, err := rest.NewClient(hubURL, token, rest.ClientOptions{})
	if err != nil {
		return err
	}
	config.Client, config.HTTP, config.Base = client, http.DefaultClient, hubURL
	config.Authorize = func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) }
	config.Registry = runner.Registry{Host: u.Host, Options: []remote.Option{
		remote.WithAuth(&authn.Basic{Username: "runner", Password: token}),
	}}
	return nil
}

// parseMounts reads VARIABLE=HOST[:TARGET].
func parseMounts(texts []string) ([]engine.Mount, error) {
	var mounts []engine.Mount
	for _, s := range texts {
		variable, paths, ok := strings.Cut(s, "=")
		host, target, both := strings.Cut(paths, ":")
		if !both {
			target = host
		}
		if !ok || variable == "" || !filepath.IsAbs(host) || !filepath.IsAbs(target) {
			return nil, fmt.Errorf("%q is no mount: write VARIABLE=/host/path or VARIABLE=/host/path:/path/in/container", s)
		}
		mounts = append(mounts, engine.Mount{Host: host, Target: target, ReadOnly: true, Env: variable})
	}
	return mounts, nil
}
