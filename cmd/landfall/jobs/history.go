package jobs

import (
	"fmt"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
)

// historyCommand lists the builds of a job, also those from when it had other
// names.
func historyCommand(h console.Hub) *cobra.Command {
	return &cobra.Command{
		Use:   "history PROJECT JOB",
		Short: "List the builds of a job, newest first, also those under the names that it had before",
		Args:  cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			j, err := api.Jobs.Read(c.Context(), client, api.JobID(args[0], args[1]))
			if err != nil {
				return err
			}
			names := append(slices.Clone(j.Formerly), j.Spec.Name)
			filter := fmt.Sprintf("project == %q && job in [", j.Project)
			for _, n := range names {
				filter += fmt.Sprintf("%q, ", n)
			}
			builds := []api.Build{}
			for b, err := range api.Builds.All(c.Context(), client, filter+"]", "-created") {
				if err != nil {
					return err
				}
				builds = append(builds, b)
			}
			if h.JSON() {
				return console.WriteJSON(c.OutOrStdout(), builds)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "BUILD\tJOB\tCOMMIT\tSTATE")
			for _, b := range builds {
				fmt.Fprintf(t, "%s\t%s\t%.12s\t%s\n", b.Link.ID(), b.Job, b.Commit, b.State)
			}
			return t.Flush()
		},
	}
}
