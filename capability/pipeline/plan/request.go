package plan

import (
	"regexp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// events are those that start runs.
var events = []string{"merged", "patchset-created", "timer", "triggered"}

var commitPattern = regexp.MustCompile(`^[0-9a-f]{7,64}$`)

// CheckRequest refuses what is no project, no event and no commit.
func CheckRequest(ask api.PlanRequest) error {
	if api.Projects.Link(ask.Project).Check() != nil {
		return kit.Errorf(kit.ErrInvalid, "", "the event's project is %q: name one, as landfall project list shows them", ask.Project)
	}
	if ask.Event != "" && !slices.Contains(events, ask.Event) {
		return kit.Errorf(kit.ErrInvalid, "", "no run has the event %q%s: it is %s", ask.Event, Suggest(ask.Event, events), strings.Join(events, ", "))
	}
	for _, commit := range []string{ask.Commit, ask.Definitions, ask.Library, ask.Against} {
		if commit != "" && !commitPattern.MatchString(commit) {
			return kit.Errorf(kit.ErrInvalid, "", "%q is no commit: give its id in hexadecimal digits", commit)
		}
	}
	return nil
}
