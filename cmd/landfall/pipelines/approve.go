package pipelines

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
)

func approveCommand(h console.Hub) *cobra.Command {
	var node string
	c := &cobra.Command{
		Use: "approve RUN", Short: "Approve what a run waits for", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return approve(c, h, args[0], node) },
	}
	c.Flags().StringVar(&node, "node", "", "the approval's id")
	return c
}

func approve(c *cobra.Command, h console.Hub, run, node string) error {
	client, err := h.Client()
	if err != nil {
		return err
	}
	of := func(r api.Run) (n api.NodeRun) {
		if i := slices.IndexFunc(r.Nodes, func(n api.NodeRun) bool { return n.ID == node }); i >= 0 {
			n = r.Nodes[i]
		}
		return n
	}
	r, err := api.Runs.Read(c.Context(), client, run)
	if err != nil {
		return err
	}
	before := len(of(r).Approved)
	if _, err := api.Runs.Send(c.Context(), client, run, "approve", api.ApproveArgs{Node: node}); err != nil {
		return err
	}
	// Who is in a group is found out after the event.
	r, err = api.Runs.Await(c.Context(), client, run, func(r api.Run) bool {
		n := of(r)
		return n.State != api.RunRunning || n.Error != "" || len(n.Approved) > before
	})
	if err != nil {
		return err
	}
	if n := of(r); n.Error != "" {
		return errors.New(n.Error)
	}
	return printRun(c.OutOrStdout(), h, r)
}

const overrideHelp = `Let begin what waits in a run for its window to open, such as a deployment to
production in the night. Who did so, and why, is kept in the run.`

func overrideCommand(h console.Hub) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "override RUN", Short: "Let begin at once what waits for its window", Long: overrideHelp, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := h.Client()
			if err != nil {
				return err
			}
			r, err := api.Runs.Send(c.Context(), client, args[0], "override", api.OverrideArgs{Reason: reason})
			if err != nil {
				return err
			}
			return printRun(c.OutOrStdout(), h, r)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why it cannot wait")
	return c
}

func printRun(w io.Writer, h console.Hub, r api.Run) error {
	if h.JSON() {
		return console.WriteJSON(w, r)
	}
	_, err := fmt.Fprintln(w, strings.Join(Describe(r), "\n"))
	return err
}

// Describe is a run in lines, one for each node.
func Describe(r api.Run) []string {
	lines := []string{fmt.Sprintf("run %s  %s of %s at %s: %s %s", r.Link.ID(), r.Event, r.Project, r.Commit, r.State, r.Error)}
	for i, b := range r.Blocks {
		if b.State == api.RunWaiting && !b.Until.IsZero() {
			spec := r.Plan.Blocks[i]
			lines = append(lines, fmt.Sprintf("  %s %s %s", spec.Type, spec.Name, b.Error))
		}
		lines = append(lines, overridden(string(r.Plan.Blocks[i].Type), b)...)
	}
	for i, n := range r.Nodes {
		lines = append(lines, overridden(n.ID, n)...)
		lines = append(lines, strings.TrimRight(fmt.Sprintf("  %-24s %-9s %6s  %s %s %s", n.ID, n.State, console.Span(n.Started, n.Finished), n.Link, n.Image, n.Error), " "))
		for k, a := range n.Approved {
			lines = append(lines, fmt.Sprintf("  %-24s approved by %s, %s, %d of %d", "", a.By, a.At.Format(time.DateTime), k+1, max(1, r.Plan.Nodes[i].Approvals)))
		}
	}
	if r.Next != "" {
		lines = append(lines, "run again as "+string(r.Next))
	}
	return lines
}

// overridden tells who did not let n wait for its window.
func overridden(what string, n api.NodeRun) []string {
	if n.Override == nil {
		return nil
	}
	return []string{fmt.Sprintf("  %s did not wait for its window: %s, %s", what, n.Override.By, n.Override.Reason)}
}
