package pipelines

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/plan"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// Commands returns the commands.
func Commands(h console.Hub) []*cobra.Command {
	return []*cobra.Command{planCommand(h), listenersCommand(h), approveCommand(h), overrideCommand(h), locksCommand(h), unlockCommand(h)}
}

const planHelp = `Print the plan that an event would make, without anything being done: the hub
evaluates the project's pipeline.star as it would for a run.

FILE has the event in JSON, as in

  {"project": "ledger", "event": "merged", "branch": "main"}

and - is standard input. All fields can be left out; then it is of what landed
last on the main branch, and without a project, of each project. "commit",
"definitions" and "library" choose what is built, and the commits that the
pipeline and the shared library @ci// are read from. A run in JSON is an event,
too: landfall pipeline show RUN -o json.

--against shows how the plan differs from another: that with the pipeline, or
the shared library, at a COMMIT, or one that was printed into a FILE with
-o json. So --event library.json --against COMMIT, with {"library": "NEW"}, says
what a change to the library does to every project.`

func planCommand(h console.Hub) *cobra.Command {
	var event, against string
	c := &cobra.Command{
		Use: "plan [PROJECT]", Short: "Print the plan that an event would make, or how it differs from another", Long: planHelp, Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ask, err := readEvent(event, c.InOrStdin())
			if err != nil {
				return err
			}
			if len(args) > 0 {
				ask.Project = args[0]
			}
			before, err := readPlans(against)
			if err != nil {
				return err
			}
			if before == nil {
				ask.Against = against
			}
			answers, err := plans(c, h, ask)
			if err != nil {
				return err
			}
			for i := range answers {
				compare(&answers[i], before)
			}
			if err := show(c.OutOrStdout(), h, answers, against != ""); err != nil {
				return err
			}
			return faults(answers)
		},
	}
	c.Flags().StringVar(&event, "event", "", "the FILE with the event, in JSON; - is standard input")
	c.Flags().StringVar(&against, "against", "", "a COMMIT of the pipeline or of the shared library, or a FILE that -o json has printed")
	return c
}

func readEvent(file string, stdin io.Reader) (api.PlanRequest, error) {
	var ask api.PlanRequest
	if file == "" {
		return ask, nil
	}
	var text []byte
	var err error
	if file == "-" {
		text, err = io.ReadAll(io.LimitReader(stdin, kit.MaxDocument))
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return ask, err
	}
	if err := json.Unmarshal(text, &ask); err != nil {
		return ask, fmt.Errorf(`%s is no event like {"project": "ledger", "event": "merged", "branch": "main"}: %w`, file, err)
	}
	return ask, checkKeys(file, text)
}

// checkKeys refuses a key that an event does not have. A run has more.
func checkKeys(file string, event []byte) error {
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(event, &keys); err != nil || keys["link"] != nil {
		return err
	}
	var known []string
	for f := range reflect.TypeFor[api.PlanRequest]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known = append(known, name)
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if !slices.Contains(known, key) {
			return fmt.Errorf("%s: an event has no %q%s: it has %s", file, key, plan.Suggest(key, known), strings.Join(known, ", "))
		}
	}
	return nil
}

// readPlans returns the plans in a file that this command has printed, or nil if
// there is no such file.
func readPlans(file string) ([]api.PlanAnswer, error) {
	text, err := os.ReadFile(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var plans []api.PlanAnswer
	if err := json.Unmarshal(text, &plans); err != nil {
		return nil, fmt.Errorf("%s has no plans as landfall pipeline plan -o json prints them: %w", file, err)
	}
	if len(plans) == 0 {
		return nil, fmt.Errorf("%s has no plans: print some with landfall pipeline plan -o json", file)
	}
	return plans, nil
}

// plans asks for the plan of the project, or of all that have a pipeline.
func plans(c *cobra.Command, h console.Hub, ask api.PlanRequest) ([]api.PlanAnswer, error) {
	if ask.Project != "" {
		a, err := planOf(c, h, ask)
		if errors.Is(err, kit.ErrNotFound) {
			err = cmp.Or(unknownProject(c, h, ask.Project), err)
		}
		return []api.PlanAnswer{a}, err
	}
	client, err := h.Client()
	if err != nil {
		return nil, err
	}
	var all []api.PlanAnswer
	for p, err := range api.Projects.All(c.Context(), client, "", "link") {
		if err != nil {
			return nil, err
		}
		ask.Project = p.Link.ID()
		a, err := planOf(c, h, ask)
		switch {
		case errors.Is(err, kit.ErrNotFound): // it has no main branch
		case err != nil:
			return nil, err
		default:
			all = append(all, a)
		}
	}
	return all, nil
}

// unknownProject says which project is probably meant, if there is none of the
// name.
func unknownProject(c *cobra.Command, h console.Hub, name string) error {
	client, err := h.Client()
	if err != nil {
		return err
	}
	var names []string
	for p, err := range api.Projects.All(c.Context(), client, "", "link") {
		if err != nil {
			return err
		}
		names = append(names, p.Link.ID())
	}
	if slices.Contains(names, name) {
		return nil
	}
	return fmt.Errorf("there is no project %q%s: landfall project list shows them", name, plan.Suggest(name, names))
}

func planOf(c *cobra.Command, h console.Hub, ask api.PlanRequest) (api.PlanAnswer, error) {
	var a api.PlanAnswer
	event, err := json.Marshal(ask)
	if err != nil {
		return a, err
	}
	err = h.Ask(c.Context(), http.MethodGet, "/pipeline/plan?event="+url.QueryEscape(string(event)), &a)
	return a, err
}

// compare notes in a how it differs from the plan of its project among before.
func compare(a *api.PlanAnswer, before []api.PlanAnswer) {
	i := slices.IndexFunc(before, func(b api.PlanAnswer) bool { return b.Project == a.Project })
	if i >= 0 {
		a.Before, a.Difference = &before[i], plan.Compare(before[i].Plan, a.Plan)
	}
}

func show(w io.Writer, h console.Hub, answers []api.PlanAnswer, compared bool) error {
	if h.JSON() {
		return console.WriteJSON(w, answers)
	}
	for _, a := range answers {
		lines := plan.Draw(a.Plan)
		head := fmt.Sprintf("%s at %.12s, its pipeline at %.12s", a.Project, a.Commit, a.Definitions)
		if a.Library != "" {
			head += fmt.Sprintf(", the library at %.12s", a.Library)
		}
		switch {
		case a.Error != "":
			lines = []string{"  no plan: " + a.Error}
		case compared && a.Before == nil:
			lines = append([]string{"  nothing to compare with:"}, lines...)
		case compared && a.Before.Error != "":
			lines = append([]string{"  there was no plan: " + a.Before.Error}, lines...)
		case compared && len(a.Difference) == 0:
			lines = []string{"  no difference"}
		case compared:
			lines = a.Difference
		}
		if _, err := fmt.Fprintln(w, head); err != nil {
			return err
		}
		for _, line := range lines {
			fmt.Fprintln(w, line)
		}
		if a.Log != "" {
			fmt.Fprint(w, "printed:\n"+a.Log)
		}
	}
	return nil
}

// noPipeline is what is said of a project that has none, which is no fault.
const noPipeline = "the project has no pipeline.star"

func faults(answers []api.PlanAnswer) error {
	n := 0
	for _, a := range answers {
		if a.Error != "" && (len(answers) == 1 || a.Error != noPipeline) {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d have no plan", n, len(answers))
	}
	return nil
}
