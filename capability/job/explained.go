package job

import (
	"encoding/json"
	"net/http"
	"regexp"

	"landfall.dev/api"
	"landfall.dev/capability/job/explain"
	"landfall.dev/kit"
)

// magic are the characters with a meaning in patterns of names.
var magic = regexp.MustCompile(`[*?[]`)

// serveExplanation answers where each part of the job ?job= of a project comes
// from, at a commit.
func (d definitions) serveExplanation(w http.ResponseWriter, r *http.Request) error {
	project, commit, name := r.PathValue("project"), r.PathValue("commit"), r.FormValue("job")
	if err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Projects.Link(project)); err != nil {
		return err
	}
	files, err := d.files(r.Context(), project, commit)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return kit.Errorf(kit.ErrNotFound, api.Projects.Link(project), "it has no definitions at %.12s", commit)
	}
	set, err := load(files)
	if err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: err.Error()}
	}
	jobs, err := set.Jobs(magic.ReplaceAllString(name, "[$0]"))
	if err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: err.Error()}
	}
	if len(jobs) == 0 {
		return kit.Errorf(kit.ErrNotFound, api.Projects.Link(project), "the definitions at %.12s make no job %q", commit, name)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(explain.Job(jobs[0]))
	return nil
}
