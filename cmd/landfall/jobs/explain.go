package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

func explainCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain JOB DIR | JOB -- JENKINS-JOBS ARGUMENTS",
		Short: "Tell where each part of a job comes from",
	}
	dialect := dialectFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		d, err := dialectOf(*dialect)
		if err != nil {
			return err
		}
		var x expansion
		switch {
		case c.ArgsLenAtDash() == 1:
			x, err = expand(".", d, args[1:])
		case c.ArgsLenAtDash() < 0 && len(args) == 2:
			x.jobs, x.wrong = expandFolder(args[1])
		default:
			err = fmt.Errorf("name a job and a folder, or a job, -- and a command line of jenkins-jobs")
		}
		if err = cmp.Or(err, x.wrong); err != nil {
			return err
		}
		j, err := find(x.jobs, args[0])
		if err != nil {
			return err
		}
		fmt.Fprint(c.OutOrStdout(), local(".", explain(j)))
		if err := errorOf(j); err != nil {
			return errors.New(local(".", err.Error()))
		}
		return nil
	}
	return c
}

// expandFolder returns the jobs of a project's folder.
func expandFolder(dir string) ([]definition.Job, error) {
	files, err := definitionFiles(dir)
	if err != nil {
		return nil, err
	}
	set, err := definition.Load(files, []string{"jobs"}, definition.Options{Dialect: definition.Modern, Strict: true})
	if err != nil {
		return nil, err
	}
	return set.Jobs()
}

func find(jobs []definition.Job, name string) (definition.Job, error) {
	var names []string
	for _, j := range jobs {
		if j.Name == name {
			return j, nil
		}
		names = append(names, j.Name)
	}
	hint := ""
	if near := kit.Nearest(name, names); near != "" {
		hint = fmt.Sprintf(": did you mean %s?", near)
	}
	return definition.Job{}, fmt.Errorf("of %d jobs none is called %s%s", len(jobs), name, hint)
}

// explain tells each key and component of j with its place, and the calls of
// macros that brought it into j.
func explain(j definition.Job) string {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s\n  made by %s\n", j.Name, strings.Join(j.Origin, " > "))
	for _, e := range j.Keys {
		if _, ok := j.Components[e.Key.Text()]; !ok {
			line(w, "  ", e.Key.Text(), e.Value, e.Value.At, nil)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(j.Components)) {
		for _, c := range j.Components[kind] {
			component(w, "  ", c)
		}
	}
	return w.String()
}

func component(w io.Writer, indent string, c definition.Component) {
	line(w, indent, c.Kind+" "+c.Type, c.Args, c.At, c.Via)
	for _, inside := range c.Children {
		component(w, indent+"  ", inside)
	}
}

func line(w io.Writer, indent, what string, v *yaml11.Value, at yaml11.Position, via []string) {
	place := ""
	if at.Line > 0 { // else it is Landfall that has made it
		place = "  (" + at.String() + ")"
	}
	fmt.Fprintf(w, "%s%s%s\n", indent, what, place)
	for _, call := range via {
		fmt.Fprintf(w, "%s  by %s\n", indent, call)
	}
	if v == nil || v.Data == nil {
		return
	}
	text := strings.TrimSpace(strings.TrimSuffix(v.Text(), "<!-- Managed by Jenkins Job Builder -->"))
	for line := range strings.Lines(text) {
		fmt.Fprintf(w, "%s    %s\n", indent, strings.TrimSuffix(line, "\n"))
	}
}
