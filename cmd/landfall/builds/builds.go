// Package builds has the commands about builds: what came of them, their logs,
// and running them on one's own machine.
package builds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// Hub is how the commands reach the hub.
type Hub interface {
	console.Hub
	// Transfer sends a request to a raw route of the hub and returns what it
	// answers with, which the caller closes.
	Transfer(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error)
	// Follow returns the Server-Sent Events of a route.
	Follow(ctx context.Context, path string) (io.ReadCloser, error)
}

// Commands returns the commands about builds.
func Commands(h Hub) []*cobra.Command {
	return []*cobra.Command{
		{
			Use: "list [CEL FILTER]", Short: "List builds, newest first", Args: cobra.MaximumNArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return list(c, h, strings.Join(args, "")) },
		},
		{
			Use: "show BUILD", Short: "Show a build", Args: cobra.ExactArgs(1),
			RunE: func(c *cobra.Command, args []string) error { return show(c, h, args[0]) },
		},
		logCommand(h), runCommand(h), reproduceCommand(h), keepCommand(h), shellCommand(h),
	}
}

func list(c *cobra.Command, h Hub, filter string) error {
	client, err := h.Client()
	if err != nil {
		return err
	}
	all := []api.Build{}
	for b, err := range api.Builds.All(c.Context(), client, filter, "-created") {
		if err != nil {
			return err
		}
		all = append(all, b)
	}
	if h.JSON() {
		return console.WriteJSON(c.OutOrStdout(), all)
	}
	t := tabwriter.NewWriter(c.OutOrStdout(), 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BUILD\tJOB\tCOMMIT\tSTATE\tSECONDS\tNAME")
	for _, b := range all {
		name := strings.TrimSpace(b.Name + "  " + b.Description)
		fmt.Fprintf(t, "%s\t%s\t%.12s\t%s\t%s\t%s\n", b.Link.ID(), b.Job, b.Commit, b.State, console.Span(b.Started, b.Finished), name)
	}
	return t.Flush()
}

func show(c *cobra.Command, h Hub, id string) error {
	b, err := read(c.Context(), h, id)
	if err != nil {
		return err
	}
	if h.JSON() {
		return console.WriteJSON(c.OutOrStdout(), b)
	}
	w := c.OutOrStdout()
	fmt.Fprintf(w, "build %s  %s of %s at %s: %s %s\n", b.Link.ID(), b.Job, b.Project, b.Commit, b.State, b.Error)
	for _, line := range []string{b.Name, b.Description} {
		if line != "" {
			fmt.Fprintln(w, line)
		}
	}
	var facts []string
	if b.Source != "" {
		facts = append(facts, "from "+string(b.Source))
	}
	if b.Runner != "" {
		facts = append(facts, fmt.Sprintf("on %s, attempt %d, %s s", b.Runner, b.Attempt, console.Span(b.Started, b.Finished)))
	}
	if len(facts) > 0 {
		fmt.Fprintln(w, strings.Join(facts, ", "))
	}
	if b.LogMissing != 0 {
		fmt.Fprintln(w, incomplete(b.LogMissing))
	}
	if b.BuildImage != "" {
		fmt.Fprintf(w, "in %s\n", b.BuildImage)
	}
	if b.Image != "" {
		fmt.Fprintf(w, "image %s\n", b.Image)
	}
	return nil
}

// incomplete says how many lines of a log are missing.
func incomplete(missing int64) string {
	if missing < 0 {
		return "the log is incomplete: lines are missing, and nobody knows how many"
	}
	return fmt.Sprintf("the log is incomplete: %d lines are missing", missing)
}

func read(ctx context.Context, h Hub, id string) (api.Build, error) {
	client, err := h.Client()
	if err != nil {
		return api.Build{}, err
	}
	return api.Builds.Read(ctx, client, id)
}

// order is what a build is ordered with.
type order struct {
	project, commit string
	params          map[string]string
	keep, detach    bool
	local           localRun
}

func runCommand(h Hub) *cobra.Command {
	var o order
	c := &cobra.Command{
		Use: "run JOB", Short: "Build a job on the hub, or with --local on this machine, and follow its log", Args: cobra.ExactArgs(1),
		Long: `Orders a build of a job of a project at a commit, by default the tip of its main
branch, and prints its log. It fails if the build does not pass.

With --local nothing is ordered: the definitions in the folder jobs of the
working tree are expanded, and the job is run in the Docker of this machine, in
a container of the same image, with the same limits, mounts and script as on a
runner, on a copy of the files that Git knows or would add. Artifacts, reports
and images are not kept. Secrets that --secret does not give are left out, and
named.`,
		RunE: func(c *cobra.Command, args []string) error {
			if o.local.on {
				return o.local.run(c, args[0], o.params)
			}
			return o.run(c, h, args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&o.project, "project", "", "the job's project")
	f.StringVar(&o.commit, "commit", "", "what is built (default: the tip of main)")
	f.StringToStringVarP(&o.params, "param", "p", nil, "a parameter of the job, NAME=VALUE")
	f.BoolVar(&o.keep, "keep", false, "if it fails, keep its container for an hour: see landfall build shell")
	f.BoolVar(&o.detach, "detach", false, "do not wait for its end")
	o.local.flags(f)
	f.BoolVar(&o.local.on, "local", false, "run it here, from the working tree")
	f.StringVar(&o.local.tree, "dir", ".", "with --local: the working tree")
	return c
}

func (o order) run(c *cobra.Command, h Hub, job string) error {
	if o.project == "" {
		return errors.New("name the job's project: --project NAME; or run the job here, from the working tree: --local")
	}
	client, err := h.Client()
	if err != nil {
		return err
	}
	if o.commit == "" {
		ref, err := api.Refs.Read(c.Context(), client, api.RefID(o.project, "refs/heads/main"))
		if errors.Is(err, kit.ErrNotFound) {
			if _, err := api.Projects.Read(c.Context(), client, o.project); err != nil {
				return err
			}
			return fmt.Errorf("%s has no main branch: name the commit with --commit", o.project)
		}
		if err != nil {
			return err
		}
		o.commit = ref.Commit
	}
	b, err := api.Builds.Create(c.Context(), client, "", api.Build{Project: o.project, Job: job, Commit: o.commit, Params: o.params, Keep: o.keep})
	if err != nil {
		return err
	}
	if o.detach {
		if h.JSON() {
			return console.WriteJSON(c.OutOrStdout(), b)
		}
		fmt.Fprintln(c.OutOrStdout(), b.Link.ID())
		return nil
	}
	fmt.Fprintf(os.Stderr, "build %s\n", b.Link.ID())
	if err := follow(c.Context(), h, b.Link.ID(), c.OutOrStdout()); err != nil {
		return err
	}
	return verdict(c.Context(), client, b.Link.ID())
}

// verdict waits for the end of a build, and is an error unless it passed.
func verdict(ctx context.Context, client kit.Client, id string) error {
	b, err := api.Builds.Await(ctx, client, id, func(b api.Build) bool { return b.State.Done() })
	if err == nil && b.State != api.BuildPassed {
		err = fmt.Errorf("build %s is %s: %s", id, b.State, b.Error)
	}
	return err
}
