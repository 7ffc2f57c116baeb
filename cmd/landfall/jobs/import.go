package jobs

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/native"
	"landfall.dev/cmd/landfall/console"
)

// Verdict is what becomes of a job.
type Verdict struct {
	Job string `json:"job"`
	// Runs is as-it-is, without or cannot.
	Runs string `json:"runs"`
	// Missing is what is left out, or what it cannot run for.
	Missing []native.Missing `json:"missing,omitempty"`
	// Error is what is wrong with its definition.
	Error string `json:"error,omitempty"`
}

const asItIs = "as-it-is"

// judge says what becomes of j.
func judge(j definition.Job) Verdict {
	v := Verdict{Job: j.Name, Runs: asItIs}
	_, v.Missing = native.Translate(j)
	for i, m := range v.Missing {
		v.Missing[i].At = local(".", m.At)
		if v.Runs != string(native.Cannot) {
			v.Runs = string(m.Severity)
		}
	}
	if err := errorOf(j); err != nil {
		v.Runs, v.Error = string(native.Cannot), local(".", err.Error())
	}
	return v
}

func importCommand(h console.Hub) *cobra.Command {
	c := &cobra.Command{
		Use:   "import DIR | -- JENKINS-JOBS ARGUMENTS",
		Short: "Tell which jobs of a tree of Jenkins Job Builder run here as they are, which without something, and which do not",
	}
	dialect := dialectFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if c.ArgsLenAtDash() < 0 {
			if len(args) != 1 {
				return fmt.Errorf("name one folder, or -- and a command line of jenkins-jobs")
			}
			args = []string{"test", "-r", args[0]}
		}
		d, err := dialectOf(*dialect)
		if err != nil {
			return err
		}
		x, err := expand(".", d, args)
		if err = cmp.Or(err, x.wrong); err != nil {
			return err
		}
		verdicts := make([]Verdict, 0, len(x.jobs))
		for _, j := range x.jobs {
			verdicts = append(verdicts, judge(j))
		}
		if h.JSON() {
			return console.WriteJSON(c.OutOrStdout(), verdicts)
		}
		return printVerdicts(c.OutOrStdout(), verdicts)
	}
	return c
}

// lack is a part that jobs lack, with one of the reasons.
type lack struct {
	what   string
	run    native.Severity
	reason string
	jobs   int
}

// lacks counts in how many jobs each part is missing, those of most first.
func lacks(all []Verdict) []*lack {
	type part struct {
		what string
		run  native.Severity
	}
	found := map[part]*lack{}
	for _, v := range all {
		counted := map[part]bool{}
		for _, m := range v.Missing {
			p := part{m.Component, m.Severity}
			if found[p] == nil {
				found[p] = &lack{what: p.what, run: p.run, reason: m.Reason}
			}
			if !counted[p] {
				found[p].jobs++
			}
			counted[p] = true
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *lack) int {
		return cmp.Or(cmp.Compare(b.jobs, a.jobs), cmp.Compare(a.what, b.what), cmp.Compare(a.run, b.run))
	})
}

// printVerdicts prints a line for each job, then what is missing in how many,
// and the totals.
func printVerdicts(w io.Writer, all []Verdict) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	totals := map[string]int{}
	for _, v := range all {
		totals[v.Runs]++
		fmt.Fprintf(t, "%s\t%s\n", v.Job, v.summary())
	}
	missing := lacks(all)
	if len(missing) > 0 {
		fmt.Fprintf(t, "\nMISSING\tJOBS\tRUN\tWHY, FOR INSTANCE\n")
	}
	for _, m := range missing {
		fmt.Fprintf(t, "%s\t%d\t%s\t%s\n", m.what, m.jobs, m.run, m.reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%d jobs: %d run as they are, %d run without something, %d cannot run\n",
		len(all), totals[asItIs], totals[string(native.Without)], totals[string(native.Cannot)])
	return err
}

// summary tells v in one line.
func (v Verdict) summary() string {
	if v.Error != "" {
		first, _, _ := strings.Cut(v.Error, "\n")
		return "cannot run: " + first
	}
	if v.Runs == asItIs {
		return "runs as it is"
	}
	var what []string
	for _, m := range v.Missing {
		if string(m.Severity) == v.Runs && !slices.Contains(what, m.Component) {
			what = append(what, m.Component)
		}
	}
	if v.Runs == string(native.Cannot) {
		return "cannot run: " + strings.Join(what, ", ")
	}
	return "runs without " + strings.Join(what, ", ")
}
