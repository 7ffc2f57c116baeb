package quality

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// Commands returns the commands.
func Commands(h console.Hub) []*cobra.Command {
	return []*cobra.Command{showCommand(h), judgeCommand(h), gateCommand(h), testsCommand(h)}
}

// command returns a command that calls do with the hub's documents.
func command(h console.Hub, use, short string, args cobra.PositionalArgs, do func(c *cobra.Command, client kit.Client, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: func(c *cobra.Command, args []string) error {
		client, err := h.Client()
		if err != nil {
			return err
		}
		// A document that is not there must not be taken for a hub without any.
		if _, err := client.List(c.Context(), kit.Query{Kind: api.Reports.Name, Limit: 1}); errors.Is(err, kit.ErrNotFound) {
			return err
		}
		return do(c, client, args)
	}}
}

// show prints a value as JSON, or as lines of text.
func show[T any](w io.Writer, h console.Hub, v T, text func(T) []string) error {
	if h.JSON() {
		return console.WriteJSON(w, v)
	}
	for _, line := range text(v) {
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

func showCommand(h console.Hub) *cobra.Command {
	return command(h, "show BUILD|CHANGE", "Show the verdict on a build's reports, or on all of a change's current patch set", cobra.ExactArgs(1),
		func(c *cobra.Command, client kit.Client, args []string) error {
			reports, err := reportsOf(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), h, reports, func(all []api.Report) (lines []string) {
				for _, r := range all {
					lines = append(lines, describe(r)...)
				}
				return lines
			})
		})
}

// reportsOf returns the report of a build, or those of a change, whose ids are
// numbers.
func reportsOf(ctx context.Context, client kit.Client, id string) ([]api.Report, error) {
	if _, err := strconv.Atoi(id); err != nil {
		r, err := reportOf(ctx, client, id)
		return []api.Report{r}, err
	}
	change, err := api.Changes.Read(ctx, client, id)
	if err != nil {
		return nil, err
	}
	var all []api.Report
	filter := fmt.Sprintf("change == %q && patchSet == %d", change.Link, change.Current().Number)
	for r, err := range api.Reports.All(ctx, client, filter, "created") {
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if len(all) == 0 {
		return nil, &kit.Error{Fault: kit.ErrNotFound, Link: change.Link, Detail: fmt.Sprintf("no build of patch set %d has kept reports", change.Current().Number), Hint: "they are what a job's definition names under reports, and judged once the build has ended"}
	}
	return all, nil
}

// reportOf says of a build without a report why it has none.
func reportOf(ctx context.Context, client kit.Client, build string) (api.Report, error) {
	r, err := api.Reports.Read(ctx, client, build)
	if !errors.Is(err, kit.ErrNotFound) {
		return r, err
	}
	b, buildErr := api.Builds.Read(ctx, client, build)
	switch {
	case buildErr != nil:
		return r, buildErr
	case !b.State.Done():
		return r, kit.Errorf(kit.ErrNotFound, b.Link, "the build is %s: its reports are judged once it has ended", b.State)
	case len(b.Reports) == 0:
		return r, &kit.Error{Fault: kit.ErrNotFound, Link: b.Link, Detail: "the build has kept no reports", Hint: "name the files that its job writes under reports in the definition"}
	}
	return r, err
}

func judgeCommand(h console.Hub) *cobra.Command {
	return command(h, "judge BUILD", "Judge a build's reports again, as when the gate has changed, and show the verdict", cobra.ExactArgs(1),
		func(c *cobra.Command, client kit.Client, args []string) error {
			if _, err := api.Reports.Send(c.Context(), client, args[0], "judge", nil); err != nil {
				return err
			}
			r, err := api.Reports.Await(c.Context(), client, args[0], func(r api.Report) bool { return r.State != api.ReportJudging })
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), h, r, describe)
		})
}

func gateCommand(h console.Hub) *cobra.Command {
	flags := api.DefaultGate
	c := command(h, "gate PROJECT", "Show the rules that a project's reports are judged by; flags change them", cobra.ExactArgs(1),
		func(c *cobra.Command, client kit.Client, args []string) error {
			g, err := gate(c.Context(), client, args[0], func(g *api.GateRules) bool { return change(c, g, flags) })
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), h, g, rules)
		})
	f := c.Flags()
	f.IntVar(&flags.NewCoverage, "new-coverage", flags.NewCoverage, "percentage of the added lines that tests must come through; 0: it does not matter")
	f.IntVar(&flags.NewDuplication, "new-duplication", flags.NewDuplication, "percentage of the added lines that may be in blocks that the sources have twice; 0: it does not matter")
	f.IntVar(&flags.MinimumLines, "minimum-lines", flags.MinimumLines, "from how many added lines on these are judged")
	f.IntVar(&flags.NewIssues, "new-issues", flags.NewIssues, "how many findings there may be on added lines")
	f.StringVar(&flags.Level, "level", "note", "the lowest level of findings that counts: note, warning or error")
	f.StringVar(&flags.Sonar, "sonar", "", "key of the project on the hub's SonarQube server whose gate must pass too, for builds that keep the scanner's report-task.txt")
	f.IntVar(&flags.Quarantine, "quarantine", flags.Quarantine, "how often in a row a flaky test must pass until its failures count again; 0: they always count")
	return c
}
