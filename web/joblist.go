package web

import (
	"fmt"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// jobsPage is a list of deployed jobs.
type jobsPage struct {
	narrowed
	Jobs []jobRow
	Next string
}

// jobRow is a job with its last build.
type jobRow struct {
	api.Job
	Last *api.Build // nil if it has none, or not of late
}

// lately is how many builds are looked through for the last of a job.
const lately = 1000

func (s site) jobs(r request) (page, error) {
	n, err := narrow(r)
	if err != nil {
		return page{}, err
	}
	p := jobsPage{narrowed: n}
	n.State, n.Runner = "", ""
	jobs, next, err := list(r, api.Jobs, n.filter("spec.name"), "")
	if err != nil {
		return page{}, err
	}
	p.Jobs, p.Next = make([]jobRow, len(jobs)), next
	for i, j := range jobs {
		p.Jobs[i].Job = j
	}
	if err := lastBuilds(r, p.Jobs); err != nil {
		return page{}, err
	}
	return page{Title: "Jobs", Section: "/jobs", Body: "jobs", Content: p, Live: follow(api.Jobs.Name, api.Builds.Name)}, nil
}

// lastBuilds adds the last build of each job.
func lastBuilds(r request, jobs []jobRow) error {
	if len(jobs) == 0 || !r.may(kit.VerbList, api.Builds.Link("")) {
		return nil
	}
	at := map[string]*jobRow{}
	names := ""
	for i := range jobs {
		at[jobs[i].Project+"~"+jobs[i].Spec.Name] = &jobs[i]
		names += fmt.Sprintf("%q, ", jobs[i].Spec.Name)
	}
	builds, _, err := some(r, kit.Query{
		Kind: api.Builds.Name, Filter: fmt.Sprintf("job in [%s]", names[:len(names)-2]), Order: "-created", Limit: lately,
		Select: []string{"project", "job", "state", "started", "finished"},
	}, api.Builds)
	for i, b := range builds {
		if row := at[b.Project+"~"+b.Job]; row != nil && row.Last == nil {
			row.Last = &builds[i]
		}
	}
	return err
}
