package web

import (
	"fmt"
	"net/url"
	"path"
	"strings"
	"unicode/utf8"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// maxFile is the size of a file that is shown, in bytes.
const maxFile = 2 << 20

// filePath returns the path of the page of a file at a commit, at one of its
// lines.
func filePath(project, commit, file string, line int) string {
	u := url.URL{Path: fmt.Sprintf("/projects/%s/files/%s/%s", project, commit, file), Fragment: fmt.Sprintf("L%d", line)}
	return u.String()
}

// filePage is a file of a project's sources.
type filePage struct {
	Project, Commit, File string
	Raw                   string // where it is as it is
	Lines                 []string
}

// file shows a file at a commit, by lines that can be linked to.
func (s site) file(r request) (page, error) {
	f := filePage{Project: r.id, Commit: r.PathValue("commit"), File: r.PathValue("path")}
	link := api.Projects.Link(f.Project)
	if err := link.Check(); err != nil {
		return page{}, err
	}
	if err := r.caller.May(kit.VerbRead, link); err != nil {
		return page{}, err
	}
	u := url.URL{Path: fmt.Sprintf("/source/%s/file/%s/%s", f.Project, f.Commit, f.File)}
	f.Raw = u.EscapedPath()
	b, err := s.fetch(r.Context(), f.Raw, maxFile)
	if err != nil {
		return page{}, err
	}
	if !utf8.Valid(b) {
		return page{}, kit.Errorf(kit.ErrInvalid, link, "%s is no text: it is at %s", f.File, f.Raw)
	}
	f.Lines = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	return page{Title: path.Base(f.File), Section: "/projects", Body: "file", Content: f}, nil
}

// Number returns the number of the i-th line.
func (filePage) Number(i int) int { return i + 1 }
