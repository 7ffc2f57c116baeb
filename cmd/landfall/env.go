package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func (a *app) envCommand() *cobra.Command {
	var e api.Environment
	var strategy, channel string
	create := command("create NAME", "Make an environment; its agent is started with a token of its account", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		e.Strategy = api.Strategy(strategy)
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
	f.StringVar(&e.Description, "description", "", "what it is")
	deployments := command("deployments [CEL FILTER]", "List deployments, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return list(c.Context(), a, c.OutOrStdout(), api.Deployments, strings.Join(args, ""), "-created",
			[]string{"deployment", "environment", "image", "state", "seconds", "error"},
			func(d api.Deployment) []string {
				return []string{d.Link.ID(), d.Environment, short(d.Image), string(d.State), span(d.Started, d.Finished), d.Error}
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
				return []string{s.Environment, what.ID(), short(s.Image), string(s.State), s.Step, s.Address, s.Error}
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

// short cuts the digest of an image to what a person tells apart.
func short(image string) string {
	name, digest, ok := strings.Cut(image, "@sha256:")
	if !ok || len(digest) < 12 {
		return image
	}
	return name + "@" + digest[:12]
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
		if s.Step != step {
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

func (a *app) upgradeCommand() *cobra.Command {
	var lose bool
	rollback := command("rollback UPGRADE", "Go back to blue (at the environment's agent: --url AGENT)", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		u, err := a.sendUpgrade(c, args[0], "rollback", api.RollbackArgs{LoseWrites: lose})
		if err != nil {
			return err
		}
		if u.State != api.UpgradeRolledBack {
			return &kit.Error{Fault: kit.ErrConflict, Link: u.Link, Detail: first(u.Error, "it stayed with green"), Hint: "traffic goes on to green; --lose-writes accepts the loss"}
		}
		return show(a, c.OutOrStdout(), u, describeUpgrade)
	})
	rollback.Flags().BoolVar(&lose, "lose-writes", false, "accept that what was written since the switch is lost")
	return group("upgrade", "Live upgrades",
		command("list", "List upgrades, newest first", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Upgrades, "", "-created",
				[]string{"upgrade", "environment", "to", "state", "cycles", "pause", "error"},
				func(u api.Upgrade) []string {
					return []string{u.Link.ID(), u.Environment, short(u.Green.Image), string(u.State), strconv.Itoa(len(u.Cycles)), pause(u.Pause), u.Error}
				})
		}),
		command("show UPGRADE", "Show an upgrade with its cycles", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			u, err := api.Upgrades.Read(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			return show(a, c.OutOrStdout(), u, describeUpgrade)
		}),
		a.upgradeEvent("abort", "Give an upgrade up before it is committed; blue goes on"),
		a.upgradeEvent("retire", "End the side that traffic has left, and delete its data"),
		command("watch UPGRADE", "Print the cycles of an upgrade as they go, until it has ended", cobra.ExactArgs(1), a.watchUpgrade),
		rollback)
}

// sendUpgrade sends an event to an upgrade, at its agent, and waits until what
// it leads to is done.
func (a *app) sendUpgrade(c *cobra.Command, id, event string, args any) (api.Upgrade, error) {
	client, err := a.client()
	if err != nil {
		return api.Upgrade{}, err
	}
	if _, own, ok := strings.Cut(id, "~"); ok {
		id = own // the hub's name for it has the environment in front
	}
	u, err := api.Upgrades.Send(c.Context(), client, id, event, args)
	if err != nil {
		return u, err
	}
	return api.Upgrades.Await(c.Context(), client, u.Link.ID(), func(u api.Upgrade) bool { return len(u.Pending) == 0 })
}

func (a *app) upgradeEvent(event, short string) *cobra.Command {
	return command(event+" UPGRADE", short+" (at the environment's agent: --url AGENT)", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		u, err := a.sendUpgrade(c, args[0], event, nil)
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), u, describeUpgrade)
	})
}

func pause(d api.Duration) string {
	if d == 0 {
		return ""
	}
	return d.Std().Round(time.Millisecond).String()
}

const cycleHead = "cycle   documents  deletions  seconds     docs/s     left  predicted pause"

func cycleLine(k api.Cycle) string {
	mark := ""
	if k.Final {
		mark = "  final, traffic held"
	}
	return fmt.Sprintf("%5d  %10d %10d %8.3f %10.0f %8d  %-10s %s%s", k.Number, k.Documents, k.Deletions, k.Seconds, k.Rate, k.Left, pause(k.Predicted), bar(k.Documents), mark)
}

// bar draws a number of documents, four marks for each factor of ten.
func bar(documents int64) string {
	return strings.Repeat("#", int(4*math.Log10(float64(documents+1))))
}

func describeUpgrade(u api.Upgrade) []string {
	lines := []string{fmt.Sprintf("%s  %s: %s -> %s  %s %s", u.Link, u.Environment, short(u.Blue.Image), short(u.Green.Image), u.State, u.Error)}
	if len(u.Cycles) > 0 {
		lines = append(lines, cycleHead)
	}
	for _, k := range u.Cycles {
		lines = append(lines, cycleLine(k))
	}
	if u.Verified != nil {
		lines = append(lines, fmt.Sprintf("verified: %d documents in %d buckets, %d different", u.Verified.Documents, u.Verified.Buckets, u.Verified.Different))
	}
	if u.Pause > 0 {
		lines = append(lines, fmt.Sprintf("pause: %s (predicted %s, budget %s)", pause(u.Pause), pause(u.Predicted), pause(u.Budget)))
	}
	return lines
}

// watchUpgrade prints each state and cycle once.
func (a *app) watchUpgrade(c *cobra.Command, args []string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	states, cycle, copied := 0, 0, int64(0)
	out := newProgress(c.OutOrStdout(), "copied")
	u, err := api.Upgrades.Await(c.Context(), client, args[0], func(u api.Upgrade) bool {
		for _, k := range u.Cycles {
			if k.Number <= cycle {
				continue
			}
			if cycle == 0 {
				fmt.Fprintln(out, cycleHead)
			}
			cycle = k.Number
			copied += k.Documents
			fmt.Fprintln(out, cycleLine(k))
			out.set(copied, copied+k.Left)
		}
		if k := u.Copying; k != nil {
			out.set(k.Documents, max(k.Of, k.Documents))
		}
		for ; states < len(u.History); states++ {
			m := u.History[states]
			fmt.Fprintf(out, "%s  %s %s\n", m.At.Format("15:04:05.000"), m.State, m.Text)
		}
		switch u.State {
		case api.UpgradeSoak, api.UpgradeRetired, api.UpgradeAborted, api.UpgradeRolledBack:
			return true
		}
		return false
	})
	out.close()
	if err != nil {
		return err
	}
	if u.State == api.UpgradeAborted {
		return &kit.Error{Fault: kit.ErrConflict, Link: u.Link, Detail: "the upgrade was given up, blue goes on: " + u.Error}
	}
	return nil
}
