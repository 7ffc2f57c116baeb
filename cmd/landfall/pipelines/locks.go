package pipelines

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
)

func locksCommand(h console.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "locks", Short: "List the locks of pipelines, who holds them and who waits", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			var all []api.RunLock
			for l, err := range api.RunLocks.All(c.Context(), client, "", "link") {
				if err != nil {
					return err
				}
				all = append(all, l)
			}
			if h.JSON() {
				return console.WriteJSON(c.OutOrStdout(), all)
			}
			t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintln(t, "LOCK\tHELD BY\tSINCE\tWAITING")
			for _, l := range all {
				if len(l.Holders) == 0 {
					fmt.Fprintf(t, "%s\t\t\t\n", l.Link.ID())
					continue
				}
				holder := l.Holders[0]
				fmt.Fprintf(t, "%s\t%s\t%s\t%d\n", l.Link.ID(), holder.Run, holder.Since.Format("2006-01-02 15:04:05"), len(l.Holders)-1)
			}
			return t.Flush()
		},
	}
}

func unlockCommand(h console.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "unlock LOCK", Short: "Take a lock away from the run that holds it, which goes on without; the next one gets it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			l, err := api.RunLocks.Send(c.Context(), client, args[0], "release", nil)
			if err != nil {
				return err
			}
			holder := "nobody"
			if len(l.Holders) > 0 {
				holder = string(l.Holders[0].Run)
			}
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s is now held by %s\n", args[0], holder)
			return err
		},
	}
}
