package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
	"landfall.dev/web/diffview"
)

// maxDiff is the size of a difference that is shown, in bytes.
const maxDiff = 4 << 20

// diff is the difference between two commits.
type diff struct {
	Files          []diffview.File
	Added, Deleted int64
	Raw            string // where its text is
	Error          string // why it is not shown
}

// diff asks source for the difference from one commit to another of a project
// that the caller may read.
func (s site) diff(r request, project, from, to string, split bool) diff {
	d := diff{Raw: fmt.Sprintf("/source/%s/diff/%s..%s", url.PathEscape(project), from, to)}
	if err := r.caller.May(kit.VerbRead, api.Projects.Link(project)); err != nil {
		return diff{Error: "you may not read the sources of this project"}
	}
	b, err := s.fetch(r.Context(), d.Raw, maxDiff)
	if err != nil {
		d.Error = layout.FaultOf(err).Detail
		return d
	}
	if d.Files, err = diffview.Parse(b, split); err != nil {
		d.Error = "it is not in Git's format"
	}
	for _, f := range d.Files {
		d.Added += f.Added
		d.Deleted += f.Deleted
	}
	return d
}

// fetch returns what the hub has at path, of at most limit bytes.
func (s site) fetch(ctx context.Context, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case err != nil:
		return nil, err
	case res.StatusCode != http.StatusOK:
		return nil, kit.DecodeProblem(res.StatusCode, b)
	case int64(len(b)) > limit:
		return nil, kit.Errorf(kit.ErrTooLarge, "", "it has more than %s", size(limit))
	}
	return b, nil
}
