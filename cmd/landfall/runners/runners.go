// Package runners has the commands about the runners of a hub. It decides
// nothing.
package runners

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
)

// Commands returns the commands about runners.
func Commands(h console.Hub) []*cobra.Command {
	return []*cobra.Command{{
		Use: "list", Short: "List the runners of a hub: their engines, whether these answer, and what they have to do",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return list(c, h) },
	}}
}

func list(c *cobra.Command, h console.Hub) error {
	client, err := h.Client()
	if err != nil {
		return err
	}
	all := []api.Runner{}
	for r, err := range api.Runners.All(c.Context(), client, "", "") {
		if err != nil {
			return err
		}
		all = append(all, r)
	}
	if h.JSON() {
		return console.WriteJSON(c.OutOrStdout(), all)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RUNNER\tREPORTED\tENGINE\tHEALTH\tBUILDS\tLABELS\tWHY")
	now := time.Now()
	for _, r := range all {
		for _, e := range r.Engines {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\n", r.Link.ID(), said(r, now), e.Name, e.Health, e.Used, e.Slots, strings.Join(e.Labels, " "), why(e))
		}
	}
	return t.Flush()
}

// said tells when r was last heard of.
func said(r api.Runner, now time.Time) string {
	if r.Silent(now) {
		return "silent since " + r.Reported.Local().Format("2006-01-02 15:04:05")
	}
	return fmt.Sprintf("%d s ago", max(int(now.Sub(r.Reported).Seconds()), 0))
}

// why tells since when e does not answer, and why.
func why(e api.RunnerEngine) string {
	if e.Health == api.EngineAnswers {
		return ""
	}
	return "since " + e.Since.Local().Format("15:04:05") + ": " + console.Cell(e.Error)
}
