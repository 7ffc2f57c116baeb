// Command landfall is the whole product in one binary: the hub, the agent,
// the runner and the client. Each role and each group of
// client commands has a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/cmd/landfall/builds"
	"landfall.dev/cmd/landfall/caches"
	"landfall.dev/cmd/landfall/inventory"
	"landfall.dev/cmd/landfall/jobs"
	"landfall.dev/cmd/landfall/quality"
	"landfall.dev/cmd/landfall/runners"
	"landfall.dev/cmd/landfall/schedule"
	"landfall.dev/cmd/landfall/secret"
	"landfall.dev/kit"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == plan.Command {
		os.Exit(plan.Child(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := root().ExecuteContext(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			os.Exit(130)
		}
		if code := jobs.Exit(0); errors.As(err, &code) {
			os.Exit(int(code))
		}
		fmt.Fprintln(os.Stderr, "landfall:", message(err))
		os.Exit(1)
	}
}

// message is what a user is told of err: what is wrong, then what to do.
func message(err error) string {
	var e *kit.Error
	if !errors.As(err, &e) || e.Detail == "" {
		return err.Error()
	}
	s := e.Detail
	if e.Link.ID() != "" {
		s = string(e.Link) + ": " + s
	}
	hint := e.Hint
	if hint == "" && e.Err != nil && errors.Is(err, kit.ErrUnavailable) {
		hint = unanswered(e.Err)
	}
	if hint != "" {
		s += "\n  " + hint
	}
	return strings.Replace(err.Error(), e.Error(), s, 1) // what wraps it says more
}

func root() *cobra.Command {
	c := &cobra.Command{
		Use:           "landfall",
		Short:         "Carry changes from a patch to every place where a platform runs",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	a := &app{}
	a.flags(c)
	c.AddGroup(
		&cobra.Group{ID: "roles", Title: "Roles:"},
		&cobra.Group{ID: "client", Title: "Client commands:"},
	)
	for _, sub := range []*cobra.Command{hubCommand(), runnerCommand(runners.Commands(hubOf{a})...), agentCommand(), a.frontCommand(), demoCommand()} {
		sub.GroupID = "roles"
		c.AddCommand(sub)
	}
	for _, sub := range []*cobra.Command{
		a.loginCommand(), a.userCommand(), a.accountCommand(), a.tokenCommand(), a.projectCommand(),
		a.changeCommand(), a.jobCommand(), group("build", "Builds: executions of jobs", append(builds.Commands(hubOf{a}), schedule.Builds(hubOf{a})...)...), group("cache", "Caches of builds, on a runner's engines", caches.Commands(hubOf{a})...), group("schedule", "Jobs that are built at times of their own", schedule.Commands(hubOf{a})...), a.pipelineCommand(), group("secret", "Secrets that builds are given", secret.Commands(hubOf{a})...), group("quality", "Verdicts on what builds report", quality.Commands(hubOf{a})...), group("inventory", "Dependencies: licences, known vulnerabilities, policies", inventory.Commands(hubOf{a})...), a.imageCommand(),
		a.envCommand(), a.releaseCommand(), a.channelCommand(), a.trustCommand(), a.upgradeCommand(), a.docCommand(), a.clusterCommand(), a.accessCommand(), a.auditCommand(),
	} {
		sub.GroupID = "client"
		c.AddCommand(sub)
	}
	c.Args = cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	advise(c)
	return c
}
