package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/engines"
	"landfall.dev/site/agent"
)

func agentCommand() *cobra.Command {
	var config agent.Config
	var e engines.One
	var token, name string
	var verbose bool
	c := command("agent", "Run an environment: deployments and live upgrades", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		config.Logger = logger(verbose)
		config.Token = token
		if path, ok := strings.CutPrefix(token, "@"); ok {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			config.Token = strings.TrimSpace(string(b))
		}
		if err := os.MkdirAll(config.Data, 0o700); err != nil {
			return err
		}
		var err error
		if config.Engine, err = e.Open(c.Context(), config.Data, "agent-"+name); err != nil {
			return err
		}
		a, err := agent.New(config)
		if err != nil {
			return err
		}
		return a.Run(c.Context())
	})
	c.Long = `Run an environment: deployments and live upgrades.

On the address of --listen it also tells Prometheus, with a token that may list
upgrades, how they go: /metrics/upgrades has each one's state, cycles, rate, what
is left, and the predicted and the actual pause. /metrics has its requests, and
/front what its front doors do.`
	f := c.Flags()
	f.StringVar(&config.Hub, "hub", "", "address of the hub")
	f.StringVar(&token, "token", "", "the agent's token, or @FILE: it carries the digest of the trust root")
	f.StringVar(&config.Data, "data", "landfall-agent", "directory for all that the agent keeps")
	f.StringVar(&config.Listen, "listen", "127.0.0.1:7710", "address of the agent's own API, on loopback")
	f.StringVar(&config.Front, "front", "", "address of the front door; empty: none")
	f.StringVar(&name, "name", "agent", "tells this agent's containers from others' on one Docker daemon")
	f.BoolVarP(&verbose, "verbose", "v", false, "log details")
	e.Flags(c)
	_ = c.MarkFlagRequired("hub") // the flags exist
	_ = c.MarkFlagRequired("token")
	c.AddCommand(clearCommand())
	return c
}

// clearCommand ends everything that an agent, which must not run, has left
// running.
func clearCommand() *cobra.Command {
	var e engines.One
	var data, name string
	c := command("clear", "End the platforms that a stopped agent runs; their data stays", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		engine, err := e.Open(c.Context(), data, "agent-"+name)
		if err != nil {
			return err
		}
		running, err := engine.List(c.Context())
		if err != nil {
			return err
		}
		for _, s := range running {
			if err := engine.Stop(c.Context(), s.Group); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "ended %s/%s\n", s.Group, s.Name)
		}
		return nil
	})
	f := c.Flags()
	f.StringVar(&data, "data", "landfall-agent", "the agent's directory")
	f.StringVar(&name, "name", "agent", "the agent's name")
	e.Flags(c)
	return c
}
