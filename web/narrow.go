package web

import (
	"fmt"
	"regexp"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// maxSought is the size limit of a text that names are searched for, in bytes.
const maxSought = 200

// narrowed is what a list of jobs or builds is narrowed to by its form.
type narrowed struct {
	Project string
	Name    string // a part of a job's name
	State   api.BuildState
	Runner  string
}

// narrow reads the form of the request.
func narrow(r request) (narrowed, error) {
	n := narrowed{
		Project: strings.TrimSpace(r.FormValue("project")), Name: strings.TrimSpace(r.FormValue("name")),
		State: api.BuildState(r.FormValue("state")), Runner: strings.TrimSpace(r.FormValue("runner")),
	}
	for _, id := range []string{n.Project, n.Runner} {
		if id == "" {
			continue
		}
		if err := kit.CheckID(id); err != nil {
			return n, err
		}
	}
	if len(n.Name) > maxSought {
		return n, kit.Errorf(kit.ErrInvalid, "", "a part of a name has at most %d bytes", maxSought)
	}
	return n, nil
}

// filter returns the filter that passes what is wanted; name is the field with
// the job's name. The name is searched for in any case of its letters.
func (n narrowed) filter(name string) string {
	var all []string
	for _, f := range []struct{ field, value string }{{"project", n.Project}, {"state", string(n.State)}, {"runner", n.Runner}} {
		if f.value != "" {
			all = append(all, fmt.Sprintf("%s == %q", f.field, f.value))
		}
	}
	if n.Name != "" {
		all = append(all, fmt.Sprintf("%s.matches(%q)", name, "(?i)"+regexp.QuoteMeta(n.Name)))
	}
	return strings.Join(all, " && ")
}

// Any tells whether anything is asked for.
func (n narrowed) Any() bool { return n != narrowed{} }

// States are those that builds can be narrowed to.
func (narrowed) States() []api.BuildState {
	return []api.BuildState{
		api.BuildWaiting, api.BuildQueued, api.BuildRunning,
		api.BuildPassed, api.BuildFailed, api.BuildError, api.BuildCancelled,
	}
}
