// Package difference tells the changes of jobs to people: equal changes of
// several jobs once, and those of long texts by their lines.
//
// It is pure: it reads plans, and decides nothing.
package difference

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"landfall.dev/api"
)

const (
	// maxNamed is how many of a group's jobs are named.
	maxNamed = 10
	// maxTitle is the length at which a value is long, in bytes.
	maxTitle = 100
	// maxCompared bounds the pairs of lines that are compared: of the texts after
	// that only the numbers of lines are told.
	maxCompared = 8_000_000
)

// Groups returns the changes: jobs that come, go and are renamed, each by
// itself, and then what changes in others, that of most jobs first.
func Groups(changes []api.JobEdit) []api.JobGroup {
	var all []api.JobGroup
	for _, c := range changes {
		if c.Action == api.JobUpdate {
			continue
		}
		g := api.JobGroup{Action: c.Action, Jobs: []string{c.Job}, Count: 1}
		if c.Action == api.JobRename {
			g.Title = "from " + c.From
		}
		all = append(all, g)
	}
	return append(all, updates(changes)...)
}

// Brief is Groups, but with all jobs that come as one group, and all that go.
func Brief(changes []api.JobEdit) []api.JobGroup {
	var all []api.JobGroup
	index := map[api.JobAction]int{}
	for _, g := range Groups(changes) {
		if g.Action != api.JobCreate && g.Action != api.JobDelete {
			all = append(all, g)
			continue
		}
		i, ok := index[g.Action]
		if !ok {
			i = len(all)
			index[g.Action] = i
			all = append(all, api.JobGroup{Action: g.Action})
		}
		add(&all[i], g.Jobs[0])
	}
	return all
}

func add(g *api.JobGroup, job string) {
	if g.Count++; len(g.Jobs) < maxNamed {
		g.Jobs = append(g.Jobs, job)
	}
}

// updates returns the changes of fields.
func updates(changes []api.JobEdit) []api.JobGroup {
	var all []api.JobGroup
	index := map[string]int{}
	left := maxCompared
	for _, c := range changes {
		for _, f := range c.Fields {
			title, lines := field(f, &left)
			key := title + "\n" + strings.Join(lines, "\n")
			i, ok := index[key]
			if !ok {
				i = len(all)
				index[key] = i
				all = append(all, api.JobGroup{Action: api.JobUpdate, Title: title, Lines: lines})
			}
			add(&all[i], c.Job)
		}
	}
	slices.SortStableFunc(all, func(a, b api.JobGroup) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// field tells the change of a field, of a long one by its lines, of which left
// pairs may be compared.
func field(f api.FieldEdit, left *int) (title string, lines []string) {
	if !strings.Contains(f.Before+f.After, "\n") && len(f.Before+f.After) < maxTitle {
		return fmt.Sprintf("%s: %s -> %s", f.Field, cmp.Or(f.Before, "nothing"), cmp.Or(f.After, "nothing")), nil
	}
	return f.Field, changed(split(f.Before), split(f.After), left)
}

func split(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n")
}

// changed returns the lines that are only in a, after a minus, and those only
// in b, after a plus: all but a longest common subsequence.
func changed(a, b []string, left *int) []string {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if *left -= len(a) * len(b); *left < 0 {
		return []string{fmt.Sprintf("%d lines become %d others", len(a), len(b))}
	}
	common := make([][]int, len(a)+1) // the length of that of a[i:] and b[j:]
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out = append(out, "- "+a[i])
			i++
		default:
			out = append(out, "+ "+b[j])
			j++
		}
	}
	return out
}
