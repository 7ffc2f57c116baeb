package web

import (
	"fmt"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// projectFilter passes the documents of the project that ?project= names.
func projectFilter(r request) (string, error) {
	project := r.FormValue("project")
	if project == "" {
		return "", nil
	}
	if err := kit.CheckID(project); err != nil {
		return "", err
	}
	return fmt.Sprintf("project == %q", project), nil
}

// projectsPage is a list of projects.
type projectsPage struct {
	Projects []api.Project
	Next     string
}

func (s site) projects(r request) (page, error) {
	var p projectsPage
	var err error
	p.Projects, p.Next, err = list(r, api.Projects, "", "")
	return page{Title: "Projects", Section: "/projects", Body: "projects", Content: p, Live: follow(api.Projects.Name)}, err
}

// projectPage is a project.
type projectPage struct {
	api.Project
	Name    string
	Clone   string // the address for git
	Hook    string // the address of Git's hook that adds Change-Ids
	Refs    []api.Ref
	Jobs    []api.Job // that have changed last
	Runs    []api.Run
	Changes []api.Change // that are open
}

func (s site) project(r request) (page, error) {
	doc, err := read(r, api.Projects)
	if err != nil {
		return page{}, err
	}
	name := doc.Link.ID()
	p := projectPage{Project: doc, Name: name, Clone: s.base + "/git/" + name, Hook: s.base + "/tools/hooks/commit-msg"}
	own := fmt.Sprintf("project == %q", name)
	if p.Refs, err = latest(r, api.Refs, own+` && !name.startsWith("refs/changes/")`, 50); err != nil {
		return page{}, err
	}
	if p.Jobs, err = latest(r, api.Jobs, own, 30); err != nil {
		return page{}, err
	}
	if p.Runs, err = latest(r, api.Runs, own, 10); err != nil {
		return page{}, err
	}
	if p.Changes, err = latest(r, api.Changes, own+fmt.Sprintf(" && status == %q", api.ChangeOpen), 10); err != nil {
		return page{}, err
	}
	return page{
		Title: name, Section: "/projects", Body: "project", Content: p,
		Live: follow(string(doc.Link), api.Refs.Name, api.Jobs.Name, api.Runs.Name, api.Changes.Name),
	}, nil
}
