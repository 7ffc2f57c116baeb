package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

// jobPath returns the path of the page of a project's job.
func jobPath(project, name string) string {
	u := url.URL{Path: "/projects/" + project + "/jobs/" + name}
	return u.EscapedPath()
}

// jobPage is a deployed job.
type jobPage struct {
	api.Job
	Generation *api.Generation
	Schedule   *api.Schedule
	Builds     []api.Build
	Commit     string // of the definitions that Parts are of
	Origin     []placedText
	Parts      []jobPart
	Error      string // why they are not shown
}

// jobPart is a part of a job's definition, with where it comes from.
type jobPart struct {
	Name  string // after a dot for each part that it is in
	At    placedText
	Via   []placedText
	Text  string
	Lines []jobLine // of the text, if each has a place
}

// jobLine is a line of a text and where it is written.
type jobLine struct {
	Number     int
	Path, Text string
}

// placedText is a text with places in files.
type placedText []placed

// placed is a piece of text; Path is empty if it is no place.
type placed struct{ Text, Path string }

// jobByName shows the job of a project by its name.
func (s site) jobByName(r request) (page, error) {
	project, name := r.id, r.PathValue("name")
	if err := kit.CheckID(project); err != nil {
		return page{}, kit.Errorf(kit.ErrNotFound, "", "there is no project %q", project)
	}
	j, err := api.Jobs.Read(r.Context(), r.client, api.JobID(project, name))
	if errors.Is(err, kit.ErrNotFound) {
		err = kit.Errorf(kit.ErrNotFound, api.Projects.Link(project), "it has no job %q any more, or not yet, or that is a step of its pipeline", name)
	}
	if err != nil {
		return page{}, err
	}
	return s.showJob(r, j)
}

// job leads from a job's document to its page.
func (s site) job(r request) (page, error) {
	j, err := read(r, api.Jobs)
	return page{To: jobPath(j.Project, j.Spec.Name)}, err
}

func (s site) showJob(r request, j api.Job) (page, error) {
	p := jobPage{Job: j, Commit: j.Commit}
	var err error
	if p.Generation, err = maybe(api.Generations.Read(r.Context(), r.client, j.Project)); err != nil {
		return page{}, err
	}
	if p.Schedule, err = maybe(api.Schedules.Read(r.Context(), r.client, j.Link.ID())); err != nil {
		return page{}, err
	}
	names := fmt.Sprintf("%q", j.Spec.Name)
	for _, name := range j.Formerly {
		names += fmt.Sprintf(", %q", name)
	}
	if p.Builds, err = latest(r, api.Builds, fmt.Sprintf("project == %q && job in [%s]", j.Project, names), 20); err != nil {
		return page{}, err
	}
	if p.Generation != nil && p.Generation.Deployed.Commit != "" {
		p.Commit = p.Generation.Deployed.Commit
	}
	s.explain(r, &p)
	return page{
		Title: j.Spec.Name, Section: "/jobs", Body: "job", Content: p,
		Live: follow(string(j.Link), string(api.Generations.Link(j.Project)), string(api.Schedules.Link(j.Link.ID())), api.Builds.Name),
	}, nil
}

// maybe returns a document, nil if there is none that the caller may see.
func maybe[T any](doc T, err error) (*T, error) {
	switch kit.FaultOf(err) {
	case 0:
		return &doc, nil
	case kit.ErrNotFound, kit.ErrForbidden:
		return nil, nil
	}
	return nil, err
}

// maxExplanation is the size of an explanation that is shown, in bytes.
const maxExplanation = 4 << 20

// explain adds where each part of the job comes from.
func (s site) explain(r request, p *jobPage) {
	if err := r.caller.May(kit.VerbRead, api.Projects.Link(p.Project)); err != nil {
		p.Error = "you may not read the sources of this project"
		return
	}
	at := fmt.Sprintf("/job/explain/%s/%s?job=%s", url.PathEscape(p.Project), url.PathEscape(p.Commit), url.QueryEscape(p.Spec.Name))
	b, err := s.fetch(r.Context(), at, maxExplanation)
	if err != nil {
		p.Error = layout.FaultOf(err).Detail
		return
	}
	var x api.JobExplanation
	if err := json.Unmarshal(b, &x); err != nil {
		p.Error = "its definition cannot be read"
		return
	}
	for _, o := range x.Origin {
		p.Origin = append(p.Origin, p.places(o))
	}
	p.add(x.Parts, 0)
}

func (p *jobPage) add(parts []api.JobPart, depth int) {
	for _, part := range parts {
		row := jobPart{Name: strings.Repeat("· ", depth) + part.Name, At: p.places(part.At), Text: part.Text}
		for _, v := range part.Via {
			row.Via = append(row.Via, p.places(v))
		}
		if file, _, ok := strings.Cut(part.At, ":"); ok && part.Line > 0 {
			for i, text := range strings.Split(part.Text, "\n") {
				row.Lines = append(row.Lines, jobLine{part.Line + i, p.filePath(file, part.Line+i), text})
			}
		}
		p.Parts = append(p.Parts, row)
		p.add(part.Parts, depth+1)
	}
}

// definedAt is a place in a file of definitions: "jobs/ledger.yml:12:3".
var definedAt = regexp.MustCompile(`(jobs/[^\s:"()]+):([0-9]+)(:[0-9]+)?`)

// places returns text with the places in it.
func (p *jobPage) places(text string) placedText {
	var all placedText
	from := 0
	for _, m := range definedAt.FindAllStringSubmatchIndex(text, -1) {
		line, err := strconv.Atoi(text[m[4]:m[5]])
		if err != nil {
			continue
		}
		all = append(all, placed{Text: text[from:m[0]]}, placed{text[m[0]:m[1]], p.filePath(text[m[2]:m[3]], line)})
		from = m[1]
	}
	return append(all, placed{Text: text[from:]})
}

func (p *jobPage) filePath(file string, line int) string {
	return filePath(p.Project, p.Commit, file, line)
}
