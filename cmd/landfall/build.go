package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/jobs"
	"landfall.dev/cmd/landfall/pipelines"
	"landfall.dev/cmd/landfall/progress"
	"landfall.dev/kit"
)

func (a *app) jobCommand() *cobra.Command {
	c := group("job", "Jobs as code",
		command("list [CEL FILTER]", "List the deployed jobs", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Jobs, strings.Join(args, ""), "", []string{"job", "project", "commit", "from"},
				func(j api.Job) []string {
					return []string{j.Spec.Name, j.Project, fmt.Sprintf("%.12s", j.Commit), strings.Join(j.Spec.Origin, " > ")}
				})
		}))
	c.AddCommand(jobs.Commands(hubOf{a})...)
	return c
}

// hubOf is the hub as packages of commands see it.
type hubOf struct{ app *app }

func (h hubOf) Client() (kit.Client, error) { return h.app.client() }
func (h hubOf) JSON() bool                  { return h.app.output == "json" }

func (h hubOf) Ask(ctx context.Context, method, path string, out any) error {
	return h.app.callJSON(ctx, method, path, nil, out)
}

func (h hubOf) Follow(ctx context.Context, path string) (io.ReadCloser, error) {
	return h.app.call(ctx, http.MethodGet, path, nil, "Accept", "text/event-stream")
}

func (h hubOf) Transfer(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	return h.app.call(ctx, method, path, body)
}

func (a *app) pipelineCommand() *cobra.Command {
	c := group("pipeline", "Runs of pipelines",
		command("list [CEL FILTER]", "List runs, newest first", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
			return list(c.Context(), a, c.OutOrStdout(), api.Runs, strings.Join(args, ""), "-created",
				[]string{"run", "project", "event", "commit", "state"},
				func(r api.Run) []string {
					return []string{r.Link.ID(), r.Project, r.Event, fmt.Sprintf("%.12s", r.Commit), string(r.State)}
				})
		}),
		command("show RUN", "Show a run and its nodes", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			client, err := a.client()
			if err != nil {
				return err
			}
			r, err := api.Runs.Read(c.Context(), client, args[0])
			if err != nil {
				return err
			}
			return show(a, c.OutOrStdout(), r, pipelines.Describe)
		}),
		command("watch RUN", "Print what happens in a run until it ends; fails if it does not pass", cobra.ExactArgs(1), a.watchRun),
		command("cancel RUN", "End a run and its builds", cobra.ExactArgs(1), a.cancelRun),
		command("rerun RUN", "Run what failed or was cancelled again, as a new run of the same commit", cobra.ExactArgs(1), a.rerunRun))
	c.AddCommand(pipelines.Commands(hubOf{a})...)
	return c
}

func (a *app) cancelRun(c *cobra.Command, args []string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	r, err := api.Runs.Send(c.Context(), client, args[0], "cancel", nil)
	if err != nil {
		return err
	}
	return show(a, c.OutOrStdout(), r, pipelines.Describe)
}

// rerunRun returns when the verdict of the old run counts no longer, so that
// landfall change wait waits for that of the new one.
func (a *app) rerunRun(c *cobra.Command, args []string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	r, err := api.Runs.Read(c.Context(), client, args[0])
	if err != nil {
		return err
	}
	var before *api.Vote
	if r.Change != "" {
		x, err := api.Changes.Read(c.Context(), client, r.Change.ID())
		if err != nil {
			return err
		}
		before = verdict(x, r.PatchSet)
	}
	if r, err = api.Runs.Send(c.Context(), client, args[0], "rerun", nil); err != nil {
		return err
	}
	if before != nil {
		_, err = api.Changes.Await(c.Context(), client, r.Change.ID(), func(x api.Change) bool {
			now := verdict(x, r.PatchSet)
			return now == nil || !now.At.Equal(before.At)
		})
		if err != nil {
			return err
		}
	}
	return show(a, c.OutOrStdout(), r, pipelines.Describe)
}

func (a *app) watchRun(c *cobra.Command, args []string) error {
	client, err := a.client()
	if err != nil {
		return err
	}
	said := map[string]api.RunState{}
	out := progress.New(c.OutOrStdout(), "steps")
	r, err := api.Runs.Await(c.Context(), client, args[0], func(r api.Run) bool {
		ended := 0
		for _, n := range r.Nodes {
			if said[n.ID] != n.State && n.State != api.RunWaiting {
				fmt.Fprintf(out, "%-24s %-9s %s %s %s\n", n.ID, n.State, n.Link, n.Image, n.Error)
			}
			said[n.ID] = n.State
			if n.State.Final() {
				ended++
			}
		}
		out.Set(int64(ended), int64(len(r.Nodes)))
		return r.State.Final()
	})
	out.Close()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.OutOrStdout(), "%s %s %s\n", r.Link, r.State, r.Error)
	if r.State != api.RunPassed {
		return fmt.Errorf("%s %s", r.Link, r.State)
	}
	return nil
}
