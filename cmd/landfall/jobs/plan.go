package jobs

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

func planCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan PROJECT",
		Short: "Compare a project's definitions with the jobs that are deployed; exit code 2 tells of changes",
		Args:  cobra.ExactArgs(1),
	}
	commit := c.Flags().String("commit", "", "the commit of the definitions, such as that of a patch set (default: the tip of main)")
	c.RunE = func(c *cobra.Command, args []string) error {
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

func ask(c *cobra.Command, h console.Hub, project, commit string) (p api.JobPlan, err error) {
	return p, h.Ask(c.Context(), http.MethodGet, "/job/plan/"+url.PathEscape(project)+"?commit="+url.QueryEscape(commit), &p)
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
	marks := map[api.JobAction]string{api.JobCreate: "+ create", api.JobDelete: "- delete", api.JobRename: "> rename"}
	var lines []string
	for _, e := range p.Changes {
		if mark, ok := marks[e.Action]; ok {
			lines = append(lines, strings.TrimSuffix(mark+"  "+e.Job+"  from "+e.From, "  from "))
		}
	}
	for _, g := range grouped(p.Changes) {
		lines = append(lines, "~ update  "+g.title+" in "+among(g.jobs))
		lines = append(lines, g.lines...)
	}
	n := p.Counts
	lines = append(lines, fmt.Sprintf("%s at %.12s: %s", p.Project, p.Commit, counts(n)))
	if p.Confirm != "" {
		lines = append(lines, p.Confirm+": landfall job apply "+p.Project+" needs --confirm")
	}
	return lines
}

func counts(n api.JobChanges) string {
	text := fmt.Sprintf("%d created, %d updated, %d deleted, %d unchanged", n.Created, n.Updated, n.Deleted, n.Unchanged)
	if n.Renamed > 0 {
		text += fmt.Sprintf(", %d renamed", n.Renamed)
	}
	if n.Repaired > 0 {
		text += fmt.Sprintf("; %d of them had been changed by hand", n.Repaired)
	}
	return text
}

// edit is a change that some jobs have in common.
type edit struct {
	title string
	lines []string
	jobs  []string
}

// grouped returns the changes of fields, those of most jobs first.
func grouped(changes []api.JobEdit) []edit {
	var all []edit
	index := map[string]int{}
	for _, c := range changes {
		for _, f := range c.Fields {
			title, lines := fieldLines(f)
			key := title + "\n" + strings.Join(lines, "\n")
			i, ok := index[key]
			if !ok {
				i = len(all)
				index[key] = i
				all = append(all, edit{title: title, lines: lines})
			}
			all[i].jobs = append(all[i].jobs, c.Job)
		}
	}
	slices.SortStableFunc(all, func(a, b edit) int { return cmp.Compare(len(b.jobs), len(a.jobs)) })
	return all
}

// fieldLines tells the change of a field, of a long one by its lines.
func fieldLines(f api.FieldEdit) (title string, lines []string) {
	if !strings.Contains(f.Before+f.After, "\n") && len(f.Before+f.After) < 100 {
		return fmt.Sprintf("%s: %s -> %s", f.Field, cmp.Or(f.Before, "nothing"), cmp.Or(f.After, "nothing")), nil
	}
	return f.Field, changedLines(split(f.Before), split(f.After))
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// maxLines bounds the lines that are compared one by one.
const maxLines = 2000

// changedLines returns the lines that are only in a, after a minus, and those
// only in b, after a plus: all but a longest common subsequence.
func changedLines(a, b []string) []string {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a) > maxLines || len(b) > maxLines {
		return []string{fmt.Sprintf("    %d lines become %d others", len(a), len(b))}
	}
	common := make([][]int, len(a)+1) // the length of that of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "    - "+a[i])
			i++
		default:
			out = append(out, "    + "+b[j])
			j++
		}
	}
	return out
}

// among names a few of many jobs.
func among(names []string) string {
	const few = 3
	switch {
	case len(names) == 1:
		return names[0]
	case len(names) <= few:
		return fmt.Sprintf("%d jobs: %s", len(names), strings.Join(names, ", "))
	}
	return fmt.Sprintf("%d jobs: %s, ...", len(names), strings.Join(names[:few], ", "))
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
		}
		asked, err := api.Generations.Send(c.Context(), client, project, "deploy", wish)
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
		fmt.Fprintf(c.OutOrStdout(), "%s at %.12s, generation %d: %s\n", project, g.Commit, g.Number, counts(g.Last))
		return nil
	}
	return c
}
