package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/cmd/landfall/upgrades"
)

func (a *app) envCommand() *cobra.Command {
	var e api.Environment
	var strategy, channel string
	var routes, checks []string
	var spare float64
	create := command("create NAME", "Make an environment; its agent is started with a token of its account", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		e.Strategy = api.Strategy(strategy)
		if e.Routes, err = upgrades.Routes(routes); err != nil {
			return err
		}
		if e.Upgrades.Checks, err = upgrades.Checks(checks); err != nil {
			return err
		}
		if e.Upgrades.Spare = spare; spare == 0 {
			e.Upgrades.Spare = -1
		}
		if channel != "" {
			e.Channel = api.Channels.Link(channel)
		}
		made, err := api.Environments.Create(c.Context(), client, args[0], e)
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), made, func(m api.Environment) []string {
			return []string{fmt.Sprintf("made %s (%s, %d nodes) %s", m.Link, m.Strategy, max(m.Nodes, 1), m.Channel)}
		})
	})
	f := create.Flags()
	f.StringVar(&strategy, "strategy", string(api.BlueGreen), "throwaway or bluegreen")
	f.StringVar(&channel, "channel", "", "the channel that it follows, PROJECT-NAME")
	f.IntVar(&e.Nodes, "nodes", 1, "instances of each platform")
	f.IntVar(&e.Parallel, "parallel", 2, "deployments at once, for throwaway")
	f.Float64Var((*float64)(&e.Upgrades.Budget), "budget", 0, "seconds that an upgrade may hold traffic (0: 0.25)")
	f.StringVar((*string)(&e.Upgrades.WayBack), "way-back", "", "asked, required or none: whether upgrades need a way back without loss")
	f.StringVar((*string)(&e.Upgrades.Hold), "hold", "", "manual: upgrades wait, ready, for landfall upgrade go")
	f.Float64Var(&e.Upgrades.Slow, "slow", 0, "greatest share that writers may be slowed by (0: 0.5; -1: not at all)")
	f.Float64Var(&spare, "spare", api.DefaultSpare, "times as long as before that 99 of 100 requests may take while documents are copied (0: the copy is not slowed for that)")
	f.Float64Var((*float64)(&e.Upgrades.Soak), "soak", 0, "seconds that a new version is observed before the next upgrade may begin")
	f.IntVar(&e.Upgrades.Waive, "waive", 0, "documents that cannot be transformed and may stay behind")
	f.StringArrayVar(&routes, "route", nil, "PATTERN=short, stream or upload, as 'GET /log/{id}=stream': how requests take part when traffic is held (repeatable)")
	f.StringArrayVar(&checks, "check", nil, "NAME=MAX of errors (a share), p99 (seconds) or tests: a new version that is over it while it is observed goes back; upgrades.checks of its document takes queries of Prometheus too: url, query, max, for (repeatable)")
	f.StringVar(&e.Description, "description", "", "what it is")
	deployments := command("deployments [CEL FILTER]", "List deployments, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return list(c.Context(), a, c.OutOrStdout(), api.Deployments, strings.Join(args, ""), "-created",
			[]string{"deployment", "environment", "image", "state", "seconds", "error"},
			func(d api.Deployment) []string {
				return []string{d.Link.ID(), d.Environment, upgrades.Short(d.Image), string(d.State), console.Span(d.Started, d.Finished), d.Error}
			})
	})
	status := command("status", "List what the agents say", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return list(c.Context(), a, c.OutOrStdout(), api.Statuses, "", "-updated",
			[]string{"environment", "what", "image", "state", "step", "address", "error"},
			func(s api.Status) []string {
				what := s.Deployment
				if s.Release != "" {
					what = s.Release
				}
				return []string{s.Environment, what.ID(), upgrades.Short(s.Image), string(s.State), s.Step, s.Address, s.Error}
			})
	})
	wait := command("wait ENVIRONMENT WHAT", "Wait until a deployment or release runs in an environment; fails if it does not", cobra.ExactArgs(2), a.envWait)
	return group("env", "Environments", create, deployments, status, wait,
		command("list", "List the environments", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Environments, "", "",
				[]string{"environment", "strategy", "nodes", "channel"},
				func(e api.Environment) []string {
					return []string{e.Link.ID(), string(e.Strategy), strconv.Itoa(max(e.Nodes, 1)), e.Channel.ID()}
				})
		}))
}

func (a *app) envWait(c *cobra.Command, args []string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	if _, err := api.Environments.Read(c.Context(), client, args[0]); err != nil {
		return err
	}
	step := ""
	s, err := api.Statuses.Await(c.Context(), client, args[0]+"~"+args[1], func(s api.Status) bool {
		if s.Step != step && s.Step != "" {
			fmt.Fprintln(c.OutOrStdout(), s.Environment, s.Step)
			step = s.Step
		}
		return s.State.Done()
	})
	if err != nil {
		return err
	}
	fmt.Fprintln(c.OutOrStdout(), s.Environment, s.State, s.Address)
	if s.State != api.DeploymentPassed {
		return fmt.Errorf("%s: %s", s.Link, s.Error)
	}
	return nil
}
