package jobs

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/job/difference"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

func planCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan PROJECT | --change CHANGE[/PATCHSET]",
		Short: "Compare a project's definitions with the jobs that are deployed, or show what a patch set would change; exit code 2 tells of changes",
		Args:  cobra.MaximumNArgs(1),
	}
	commit := c.Flags().String("commit", "", "the commit of the definitions (default: the tip of main)")
	change := c.Flags().String("change", "", "the `change`, or CHANGE/PATCHSET: what it changes itself, whatever has landed since it was made")
	c.RunE = func(c *cobra.Command, args []string) error {
		if *change != "" && len(args) == 0 && *commit == "" {
			return showProposal(c, h, *change)
		}
		if *change != "" || len(args) == 0 {
			return fmt.Errorf("name a project, or a change with --change")
		}
		p, err := ask(c, h, args[0], *commit)
		if err != nil {
			return err
		}
		if err := showPlan(c.OutOrStdout(), h, p); err != nil {
			return err
		}
		if len(p.Changes) > 0 {
			return Exit(2)
		}
		return nil
	}
	return c
}

// showProposal prints the plan of a patch set, once it is made.
func showProposal(c *cobra.Command, h console.Hub, name string) error {
	client, err := h.Client()
	if err != nil {
		return err
	}
	change, ps, err := patchSetOf(c, client, name)
	if err != nil {
		return err
	}
	if change.Branch != "main" {
		return kit.Errorf(kit.ErrInvalid, change.Link, "it is for the branch %s: only what is on main is deployed", change.Branch)
	}
	id := api.ProposalID(change.Link, ps.Number)
	if change.Status != api.ChangeOpen || ps.Number != change.Current().Number {
		if _, err := api.Proposals.Read(c.Context(), client, id); err != nil {
			return err // it came and went before it could be planned
		}
	}
	p, err := api.Proposals.Await(c.Context(), client, id, func(p api.Proposal) bool { return p.State != api.ProposalPlanning })
	if err != nil {
		return err
	}
	if h.JSON() {
		if err := console.WriteJSON(c.OutOrStdout(), p); err != nil {
			return err
		}
	} else {
		for _, line := range p.Lines(math.MaxInt) {
			fmt.Fprintln(c.OutOrStdout(), line)
		}
	}
	switch {
	case p.State == api.ProposalWrong:
		return Exit(1)
	case len(p.Groups) > 0:
		return Exit(2)
	}
	return nil
}

func ask(c *cobra.Command, h console.Hub, project, commit string) (p api.JobPlan, err error) {
	err = h.Ask(c.Context(), http.MethodGet, "/job/plan/"+url.PathEscape(project)+"?commit="+url.QueryEscape(commit), &p)
	warn(c, p.Warning)
	return p, err
}

// warn tells what may not be as somebody thinks it is.
func warn(c *cobra.Command, text string) {
	if text != "" {
		fmt.Fprintln(c.ErrOrStderr(), "landfall: warning:", text)
	}
}

func showPlan(w io.Writer, h console.Hub, p api.JobPlan) error {
	if h.JSON() {
		return console.WriteJSON(w, p)
	}
	for _, line := range describe(p) {
		fmt.Fprintln(w, line)
	}
	return nil
}

// describe returns the lines that tell p, with equal changes of several jobs
// told once.
func describe(p api.JobPlan) []string {
	var lines []string
	for _, g := range difference.Groups(p.Changes) {
		lines = append(lines, g.String())
		for _, l := range g.Lines {
			lines = append(lines, "    "+l)
		}
	}
	lines = append(lines, fmt.Sprintf("%s at %.12s: %s", p.Project, p.Commit, p.Counts))
	if p.Confirm != "" {
		lines = append(lines, p.Confirm+": landfall job apply "+p.Project+" needs --confirm")
	}
	return lines
}

func applyCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "apply PROJECT",
		Short: "Make a project's jobs what the definitions on its main branch say, all at once, and repair what was changed by hand",
		Args:  cobra.ExactArgs(1),
	}
	confirm := c.Flags().Bool("confirm", false, "delete as many jobs as the definitions do not have any more")
	back := c.Flags().Int("back", 0, "go back to the `generation` of this number, until the main branch moves")
	c.RunE = func(c *cobra.Command, args []string) error {
		project, wish := args[0], api.DeployJobsArgs{Back: *back}
		client, err := h.Client()
		if err != nil {
			return err
		}
		if *confirm {
			p, err := ask(c, h, project, "")
			if err != nil {
				return err
			}
			wish.Confirm = p.Commit
		} else if *back == 0 {
			_, _ = ask(c, h, project, "") // for its warning: what is wrong the deployment says
		}
		asked, err := api.Generations.Send(c.Context(), client, project, "deploy", wish)
		if errors.Is(err, kit.ErrNotFound) {
			err = kit.Errorf(kit.ErrNotFound, api.Projects.Link(project), "there is no such project, or it has no branch main: landfall project list has those that there are")
		}
		if err != nil {
			return err
		}
		g, err := api.Generations.Await(c.Context(), client, project, func(g api.Generation) bool {
			return g.State != api.GenerationDeploying && g.Asked >= asked.Asked
		})
		if err != nil {
			return err
		}
		if g.State != api.GenerationDeployed {
			return &kit.Error{Fault: kit.ErrConflict, Link: g.Link, Detail: g.Error}
		}
		if h.JSON() {
			return console.WriteJSON(c.OutOrStdout(), g)
		}
		fmt.Fprintf(c.OutOrStdout(), "%s at %.12s, generation %d: %s\n", project, g.Commit, g.Number, g.Last)
		return nil
	}
	return c
}
