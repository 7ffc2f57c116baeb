package schedule

import (
	"fmt"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// Commands returns the commands about schedules.
func Commands(h console.Hub) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "list [CEL FILTER]", Short: "List the jobs that are built at times of their own, with the next and the last",
			Args: cobra.MaximumNArgs(1), RunE: func(c *cobra.Command, args []string) error {
				return list(c, h, strings.Join(args, ""))
			},
		},
		of("show", "Show a schedule: its next times, and what came of those before", func(c *cobra.Command, client kit.Client, id string) error {
			s, err := api.Schedules.Read(c.Context(), client, id)
			return show(c.OutOrStdout(), h, s, err)
		}, h),
		send("run", "Build the job at once", h),
		send("pause", "Let no more times fire", h),
		send("resume", "Let the times fire again, from now on", h),
	}
}

// of returns a command about one schedule.
func of(verb, short string, do func(c *cobra.Command, client kit.Client, id string) error, h console.Hub) *cobra.Command {
	return &cobra.Command{
		Use: verb + " PROJECT~JOB", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			return do(c, client, args[0])
		},
	}
}

func send(verb, short string, h console.Hub) *cobra.Command {
	return of(verb, short, func(c *cobra.Command, client kit.Client, id string) error {
		s, err := api.Schedules.Send(c.Context(), client, id, verb, nil)
		return show(c.OutOrStdout(), h, s, err)
	}, h)
}

func list(c *cobra.Command, h console.Hub, filter string) error {
	client, err := h.Client()
	if err != nil {
		return err
	}
	all := []api.Schedule{}
	for s, err := range api.Schedules.All(c.Context(), client, filter, "") {
		if err != nil {
			return err
		}
		all = append(all, s)
	}
	if h.JSON() {
		return console.WriteJSON(c.OutOrStdout(), all)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCHEDULE\tSTATE\tNEXT\tLAST\tTIMES")
	for _, s := range all {
		last := ""
		if n := len(s.History); n > 0 {
			last = at(s.History[n-1].Due) + " " + s.History[n-1].State
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", s.Link.ID(), s.State, at(s.Next), last, times(s))
	}
	return t.Flush()
}

// Builds returns the commands about the builds that wait.
func Builds(h console.Hub) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "queue", Short: "List the builds that wait, in the order in which runners take them, and why",
			Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return queue(c, h) },
		},
		{
			Use: "cancel BUILD", Short: "End a build", Args: cobra.ExactArgs(1), RunE: func(c *cobra.Command, args []string) error {
				client, err := h.Client()
				if err != nil {
					return err
				}
				b, err := api.Builds.Send(c.Context(), client, args[0], "cancel", nil)
				if err != nil {
					return err
				}
				if h.JSON() {
					return console.WriteJSON(c.OutOrStdout(), b)
				}
				fmt.Fprintf(c.OutOrStdout(), "%s %s\n", b.Link, b.State)
				return nil
			},
		},
	}
}

func queue(c *cobra.Command, h console.Hub) error {
	var places []api.QueuePlace
	if err := h.Ask(c.Context(), http.MethodGet, "/job/queue", &places); err != nil {
		return err
	}
	if h.JSON() {
		return console.WriteJSON(c.OutOrStdout(), places)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PLACE\tBUILD\tPROJECT\tJOB\tCLASS\tSINCE\tWAITS")
	for _, p := range places {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Position, p.Build.ID(), p.Project, p.Job, p.Class, at(p.Since), p.Why)
	}
	return t.Flush()
}

// at writes a time for a table, nothing for none.
func at(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}
