package difference

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestJobsThatComeAndGoAreTwoGroups(t *testing.T) {
	changes := []api.JobEdit{{Job: "style", Action: api.JobRename, From: "lint"}, {Job: "old", Action: api.JobDelete}}
	for i := range 20 {
		changes = append(changes, api.JobEdit{Job: fmt.Sprint("new-", i), Action: api.JobCreate})
	}
	var got []string
	for _, g := range Brief(changes) {
		got = append(got, g.String())
	}
	want := []string{"> rename  style  from lint", "- delete  old", "+ create  20 jobs: new-0, new-1, new-2, ..."}
	if !slices.Equal(got, want) {
		t.Errorf("the groups are %q, want %q", got, want)
	}
	if n := len(Groups(changes)); n != len(changes) {
		t.Errorf("told one by one they are %d groups, want %d", n, len(changes))
	}
}

func TestTextsAreComparedWithinALimit(t *testing.T) {
	var changes []api.JobEdit
	for i := range 3 {
		before, after := "", ""
		for n := range 2000 {
			before += fmt.Sprintf("a%d.%d\n", i, n)
			after += fmt.Sprintf("b%d.%d\n", i, n)
		}
		changes = append(changes, api.JobEdit{Job: fmt.Sprint("job-", i), Action: api.JobUpdate, Fields: []api.FieldEdit{{Field: "script", Before: before, After: after}}})
	}
	var told []string
	for _, g := range Groups(changes) {
		told = append(told, fmt.Sprint(len(g.Lines)))
	}
	if got := strings.Join(told, " "); got != "4000 4000 1" {
		t.Errorf("the differences have %s lines, want the last told by its length", got)
	}
}
