package main

import (
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/upgrades"
	"landfall.dev/kit"
)

func (a *app) upgradeCommand() *cobra.Command {
	var lose, soak bool
	rollback := command("rollback UPGRADE", "Go back to blue (at the environment's agent: --url AGENT)", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		u, err := a.sendUpgrade(c, args[0], "rollback", api.RollbackArgs{LoseWrites: lose})
		if err != nil {
			return err
		}
		if u.State != api.UpgradeRolledBack {
			return &kit.Error{Fault: kit.ErrConflict, Link: u.Link, Detail: first(u.Error, "it stayed with green"), Hint: "traffic goes on to green; --lose-writes gives up what cannot be taken back"}
		}
		return show(a, c.OutOrStdout(), u, upgrades.Describe)
	})
	rollback.Flags().BoolVar(&lose, "lose-writes", false, "give up what was written since the switch and cannot be taken back: for a green that is dead")
	watch := command("watch UPGRADE", "Print the cycles of an upgrade as they go, until it has ended", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		return upgrades.Watch(c.Context(), client, c.OutOrStdout(), args[0], soak)
	})
	watch.Flags().BoolVar(&soak, "soak", false, "go on while blue is kept: print how far it is behind")
	abort := a.upgradeEvent("abort", "Give an upgrade up before it is committed; blue goes on")
	abort.Aliases = []string{"cancel"}
	return group("upgrade", "Live upgrades",
		command("list", "List upgrades, newest first", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Upgrades, "", "-created",
				[]string{"upgrade", "environment", "to", "state", "cycles", "pause", "error"},
				func(u api.Upgrade) []string {
					return []string{u.Link.ID(), u.Environment, upgrades.Short(u.Green.Image), upgrades.State(u), strconv.Itoa(len(u.Cycles)), upgrades.Pause(u.Pause), u.Error}
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
			return show(a, c.OutOrStdout(), u, upgrades.Describe)
		}),
		command("rehearse ENVIRONMENT RELEASE|IMAGE", "Try an upgrade against what runs, all but to hold and switch traffic, and report", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			return upgrades.Rehearse(c.Context(), client, c.OutOrStdout(), args[0], args[1])
		}),
		a.upgradeEvent("pause", "Begin no hold until the upgrade is resumed; the copy goes on slowly"),
		a.upgradeEvent("resume", "Go on with an upgrade that is paused"),
		a.upgradeEvent("go", "Begin the cutover of an upgrade whose hold is manual"),
		abort,
		a.upgradeEvent("retire", "End the side that traffic has left, and delete its data"),
		watch, rollback, a.quarantineCommand())
}

// quarantineCommand lists what cannot be transformed, and has it retried or
// given up.
func (a *app) quarantineCommand() *cobra.Command {
	c := command("quarantine UPGRADE", "List the documents that an upgrade cannot transform", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		client, err := a.client()
		if err != nil {
			return err
		}
		u, err := api.Upgrades.Read(c.Context(), client, args[0])
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), u, upgrades.Quarantine)
	})
	mend := func(cmd *cobra.Command, id, event string, args any) error {
		u, err := a.sendUpgrade(cmd, id, event, args)
		if err != nil {
			return err
		}
		return show(a, cmd.OutOrStdout(), u, upgrades.Quarantine)
	}
	c.AddCommand(
		command("retry UPGRADE", "Take the documents in quarantine once more now (at the environment's agent: --url AGENT)", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			return mend(c, args[0], "retry", nil)
		}),
		command("waive UPGRADE LINK...", "Give documents in quarantine up: they stay behind (at the environment's agent: --url AGENT)", cobra.MinimumNArgs(2), func(c *cobra.Command, args []string) error {
			return mend(c, args[0], "waive", upgrades.Waived(args[1:]))
		}))
	return c
}

// sendUpgrade sends an event to an upgrade, at its agent, and waits until what
// it leads to is done.
func (a *app) sendUpgrade(c *cobra.Command, id, event string, args any) (api.Upgrade, error) {
	client, err := a.client()
	if err != nil {
		return api.Upgrade{}, err
	}
	own := id[strings.Index(id, "~")+1:] // the hub's name for it has the environment in front
	u, err := api.Upgrades.Send(c.Context(), client, own, event, args)
	if own != id && errors.Is(err, kit.ErrNotFound) {
		if _, there := api.Upgrades.Read(c.Context(), client, id); there == nil {
			return u, &kit.Error{
				Fault: kit.ErrConflict, Link: api.Upgrades.Link(id), Detail: "the hub only shows it: an upgrade is steered at its agent",
				Hint: "add --url AGENT --token @DATA/node/admin.token, of landfall agent --listen AGENT --data DATA",
			}
		}
	}
	if err != nil || event == "resume" {
		return u, err
	}
	return api.Upgrades.Await(c.Context(), client, u.Link.ID(), upgrades.Done(event))
}

func (a *app) upgradeEvent(event, short string) *cobra.Command {
	return command(event+" UPGRADE", short+" (at the environment's agent: --url AGENT)", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		u, err := a.sendUpgrade(c, args[0], event, nil)
		if err != nil {
			return err
		}
		return show(a, c.OutOrStdout(), u, upgrades.Describe)
	})
}
