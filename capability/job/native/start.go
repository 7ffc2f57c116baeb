package native

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

// What starts builds of other jobs, and what tries a build again.

// predefined are the parameters of a text of lines NAME=value.
func predefined(s string) map[string]string {
	params := map[string]string{}
	for line := range strings.Lines(s) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok {
			params[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return params
}

// pass says which parameters the arguments m hand on.
func (t *translation) pass(a args, m yaml11.Map) api.Pass {
	p := api.Pass{
		Current:    set(m.Lookup("current-parameters")),
		File:       t.expand(a.c, text(m.Lookup("property-file"))),
		FileNeeded: set(m.Lookup("property-file-fail-on-missing")) || set(m.Lookup("fail-on-missing")),
		Params:     predefined(t.expand(a.c, text(m.Lookup("predefined-parameters")))),
	}
	for _, e := range m.Lookup("boolean-parameters").Map() {
		p.Params[text(e.Key)] = text(e.Value)
	}
	for _, item := range m.Lookup("bool-parameters").List() {
		p.Params[text(item.Map().Lookup("name"))] = or(text(item.Map().Lookup("value")), "false")
	}
	if len(p.Params) == 0 {
		p.Params = nil
	}
	return p
}

// jobs are the names of those that the arguments start.
func (t *translation) jobs(a args, m yaml11.Map) []string {
	var names []string
	for _, name := range list(m.Lookup("project")) {
		names = append(names, strings.TrimPrefix(t.expand(a.c, name), "/"))
	}
	if len(names) == 0 {
		t.miss(a.c, Without, "it names no job to start: add project")
	}
	return names
}

// triggerBuilds is a builder: its argument is a list of calls.
func triggerBuilds(t *translation, a args) []api.Step {
	var steps []api.Step
	for _, call := range calls(a.value) {
		s := &api.CallStep{Called: api.Called{Jobs: t.jobs(a, call), Pass: t.pass(a, call)}, Wait: set(call.Lookup("block"))}
		if len(s.Jobs) == 0 {
			continue
		}
		for _, f := range call.Lookup("parameter-factories").List() {
			t.factory(a, s, f.Map())
		}
		if s.Wait {
			limits := call.Lookup("block-thresholds").Map()
			s.StepFails = t.threshold(a, limits, "build-step-failure-threshold", api.ResultFailure)
			s.Fails = t.threshold(a, limits, "failure-threshold", api.ResultFailure)
			s.Unstable = t.threshold(a, limits, "unstable-threshold", api.ResultUnstable)
		}
		steps = append(steps, api.Step{Call: s})
	}
	return steps
}

// factory takes a parameter factory over that makes one build.
func (t *translation) factory(a args, s *api.CallStep, m yaml11.Map) {
	switch kind := text(m.Lookup("factory")); kind {
	case "filebuild":
		if pattern := text(m.Lookup("file-pattern")); s.File == "" && !strings.ContainsAny(pattern, "*?[") {
			s.File = t.expand(a.c, pattern)
			return
		}
		t.miss(a.c, Cannot, "a factory filebuild with several files: name one, without wildcards")
	default:
		t.miss(a.c, Cannot, "a factory of the kind %q, which makes several builds of one call", yaml11.Brief(kind))
	}
}

// threshold is a result that the arguments name, otherwise if they do not.
func (t *translation) threshold(a args, m yaml11.Map, name string, otherwise api.Result) api.Result {
	v := m.Lookup(name)
	if v == nil || v.Data == nil {
		return otherwise
	}
	switch r := api.Result(strings.ToUpper(text(v))); r {
	case api.ResultSuccess, api.ResultUnstable, api.ResultFailure, api.ResultAborted:
		return r
	case "NEVER", "FALSE", "":
		return ""
	}
	t.miss(a.c, Without, "%s is %q: it is SUCCESS, UNSTABLE, FAILURE or never", name, yaml11.Brief(text(v)))
	return otherwise
}

// calls are the maps of a list, or a map alone.
func calls(v *yaml11.Value) []yaml11.Map {
	if m := v.Map(); m != nil {
		return []yaml11.Map{m}
	}
	var all []yaml11.Map
	for _, item := range v.List() {
		if m := item.Map(); m != nil {
			all = append(all, m)
		}
	}
	return all
}

// conditionsOfTriggers says for which results other jobs are started.
var conditionsOfTriggers = map[string][]api.Result{
	"":                   {api.ResultSuccess},
	"ALWAYS":             nil,
	"SUCCESS":            {api.ResultSuccess},
	"UNSTABLE":           {api.ResultUnstable},
	"FAILED":             {api.ResultFailure},
	"FAILED_OR_BETTER":   {api.ResultSuccess, api.ResultUnstable, api.ResultFailure},
	"UNSTABLE_OR_BETTER": {api.ResultSuccess, api.ResultUnstable},
	"UNSTABLE_OR_WORSE":  {api.ResultUnstable, api.ResultFailure},
}

func triggerParameterized(t *translation, a args) {
	for _, call := range calls(a.value) {
		condition := text(call.Lookup("condition"))
		on, ok := conditionsOfTriggers[condition]
		if !ok {
			t.miss(a.c, Without, "the condition %q is not known%s", yaml11.Brief(condition),
				yaml11.Suggest(condition, slices.Sorted(maps.Keys(conditionsOfTriggers))))
			continue
		}
		t.follow(api.Downstream{Jobs: t.jobs(a, call), On: on, Pass: t.pass(a, call)})
	}
}

func triggerAfter(t *translation, a args) {
	t.follow(api.Downstream{Jobs: t.jobs(a, a.m), On: upTo(a.text("threshold"))})
}

func (t *translation) follow(d api.Downstream) {
	if len(d.Jobs) > 0 {
		t.spec.Downstream = append(t.spec.Downstream, d)
	}
}

// upTo are the results that are not worse than the named one, SUCCESS if none
// is.
func upTo(worst string) []api.Result {
	on := []api.Result{api.ResultSuccess}
	switch strings.ToUpper(worst) {
	case "UNSTABLE":
		on = append(on, api.ResultUnstable)
	case "FAILURE":
		on = append(on, api.ResultUnstable, api.ResultFailure)
	}
	return on
}

// reverse makes the job follow on others, see Connect.
func reverse(t *translation, a args) {
	t.spec.Triggers = append(t.spec.Triggers, api.Trigger{
		Type: reverseTrigger, On: list(a.get("jobs")), Fields: map[string]string{"result": or(strings.ToUpper(a.text("result")), "SUCCESS")},
	})
}

const reverseTrigger = "reverse"

// The times of Jenkins' naginator, in seconds, and how often builds are tried
// again for which there it has no end.
const (
	naginatorStep    = 300
	naginatorLongest = 10800
	naginatorTimes   = 10
)

func naginator(t *translation, a args) {
	r := &api.Retry{Max: a.number("max-failed-builds"), Unstable: a.flag("rerun-unstable-builds", false), Log: a.text("regular-expression")}
	if r.Max == 0 {
		r.Max = naginatorTimes
		t.miss(a.c, Without, "trying without end: it is tried again %d times", r.Max)
	}
	if r.Delay = a.number("fixed-delay"); r.Delay == 0 {
		r.Step, r.Longest = or0(a.number("progressive-delay-increment"), naginatorStep), or0(a.number("progressive-delay-maximum"), naginatorLongest)
		r.Delay = r.Step
	}
	if r.Log != "" && !t.pattern(a.c, "regular-expression", r.Log) {
		return
	}
	t.spec.Retry = r
}

func textFinder(t *translation, a args) {
	f := api.Find{Pattern: a.text("regexp"), Result: api.ResultFailure, Missing: a.flag("succeed-if-found", false)}
	if a.flag("unstable-if-found", false) {
		f.Result = api.ResultUnstable
	}
	if a.text("fileset") != "" {
		t.miss(a.c, Without, "texts in files: only the log is searched")
	}
	if f.Pattern != "" && t.pattern(a.c, "regexp", f.Pattern) {
		t.spec.Finds = append(t.spec.Finds, f)
	}
}

// Connect completes what jobs of one project mean to each other: those with a
// reverse trigger follow on others, and those that others block share a lock
// with them. What they name and is not there is missing of them.
func Connect(specs []api.JobSpec) []api.JobSpec {
	index := map[string]int{}
	for i, s := range specs {
		index[s.Name] = i
	}
	lack := func(s *api.JobSpec, component, job string, needed bool) {
		m := api.MissingPart{Component: component, Reason: fmt.Sprintf("there is no job %q in this project", yaml11.Brief(job)), Needed: needed}
		if !slices.Contains(s.Missing, m) {
			s.Missing = append(s.Missing, m)
		}
	}
	for i := range specs {
		s := &specs[i]
		for _, tr := range s.Triggers {
			if tr.Type != reverseTrigger {
				continue
			}
			for _, name := range tr.On {
				if up, ok := index[strings.TrimPrefix(name, "/")]; ok {
					d := api.Downstream{Jobs: []string{s.Name}, On: upTo(tr.Fields["result"])}
					specs[up].Downstream = append(slices.Clone(specs[up].Downstream), d)
				} else {
					lack(s, "triggers: reverse", name, false)
				}
			}
		}
		for _, d := range s.Downstream {
			for _, name := range unknown(index, d.Jobs) {
				lack(s, "publishers: trigger", name, false)
			}
		}
		for _, c := range callsIn(s.Steps) {
			for _, called := range c.All() {
				for _, name := range unknown(index, called.Jobs) {
					lack(s, "builders: trigger-builds", name, c.Wait && c.StepFails != "")
				}
			}
		}
		block(specs, i)
	}
	for i := range specs {
		slices.SortFunc(specs[i].Locks, func(a, b api.LockUse) int { return strings.Compare(a.Name, b.Name) })
	}
	return specs
}

// unknown are those of names that are of no job; one with variables may be.
func unknown(index map[string]int, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, ok := index[name]
		return ok || strings.Contains(name, "$")
	})
}

func callsIn(steps []api.Step) []*api.CallStep {
	var all []*api.CallStep
	walk(steps, func(s api.Step) {
		if s.Call != nil {
			all = append(all, s.Call)
		}
	})
	return all
}

// block makes the jobs that specs[i] is blocked by take a part each of a lock
// that it takes whole.
func block(specs []api.JobSpec, i int) {
	s := &specs[i]
	if len(s.BlockedBy) == 0 {
		return
	}
	use := api.LockUse{Name: lockName("block." + s.Name), Room: wholeLock, Part: 1}
	for _, expression := range s.BlockedBy {
		re, err := regexp.Compile("^(?:" + expression + ")$")
		if err != nil {
			continue // it was reported when the job was translated
		}
		for j := range specs {
			if j != i && re.MatchString(specs[j].Name) {
				specs[j].Locks = addLock(specs[j].Locks, use)
			}
		}
	}
	use.Part = wholeLock
	s.Locks = addLock(s.Locks, use)
}
