// Package native translates jobs that are defined in Jenkins Job Builder's
// language into what Landfall runs by itself, and says what it leaves out.
//
// It owns no documents and watches nothing: it is a pure function from an
// expanded definition to an api.JobSpec and a list of what is missing. It
// never drops a part of a job silently: each component is carried out, or
// makes no difference here (colours in a log, the age of old builds), or is in
// the list.
//
// What is known of each type of component stands in one table, types, with
// the arguments that it has and what becomes of them.
package native

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// Severity says what a missing part means for its job.
type Severity string

// The severities.
const (
	Without Severity = "without" // the job runs without it
	Cannot  Severity = "cannot"  // the job cannot run
)

// Missing is a part of a job that Landfall does not carry out.
type Missing struct {
	// Component is its kind and type: "publishers: email".
	Component string   `json:"component"`
	Reason    string   `json:"reason"`
	Severity  Severity `json:"severity"`
	At        string   `json:"at,omitempty"` // "file:line" of the definition; empty if it is the job's own
}

// Support says what becomes of a type of component.
type Support string

// What becomes of components.
const (
	Runs      Support = "runs"       // as in Jenkins, but for arguments that are reported
	Free      Support = "free"       // nothing is to be done here
	LeftOut   Support = "left out"   // jobs run without it
	CannotRun Support = "cannot run" // jobs with it do not run
)

// Type is a type of component that is known here.
type Type struct {
	Kind, Name string
	Support    Support
	// Note says why it is left out or cannot run.
	Note string
}

// Types returns all types of components that are known, by kind and name.
func Types() []Type {
	var all []Type
	for kind, named := range types {
		for name, t := range named {
			all = append(all, Type{kind, name, t.support, t.note})
		}
	}
	slices.SortFunc(all, func(a, b Type) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name)) })
	return all
}

// Translate returns what Landfall does for the job, and what it does not.
func Translate(j definition.Job) (api.JobSpec, []Missing) {
	t := translate(j)
	return t.spec, t.missing
}

// Strict is Translate for a job that is to be deployed. What is missing is in
// its spec; an argument that is most likely misspelt is an error. (What expands
// definitions has looked at the types.)
func Strict(j definition.Job) (api.JobSpec, []*definition.Error) {
	t := translate(j)
	for _, m := range t.missing {
		t.spec.Missing = append(t.spec.Missing, api.MissingPart{Component: m.Component, Reason: m.Reason, At: m.At, Needed: m.Severity == Cannot})
	}
	return t.spec, t.mistakes
}

func translate(j definition.Job) *translation {
	t := &translation{job: j, spec: api.JobSpec{
		Name:        j.Name,
		Description: strings.TrimSpace(strings.TrimSuffix(text(j.Keys.Lookup("description")), marker)),
		Script:      []string{},
		Origin:      j.Origin,
	}}
	t.keys()
	for _, kind := range kinds {
		for _, c := range j.Components[kind] {
			t.component(c)
		}
	}
	t.spec.Steps = slices.Concat(t.first, t.steps)
	return t
}

// marker is what Jenkins Job Builder puts at the end of descriptions, to know
// its jobs again.
const marker = "<!-- Managed by Jenkins Job Builder -->"

// kinds are the lists of components of a job in the order in which Jenkins
// goes through them.
var kinds = []string{
	"parameters", "properties", "triggers", "scm", "wrappers", "prebuilders",
	"builders", "postbuilders", "publishers", "reporters", "notifications",
}

// translation is the state of Translate.
type translation struct {
	job     definition.Job
	spec    api.JobSpec
	first   []api.Step // of properties and wrappers
	steps   []api.Step
	missing []Missing
	// mistakes are those of missing that nobody knows.
	mistakes []*definition.Error
}

// component translates one component that is not part of another.
func (t *translation) component(c definition.Component) {
	switch c.Kind {
	case "builders", "prebuilders", "postbuilders":
		t.steps = append(t.steps, t.builder(c)...)
		return
	}
	known, ok := t.known(c)
	if !ok {
		return
	}
	if known.do != nil {
		a := t.read(c, known)
		known.do(t, a)
	}
}

// known looks a component's type up and reports what is missing of it. It
// returns false if there is nothing to translate.
func (t *translation) known(c definition.Component) (kind, bool) {
	list := c.Kind
	if list == "prebuilders" || list == "postbuilders" {
		list = "builders"
	}
	k, ok := types[list][c.Type]
	switch {
	case !ok:
		t.miss(c, unknownSeverity(list), "nothing here runs this type")
		return k, false
	case k.support == CannotRun:
		t.miss(c, Cannot, "%s", k.note)
		return k, k.do != nil
	case k.support == LeftOut:
		t.miss(c, Without, "%s", k.note)
		return k, k.do != nil
	}
	return k, k.support == Runs
}

// unknownSeverity is what a type that is not known means: most publishers only
// tell somebody something, but what a builder does may be needed.
func unknownSeverity(list string) Severity {
	switch list {
	case "builders", "wrappers", "scm", "parameters":
		return Cannot
	}
	return Without
}

// miss reports a part that is missing of c.
func (t *translation) miss(c definition.Component, s Severity, format string, args ...any) {
	m := Missing{Component: c.Kind + ": " + c.Type, Reason: fmt.Sprintf(format, args...), Severity: s}
	if c.At.Line > 0 {
		m.At = c.At.Origin()
	}
	if !slices.Contains(t.missing, m) {
		t.missing = append(t.missing, m)
	}
}

// mistake reports what is most likely a slip.
func (t *translation) mistake(at yaml11.Position, format string, args ...any) {
	if at.Line > 0 {
		t.mistakes = append(t.mistakes, at.Errorf(format, args...))
	}
}

// missKey reports a key of the job itself that is missing.
func (t *translation) missKey(key string, s Severity, format string, args ...any) {
	t.missing = append(t.missing, Missing{Component: key, Reason: fmt.Sprintf(format, args...), Severity: s})
}
