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
			t.miss(a.c, Without, "the event %s starts nothing: a run is started again on its page", name)
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
func landed(t *translation, a args) { t.sourceTrigger(a, merge) }

// proposed is a trigger of patches.
func proposed(t *translation, a args) { t.sourceTrigger(a, patchSet) }

func (t *translation) sourceTrigger(a args, event string) {
	s := api.TriggerSource{}
	for _, c := range t.job.Components["scm"] {
		for _, b := range list(c.Args.Map().Lookup("branches")) {
			b = strings.TrimPrefix(strings.TrimPrefix(strings.TrimPrefix(b, "refs/heads/"), "origin/"), "*/")
			if strings.Contains(b, "$") || strings.Trim(b, "*") == "" {
				s.Branches = nil // any
				break
			}
			s.Branches = append(s.Branches, antExpression(b))
		}
	}
	t.spec.Triggers = append(t.spec.Triggers, api.Trigger{Type: a.c.Type, Events: []string{event}, Sources: []api.TriggerSource{s}})
}

func addText(all []string, text string) []string {
	if slices.Contains(all, text) {
		return all
	}
	return append(all, text)
}
