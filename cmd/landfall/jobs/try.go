package jobs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// patchSetOf reads the patch set that CHANGE or CHANGE/PATCHSET names: without
// one the current.
func patchSetOf(c *cobra.Command, client kit.Client, name string) (api.Change, api.PatchSet, error) {
	id, number, exact := strings.Cut(name, "/")
	change, err := api.Changes.Read(c.Context(), client, id)
	if err != nil || !exact {
		return change, change.Current(), err
	}
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(change.PatchSets) {
		return change, api.PatchSet{}, kit.Errorf(kit.ErrNotFound, change.Link, "change %s has no patch set %s: the last is %d", id, number, len(change.PatchSets))
	}
	return change, change.PatchSets[n-1], nil
}

func tryCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "try --change CHANGE[/PATCHSET] JOB",
		Short: "Build a job as a patch set defines it, before it has landed",
		Long: "Build a job as a patch set defines it, from the patch set's sources.\n\n" +
			"Nobody has reviewed what such a build does: it is treated as all builds of patch sets are, and decides nothing about the change.",
		Args: cobra.ExactArgs(1),
	}
	name := c.Flags().String("change", "", "the `change`, or CHANGE/PATCHSET")
	params := c.Flags().StringToStringP("param", "p", nil, "parameters, as `NAME=VALUE`")
	_ = c.MarkFlagRequired("change")
	c.RunE = func(c *cobra.Command, args []string) error {
		client, err := h.Client()
		if err != nil {
			return err
		}
		change, ps, err := patchSetOf(c, client, *name)
		if err != nil {
			return err
		}
		made, err := api.Builds.Create(c.Context(), client, "", api.Build{
			Project: change.Project, Job: args[0], Commit: ps.Commit, Change: change.Link, PatchSet: ps.Number, Params: *params,
		})
		if err != nil {
			return err
		}
		b, err := api.Builds.Await(c.Context(), client, made.Link.ID(), func(b api.Build) bool { return b.State != api.BuildCreated })
		if err != nil {
			return err
		}
		if b.State == api.BuildError {
			return &kit.Error{Fault: kit.ErrInvalid, Link: change.Link, Detail: b.Error}
		}
		if h.JSON() {
			return console.WriteJSON(c.OutOrStdout(), b)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s tries %s of change %s, patch set %d: follow it with landfall build log %s\n", b.Link, b.Job, change.Link.ID(), ps.Number, b.Link.ID())
		return nil
	}
	return c
}
