package pipelines

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

const listenersHelp = `List what listens to the events of a project, or of all projects, and what each
event starts: the pipeline that its pipeline.star makes of the event, with the
file that says so, or the jobs that have a trigger for it.

  patchset-created   a patch set was pushed for review; what it starts gates it
  merged             a change has landed on a protected branch
  recheck            somebody has written that word as a comment on a change
  timer              a time has come that a job names: the job is built, and then,
                     if it says starts-pipeline: true, the pipeline is run

A project listens to an event by what main(ctx) of its pipeline.star returns for
ctx.event.type; an empty list is nothing. A recheck is the same event once more,
if its run did not pass. Pipelines also run when those of other projects trigger
them (ctx.event.type is "triggered" then).`

// Listener is what listens to an event of a project.
type Listener struct {
	Project string `json:"project"`
	Event   string `json:"event"`
	// Files are where that is defined.
	Files []string `json:"files,omitempty"`
	// Starts are the stages, or nodes and jobs, that the event starts.
	Starts []string `json:"starts,omitempty"`
	Error  string   `json:"error,omitempty"`
}

// events are those that start a pipeline.
var events = []string{"patchset-created", "merged"}

func listenersCommand(h console.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "listeners [PROJECT]", Short: "List which pipeline listens to which event", Long: listenersHelp, Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			filter := ""
			ask := api.PlanRequest{}
			if len(args) > 0 {
				ask.Project = args[0]
				filter = fmt.Sprintf("project == %q", args[0])
			}
			all, err := listeners(c, h, ask)
			if err != nil {
				return err
			}
			timed, err := timers(c, h, filter)
			if err != nil {
				return err
			}
			all = append(all, timed...)
			slices.SortStableFunc(all, func(a, b Listener) int { return strings.Compare(a.Project, b.Project) })
			if h.JSON() {
				return console.WriteJSON(c.OutOrStdout(), all)
			}
			return printListeners(c.OutOrStdout(), all)
		},
	}
}

// listeners are those of events that start a pipeline.
func listeners(c *cobra.Command, h console.Hub, ask api.PlanRequest) ([]Listener, error) {
	var all []Listener
	for _, event := range events {
		ask.Event = event
		answers, err := plans(c, h, ask)
		if errors.Is(err, kit.ErrNotFound) {
			return nil, fmt.Errorf("there is no project %q with a main branch; landfall project list shows which there are", ask.Project)
		}
		if err != nil {
			return nil, err
		}
		for _, a := range answers {
			l := Listener{Project: a.Project, Event: event}
			if a.Error != noPipeline {
				l.Error = a.Error
			}
			for _, n := range a.Plan.Nodes {
				l.Files = appendNew(l.Files, n.Position[:max(0, strings.LastIndexByte(n.Position, ':'))])
				l.Starts = appendNew(l.Starts, cmp.Or(n.Stage, n.ID))
			}
			all = append(all, l)
		}
	}
	return all, nil
}

// timers are the jobs that are built at times of their own.
func timers(c *cobra.Command, h console.Hub, filter string) ([]Listener, error) {
	client, err := h.Client()
	if err != nil {
		return nil, err
	}
	var all []Listener
	for s, err := range api.Schedules.All(c.Context(), client, filter, "link") {
		if err != nil {
			return nil, err
		}
		times := strings.Join(strings.Fields(strings.Join(s.Spec.Timed, " ")), " ")
		all = append(all, Listener{Project: s.Project, Event: "timer " + times, Starts: []string{s.Job}, Error: s.Error})
	}
	return all, nil
}

func appendNew(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

func printListeners(w io.Writer, all []Listener) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "PROJECT\tEVENT\tSTARTS\tDEFINED IN")
	for _, l := range all {
		starts := strings.Join(l.Starts, " > ")
		switch {
		case l.Error != "":
			starts = "nothing: " + l.Error
		case starts == "":
			starts = "nothing"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", l.Project, l.Event, starts, strings.Join(l.Files, ", "))
	}
	return t.Flush()
}
