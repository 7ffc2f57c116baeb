package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/engines"
	"landfall.dev/kit/rest"
	"landfall.dev/runner"
)

// runnerCommand is the role; more are commands about those that there are.
func runnerCommand(more ...*cobra.Command) *cobra.Command {
	var hubURL, token, data, busybox string
	var mounts []string
	var e engines.Several
	var verbose bool
	config := runner.Config{}
	c := command("runner", "Run builds for a hub", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		secret, err := tokenText(token)
		if err != nil {
			return err
		}
		if secret == "" {
			return errors.New("a runner needs a token: make one by landfall token create accounts/NAME, and give it by --token @FILE")
		}
		config.Logger = logger(verbose)
		if config.Engines, err = e.Open(c.Context(), data, "runner-"+config.Name, config.Parallel); err != nil {
			return err
		}
		alone, err := engines.Alone(data, config.Name, config.Engines)
		if err != nil {
			return err
		}
		defer alone.Close()
		if err := connect(&config, hubURL, secret); err != nil {
			return err
		}
		if config.Mounts, err = engines.Mounts(mounts, e.Far()); err != nil {
			return err
		}
		if config.Limits.MemoryMB < 0 {
			config.Limits.MemoryMB = engines.MemoryMB()
		}
		config.Dir = filepath.Join(data, "work")
		if err := engines.Load(c.Context(), config.Engines, config.DefaultImage, busybox, config.Logger); err != nil {
			return err
		}
		r, err := runner.New(config)
		if err != nil {
			return err
		}
		for _, m := range config.Engines {
			config.Logger.Info("looks for builds", "runner", config.Name, "hub", hubURL, "engine", m.Name, "slots", m.Slots)
		}
		return r.Run(c.Context())
	})
	c.Long = `Run builds for a hub, each in a fresh container, on one or several engines.

With Docker daemons on several machines, name each by --engine NAME=ADDRESS:

  --engine small=unix:///var/run/docker.sock
  --engine big='tcp://10.0.0.7:2376?ca=ca.pem&cert=cert.pem&key=key.pem&slots=8&label=big'
  --engine far='ssh://builder@10.0.0.8?slots=4'

A build goes where its image is, there where its caches are, and there where the
least is to do; a job that names labels goes only to engines that have them all. An
engine that does not answer for 15 seconds gets no builds until it answers. The
workspace is copied to engines over TCP and SSH and back.

landfall runner list, and the page /runners, tell how the engines of all runners
are.

Caches of jobs are volumes of these daemons: landfall cache list shows them.`
	f := c.Flags()
	f.StringVar(&hubURL, "hub", "http://127.0.0.1:7700", "address of the hub")
	f.StringVar(&token, "token", "", "the runner's token, or @FILE")
	f.StringVar(&data, "data", "landfall-runner", "directory for workspaces")
	f.StringVar(&config.Name, "name", "runner", "name of this runner")
	f.IntVar(&config.Parallel, "parallel", 1, "builds at once on an engine that does not say how many")
	f.IntVar(&config.Warm, "warm", 1, "containers kept ready for each image in use, so that builds begin at once; 0 for none")
	f.StringVar(&config.DefaultImage, "image", "landfall/build:busybox", "image for jobs that name none")
	f.StringVar(&busybox, "busybox", "/bin/busybox", "static busybox to make the default image of, where it is missing")
	f.StringSliceVar(&mounts, "mount", nil, "read-only cache for all builds, VARIABLE=HOST[:TARGET]; VARIABLE tells the build where it is")
	f.StringToStringVar(&config.Env, "env", nil, "environment of all builds, KEY=VALUE")
	f.Int64Var(&config.Limits.Pids, "pids", 4096, "processes and threads of a build in a container; 0 means no limit")
	f.Int64Var(&config.Limits.MemoryMB, "memory", -1, "MiB of memory of a build in a container; 0 means no limit, -1 three quarters of this machine's")
	f.Float64Var(&config.Limits.CPUs, "cpus", 0, "processors of a build in a container; 0 means all")
	f.Int64Var(&config.Limits.DiskMB, "disk", 20<<10, "MiB that a build in a container may write; 0 means no limit")
	f.Int64Var(&config.Limits.CachesMB, "caches", 20<<10, "MiB that the caches of a project may take on an engine: what was used least recently goes; 0 means no limit")
	f.Int64Var(&config.ArtifactsMB, "artifacts", 512, "MiB of files that are kept of a build")
	f.BoolVarP(&verbose, "verbose", "v", false, "log details")
	e.Flags(c)
	c.AddCommand(more...)
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
