package quality

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// change sets what the user has given flags for, and tells whether that was
// anything.
func change(c *cobra.Command, g *api.GateRules, flags api.GateRules) (any bool) {
	given := func(name string) bool {
		any = any || c.Flags().Changed(name)
		return c.Flags().Changed(name)
	}
	if given("new-coverage") {
		g.NewCoverage = flags.NewCoverage
	}
	if given("new-duplication") {
		g.NewDuplication = flags.NewDuplication
	}
	if given("minimum-lines") {
		g.MinimumLines = flags.MinimumLines
	}
	if given("new-issues") {
		g.NewIssues = flags.NewIssues
	}
	if given("level") {
		g.Level = flags.Level
	}
	if given("sonar") {
		g.Sonar = flags.Sonar
	}
	if given("quarantine") {
		g.Quarantine = flags.Quarantine
	}
	return any
}

// gate returns the gate of a project with the changes that change makes, or
// the default one, without a link, if it has none and change makes none.
func gate(ctx context.Context, client kit.Client, project string, change func(*api.GateRules) bool) (api.Gate, error) {
	g, err := api.Gates.Read(ctx, client, project)
	switch {
	case errors.Is(err, kit.ErrNotFound):
		g = api.Gate{GateRules: api.DefaultGate}
		changed := change(&g.GateRules)
		if err := known(ctx, client, project); err != nil || !changed {
			return g, err
		}
		return api.Gates.Create(ctx, client, project, g)
	case err != nil || !change(&g.GateRules):
		return g, err
	}
	return api.Gates.Modify(ctx, client, project, func(g *api.Gate) error {
		change(&g.GateRules)
		return nil
	})
}

// known refuses a project that does not exist. A hub may run without any.
func known(ctx context.Context, client kit.Client, project string) error {
	_, err := api.Projects.Read(ctx, client, project)
	if errors.Is(err, kit.ErrNotFound) {
		return &kit.Error{Fault: kit.ErrNotFound, Link: api.Projects.Link(project), Detail: "there is no such project", Hint: "landfall project list has them"}
	}
	return err
}

// rules says g in words.
func rules(g api.Gate) []string {
	from := "these are the defaults; flags make rules of its own"
	if g.Link != "" {
		from = fmt.Sprintf("%s, version %d", g.Link, g.Version)
	}
	level := g.Level
	if level == "" {
		level = "note"
	}
	coverage := "coverage does not matter"
	if g.NewCoverage > 0 {
		coverage = fmt.Sprintf("at least %d %% of the added lines are covered, judged from %d lines on", g.NewCoverage, g.MinimumLines)
	}
	quarantine := "no test fails"
	if g.Quarantine > 0 {
		quarantine += fmt.Sprintf(", but for flaky ones, until they have passed %d times in a row", g.Quarantine)
	}
	duplication := "duplication does not matter"
	if g.NewDuplication > 0 {
		duplication = fmt.Sprintf("at most %d %% of the added lines are in blocks that are there twice, judged from %d lines on", g.NewDuplication, g.MinimumLines)
	}
	lines := []string{from, "  " + coverage, "  " + duplication, fmt.Sprintf("  at most %d findings of level %s or higher on added lines", g.NewIssues, level), "  " + quarantine}
	if g.Sonar != "" {
		lines = append(lines, "  SonarQube's gate of "+g.Sonar+" passes")
	}
	return lines
}
