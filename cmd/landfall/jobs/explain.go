package jobs

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/explain"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

func explainCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "explain JOB [DIR] | JOB -- JENKINS-JOBS ARGUMENTS",
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
		case c.ArgsLenAtDash() < 0 && len(args) == 1:
			x.jobs, x.wrong = expandFolder(".")
		default:
			err = fmt.Errorf("name a job, and the folder of its project unless it is this one; or a job, -- and a command line of jenkins-jobs")
		}
		if err = cmp.Or(err, x.wrong); err != nil {
			return err
		}
		j, err := find(x.jobs, args[0])
		if err != nil {
			return err
		}
		fmt.Fprint(c.OutOrStdout(), local(".", describeParts(explain.Job(j))))
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

// describeParts tells each part of a job with its place, and the calls of macros
// that brought it there.
func describeParts(x api.JobExplanation) string {
	w := &strings.Builder{}
	fmt.Fprintf(w, "%s\n  made by %s\n", x.Job, strings.Join(x.Origin, " > "))
	for _, p := range x.Parts {
		describePart(w, "  ", p)
	}
	return w.String()
}

func describePart(w io.Writer, indent string, p api.JobPart) {
	place := ""
	if p.At != "" {
		place = "  (" + p.At + ")"
	}
	fmt.Fprintf(w, "%s%s%s\n", indent, p.Name, place)
	for _, call := range p.Via {
		fmt.Fprintf(w, "%s  by %s\n", indent, call)
	}
	for line := range strings.Lines(p.Text) {
		fmt.Fprintf(w, "%s    %s\n", indent, strings.TrimSuffix(line, "\n"))
	}
	for _, inside := range p.Parts {
		describePart(w, indent+"  ", inside)
	}
}
