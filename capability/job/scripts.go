package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
	"landfall.dev/capability/job/shell"
)

// maxScripts is how many different scripts of a patch are checked.
const maxScripts = 2000

// checkScripts returns what is wrong with the grammar of the jobs' shell steps,
// where in the definitions set it is, and what was not checked.
func checkScripts(ctx context.Context, set *definition.Set, jobs []api.JobSpec) (wrong []api.Problem, notes []string, err error) {
	users := map[string][]string{} // jobs by script
	var order []string
	others := map[string]bool{}
	for _, j := range jobs {
		for _, script := range slices.Compact(scriptsOf(j)) {
			if i := shell.Interpreter(script); !shell.Known(i) {
				others[i] = true
				continue
			}
			if users[script] == nil {
				order = append(order, script)
			}
			users[script] = append(users[script], j.Name)
		}
	}
	if len(others) > 0 {
		notes = append(notes, "only shell steps were checked for their grammar, not those for "+strings.Join(slices.Sorted(maps.Keys(others)), ", "))
	}
	if n := len(order) - maxScripts; n > 0 {
		notes = append(notes, fmt.Sprintf("%d of %d shell steps were not checked for their grammar: there are too many", n, len(order)))
		order = order[:maxScripts]
	}
	var at *places
	found := map[api.Problem][]string{} // jobs that have it
	for _, script := range order {
		mistake, err := shell.Check(ctx, script)
		if errors.Is(err, shell.ErrNoShell) {
			return nil, append(notes, "the shell steps were not checked for their grammar: the hub's machine has no bash"), nil
		}
		if err != nil {
			return nil, nil, err
		}
		if mistake == nil {
			continue
		}
		if at == nil {
			if at, err = placesOf(set, jobs); err != nil {
				return nil, nil, err
			}
		}
		p := at.problem(script, *mistake, users[script][0])
		if found[p] == nil {
			wrong = append(wrong, p)
		}
		found[p] = append(found[p], users[script]...)
	}
	wrong = wrong[:min(len(wrong), maxProblems)]
	for i, p := range wrong {
		wrong[i].Text = fmt.Sprintf("shell step of %s, %s", api.JobGroup{Jobs: found[p], Count: len(found[p])}.Among(), p.Text)
	}
	return wrong, notes, nil
}

// scriptsOf returns the scripts that a job runs.
func scriptsOf(s api.JobSpec) []string {
	all := slices.Clone(s.Script)
	all = append(all, scriptsIn(s.Steps)...)
	for _, a := range s.After {
		all = append(all, scriptsIn(a.Steps)...)
	}
	return all
}

func scriptsIn(steps []api.Step) []string {
	var all []string
	for _, s := range steps {
		switch {
		case s.Shell != nil:
			all = append(all, s.Shell.Script)
		case s.If != nil:
			all = append(all, scriptsIn(s.If.Steps)...)
		}
	}
	return all
}

// places tell where the texts of jobs are written.
type places struct {
	texts map[string]*yaml11.Value
	jobs  map[string]api.JobSpec
}

func placesOf(set *definition.Set, specs []api.JobSpec) (*places, error) {
	jobs, err := set.Jobs()
	if err != nil {
		return nil, err
	}
	p := &places{texts: map[string]*yaml11.Value{}, jobs: map[string]api.JobSpec{}}
	for _, s := range specs {
		p.jobs[s.Name] = s
	}
	for _, j := range jobs {
		if _, ok := p.jobs[j.Name]; !ok {
			continue
		}
		for _, e := range j.Keys {
			p.add(e.Value)
		}
		for _, list := range j.Components {
			p.components(list)
		}
	}
	return p, nil
}

func (p *places) components(list []definition.Component) {
	for _, c := range list {
		p.add(c.Args)
		p.components(c.Children)
	}
}

// add notes where the texts in v are; those with lines of their own are told
// best.
func (p *places) add(v *yaml11.Value) {
	if v == nil {
		return
	}
	switch data := v.Data.(type) {
	case string:
		key := strings.TrimSpace(data)
		if old, ok := p.texts[key]; !ok || old.Lead == 0 {
			p.texts[key] = v
		}
	case []*yaml11.Value:
		for _, item := range data {
			p.add(item)
		}
	case yaml11.Map:
		for _, e := range data {
			p.add(e.Value)
		}
	}
}

// problem returns the mistake in a script of a job as one in the definitions: at
// its line if that can be told, or where the script begins, or the job.
func (p *places) problem(script string, m shell.Mistake, job string) api.Problem {
	problem := api.Problem{Text: fmt.Sprintf("its line %d: %s", m.Line, m.Text)}
	if v, ok := p.texts[strings.TrimSpace(script)]; ok {
		at := lineOf(v, m.Line)
		problem.File, problem.Line = at.File().Name(), at.Line
		return problem
	}
	if origin := p.jobs[job].Origin; len(origin) > 0 {
		last := origin[len(origin)-1]
		i := strings.LastIndexByte(last, ':')
		if n, err := strconv.Atoi(last[i+1:]); i > 0 && err == nil {
			problem.File, problem.Line = last[:i], n
		}
	}
	return problem
}

// lineOf returns where line n of the text v is written.
func lineOf(v *yaml11.Value, n int) yaml11.Position {
	at := v.At
	if v.Lead > 0 {
		at.Line += v.Lead - 1 + n - 1
	}
	return at
}
