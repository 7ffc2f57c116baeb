package quality

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// maxShown is how many of a list are shown as text.
const maxShown = 20

// describe returns all that is to be said of r.
func describe(r api.Report) []string {
	lines := []string{strings.TrimSpace(fmt.Sprintf("%s  %s of %s at %.12s: %s %s", r.Link, r.Job, r.Project, r.Commit, r.State, r.Error))}
	for _, c := range r.Conditions {
		lines = append(lines, fmt.Sprintf("  %-9s %-9s %s", c.State, c.Name, c.Text))
	}
	if r.Tests != nil {
		lines = append(lines, fmt.Sprintf("tests: %d passed, %d failed, %d skipped in %s", r.Tests.Passed, r.Tests.Failed, r.Tests.Skipped, seconds(r.Tests.Seconds)))
		lines = append(lines, some(r.Tests.Failures, func(f api.TestFailure) string {
			mark := "failed"
			if f.Quarantined {
				mark = "in quarantine"
			}
			return fmt.Sprintf("%s  %s: %s", mark, f.Name, f.Message)
		})...)
	}
	if r.Coverage != nil {
		lines = append(lines, fmt.Sprintf("coverage: %d of %d lines, %d of %d added ones", r.Coverage.Covered, r.Coverage.Lines, r.Coverage.NewCovered, r.Coverage.NewLines))
		lines = append(lines, some(r.Coverage.Missed, func(m api.MissedLines) string { return "not covered  " + m.File + ": " + m.Lines })...)
	}
	if r.Duplication != nil {
		lines = append(lines, fmt.Sprintf("duplication: %d of %d added lines", r.Duplication.Duplicated, r.Duplication.NewLines))
		lines = append(lines, some(r.Duplication.List, func(m api.MissedLines) string { return "there twice  " + m.File + ": " + m.Lines })...)
	}
	if r.Findings != nil {
		lines = append(lines, fmt.Sprintf("findings: %d, %d new", r.Findings.Total, r.Findings.New))
		lines = append(lines, some(r.Findings.List, func(f api.Finding) string {
			return strings.TrimSpace(fmt.Sprintf("%s:%d: %s: %s  %s", f.File, f.Line, f.Level, f.Message, f.Rule))
		})...)
	}
	return lines
}

// some returns a line for each of the first of a list.
func some[T any](list []T, line func(T) string) []string {
	var lines []string
	for _, x := range list[:min(len(list), maxShown)] {
		lines = append(lines, "  "+line(x))
	}
	if more := len(list) - maxShown; more > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more: see -o json", more))
	}
	return lines
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond).String()
}

func testsCommand(h console.Hub) *cobra.Command {
	return command(h, "tests PROJECT JOB", "Show which of a job's tests are flaky, have failed lately, or are slow", cobra.ExactArgs(2),
		func(c *cobra.Command, client kit.Client, args []string) error {
			history, err := api.Tests.Read(c.Context(), client, args[0]+"~"+args[1])
			if err != nil {
				return err
			}
			return show(c.OutOrStdout(), h, history, histories)
		})
}

// histories returns the lines that tell h.
func histories(h api.TestHistory) []string {
	lines := []string{fmt.Sprintf("%s of %s: the last %d builds, the latest on the right", h.Job, h.Project, len(h.Builds))}
	lines = append(lines, some(h.Tests, func(t api.TestRecord) string {
		line := t.Outcomes + "  " + t.Name
		if t.Flaky != "" {
			line += fmt.Sprintf("  flaky: passed and failed on %.12s", t.Flaky)
		}
		return line
	})...)
	if len(h.Tests) == 0 {
		lines = append(lines, "  no test has failed in them")
	}
	lines = append(lines, "the slowest of the last build:")
	return append(lines, some(h.Slowest, func(t api.TestTime) string {
		return seconds(t.Seconds) + "  " + t.Name
	})...)
}
