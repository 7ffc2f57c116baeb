package quality

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/quality/baseline"
	"landfall.dev/capability/quality/patch"
	"landfall.dev/kit"
)

const (
	// maxLanded is how many reports of what has landed are looked through.
	maxLanded = 20
	// maxSources is how many files are compared, at most, to find what has moved.
	maxSources = 50
)

// before finds out which findings on added lines were there before: in the
// report on parent or, where there is none, in the latest of what has landed.
func (j judging) before(ctx context.Context, r api.Report, parent string, e *evidence) error {
	if e.patch == nil || parent == "" || len(e.findings) == 0 {
		return nil
	}
	old, err := j.landed(ctx, r, parent)
	if err != nil || old.Link == "" {
		return err
	}
	b, err := found(api.Builds.Read(ctx, j.client, old.Link.ID()))
	if err != nil {
		return err
	}
	was := evidence{}
	err = j.read(ctx, only(b.Reports, api.ReportSARIF), &was)
	if errors.Is(err, kit.ErrNotFound) {
		return nil // they are not kept any more
	}
	if err != nil {
		return err
	}
	s := &sources{judging: j, project: r.Project, texts: map[string][]string{}}
	e.known = baseline.Known(
		baseline.Version{Findings: located(e.patch, was.findings), Lines: s.at(ctx, old.Commit)},
		baseline.Version{Findings: located(e.patch, e.findings), Lines: s.at(ctx, r.Commit)},
		func(f api.Finding) bool { return e.patch.Adds(f.File, f.Line) },
	)
	return s.err
}

// landed returns the report on the commit of the same job or, where there is
// none, the latest of what has landed; it has no link if there is none.
func (j judging) landed(ctx context.Context, r api.Report, commit string) (best api.Report, err error) {
	filter := fmt.Sprintf(`project == %q && job == %q && change == ""`, r.Project, r.Job)
	p, err := j.client.List(ctx, kit.Query{Kind: api.Reports.Name, Filter: filter, Order: "-created", Limit: maxLanded})
	if err != nil {
		return best, err
	}
	for _, record := range p.Items {
		old, err := api.Reports.Decode(record)
		if err != nil {
			return best, err
		}
		if old.Findings == nil || old.Link == r.Link || old.Created.After(r.Created) {
			continue
		}
		if old.Commit == commit {
			return old, nil
		}
		if best.Link == "" {
			best = old
		}
	}
	return best, nil
}

// located returns findings with the names that their files have in the patch;
// those in other files keep theirs.
func located(p *patch.Patch, findings []api.Finding) []api.Finding {
	names := p.Names(absolute(findings))
	all := make([]api.Finding, len(findings))
	for i, f := range findings {
		if file := names.File(f.File); file != "" {
			f.File = file
		}
		all[i] = f
	}
	return all
}

// absolute returns the files of findings whose names are whole paths.
func absolute(findings []api.Finding) (names []string) {
	for _, f := range findings {
		if strings.HasPrefix(f.File, "/") {
			names = append(names, f.File)
		}
	}
	return names
}

// sources are files of the project that were read.
type sources struct {
	judging
	project string
	texts   map[string][]string // lines, by commit and file
	err     error               // the first; what follows it is not known
}

// at returns how the lines of files of a commit are read.
func (s *sources) at(ctx context.Context, commit string) baseline.Lines {
	return func(file string) []string {
		key := commit + "/" + file
		lines, ok := s.texts[key]
		if ok || s.err != nil || len(s.texts) >= maxSources {
			return lines
		}
		u := url.URL{Path: fmt.Sprintf("/source/%s/file/%s", s.project, key)}
		text, err := s.fetch(ctx, u.EscapedPath())
		switch kit.FaultOf(err) {
		case kit.ErrNotFound, kit.ErrInvalid: // it is not in there, or no path
		default:
			s.err = err
		}
		if err == nil {
			lines = strings.Split(string(text), "\n")
		}
		s.texts[key] = lines
		return lines
	}
}
