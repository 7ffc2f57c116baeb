package native

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

// What starts a job where no pipeline.star says it: what happens to the source
// of its project.

// The events of sources that a trigger can be about.
const (
	patchSet = "patchset-created"
	merge    = "merged"
)

// gerritEvents are those that Gerrit's trigger reacts on, by their names.
var gerritEvents = map[string]string{
	"patchset-created-event": patchSet, "draft-published-event": patchSet, "change-merged-event": merge, "ref-updated-event": merge,
}

// gerritFlags are arguments of older versions for events.
var gerritFlags = map[string]string{
	"trigger-on-patchset-uploaded-event": patchSet, "trigger-on-draft-published-event": patchSet,
	"trigger-on-change-merged-event": merge, "trigger-on-ref-updated-event": merge,
}

// gerrit is a trigger of changes and branches.
func gerrit(t *translation, a args) {
	tr := api.Trigger{Type: "gerrit", On: events(a.get("trigger-on"))}
	for _, name := range tr.On {
		event, ok := gerritEvents[name]
		if !ok {
			t.miss(a.c, Without, "the event %s starts nothing: a run is started again on its page, or by the comment recheck", name)
			continue
		}
		tr.Events = addText(tr.Events, event)
	}
	for _, name := range slices.Sorted(maps.Keys(gerritFlags)) {
		if a.flag(name, false) {
			tr.Events = addText(tr.Events, gerritFlags[name])
		}
	}
	if len(tr.On) == 0 && len(tr.Events) == 0 {
		tr.Events = []string{patchSet}
	}
	for _, item := range a.get("projects").List() {
		m := item.Map()
		s := api.TriggerSource{Project: t.comparison(a, m, "project-compare-type", "project-pattern")}
		for _, b := range m.Lookup("branches").List() {
			s.Branches = append(s.Branches, t.comparison(a, b.Map(), "branch-compare-type", "branch-pattern"))
		}
		if pattern := text(m.Lookup("branch-pattern")); pattern != "" { // as in older versions
			s.Branches = append(s.Branches, t.comparison(a, m, "branch-compare-type", "branch-pattern"))
		}
		for _, f := range m.Lookup("file-paths").List() {
			s.Files = append(s.Files, t.comparison(a, f.Map(), "compare-type", "pattern"))
		}
		for _, f := range m.Lookup("forbidden-file-paths").List() {
			s.Except = append(s.Except, t.comparison(a, f.Map(), "compare-type", "pattern"))
		}
		tr.Sources = append(tr.Sources, s)
	}
	tr.Silent = a.flag("silent", false) || set(a.get("skip-vote").Map().Lookup("failed"))
	tr.After = list(a.get("dependency-jobs"))
	if len(tr.Events) > 0 && len(tr.Sources) > 0 {
		t.spec.Triggers = append(t.spec.Triggers, tr)
	}
}

// comparison is what the arguments compare a name with, as a regular expression.
func (t *translation) comparison(a args, m yaml11.Map, kind, name string) string {
	pattern := text(m.Lookup(name))
	switch how := or(strings.ToUpper(text(m.Lookup(kind))), "PLAIN"); how {
	case "PLAIN":
		return regexp.QuoteMeta(pattern)
	case "ANT":
		return antExpression(pattern)
	case "REG_EXP":
		if _, err := regexp.Compile(pattern); err != nil {
			t.miss(a.c, Without, "%s %q is an expression that cannot be used: %v", name, yaml11.Brief(pattern), err)
		}
		return pattern
	default:
		t.miss(a.c, Without, "%s %q is not known: it is PLAIN, ANT or REG_EXP", kind, yaml11.Brief(how))
	}
	return regexp.QuoteMeta(pattern)
}

// antExpression is a pattern of Ant's as a regular expression.
func antExpression(pattern string) string {
	return antMarks.Replace(regexp.QuoteMeta(strings.TrimPrefix(pattern, "/")))
}

// antMarks turns what QuoteMeta has made of Ant's marks into expressions.
var antMarks = strings.NewReplacer(`/\*\*/`, `/(?:.*/)?`, `\*\*/`, `(?:.*/)?`, `\*\*`, `.*`, `\*`, `[^/]*`, `\?`, `[^/]`)

// landed is a trigger of what has landed on the branches that the job's sources
// name.
func landed(t *translation, a args) {
	t.spec.Triggers = append(t.spec.Triggers, api.Trigger{Type: a.c.Type, Events: []string{merge}, Sources: []api.TriggerSource{{Branches: t.branches()}}})
}

// pullRequest is a trigger of patches.
func pullRequest(t *translation, a args) {
	if a.flag("only-trigger-phrase", false) {
		t.miss(a.c, Without, "comments start nothing: build it with landfall job try --change")
		return
	}
	s := api.TriggerSource{Branches: words(a.get("white-list-target-branches"))}
	if s.Branches == nil {
		s.Branches = t.branches()
	}
	s.Files, s.Except = expressions(t, a, "included-regions"), expressions(t, a, "excluded-regions")
	if set(a.get("black-list-target-branches")) {
		t.miss(a.c, Without, "black-list-target-branches: it is built for all branches")
	}
	t.spec.Triggers = append(t.spec.Triggers, api.Trigger{Type: a.c.Type, Events: []string{patchSet}, Sources: []api.TriggerSource{s}})
}

// expressions are the regular ones that an argument lists.
func expressions(t *translation, a args, name string) []string {
	var all []string
	for _, e := range words(a.get(name)) {
		if t.pattern(a.c, name, e) {
			all = append(all, e)
		}
	}
	return all
}

// branches are those that the job's sources name; none means any.
func (t *translation) branches() []string {
	var all []string
	for _, c := range t.job.Components["scm"] {
		for _, b := range list(c.Args.Map().Lookup("branches")) {
			b = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(b, "refs/heads/"), "origin/"), "*/")
			if strings.Contains(b, "$") || strings.Trim(b, "*") == "" {
				return nil
			}
			all = append(all, antExpression(b))
		}
	}
	return all
}

func addText(all []string, text string) []string {
	if slices.Contains(all, text) {
		return all
	}
	return append(all, text)
}
