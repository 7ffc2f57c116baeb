package web

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

const (
	// maxDiff is the size of a difference that is shown, in bytes.
	maxDiff = 4 << 20
	// maxRows is how many lines of it are.
	maxRows = 6000
)

// diff is the difference between two commits.
type diff struct {
	Files          []diffFile
	Added, Deleted int64
	Raw            string // where its text is
	Error          string // why it is not shown
}

// diffFile is the difference of a file.
type diffFile struct {
	Number         int
	Name           string
	Old            string // the name before, if it was another
	Kind           string // added, deleted, renamed, copied, changed
	Added, Deleted int64
	Binary         bool
	Long           bool // its lines are left out
	Split          bool // they are shown side by side
	Rows           []diffRow
}

// diffRow is a row of a difference: the lines before and after. In a unified
// view a line that was deleted or added has only one of them.
type diffRow struct {
	Hunk        string // the heading of a group of lines, which has neither
	Left, Right diffCell
}

// diffCell is a line on one side.
type diffCell struct {
	Number int64
	Op     string // "add", "del", "" for one that has not changed, "none" for none
	Text   string
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
	parsed, _, err := gitdiff.Parse(bytes.NewReader(b))
	if err != nil {
		d.Error = "it is not in Git's format"
		return d
	}
	rows := 0
	for i, f := range parsed {
		file := fileOf(f, split)
		file.Number = i + 1
		d.Added += file.Added
		d.Deleted += file.Deleted
		if rows += len(file.Rows); rows > maxRows {
			file.Long, file.Rows = true, nil
		}
		d.Files = append(d.Files, file)
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

func fileOf(f *gitdiff.File, split bool) diffFile {
	d := diffFile{Name: f.NewName, Binary: f.IsBinary, Kind: "changed", Split: split}
	switch {
	case f.IsNew:
		d.Kind = "added"
	case f.IsDelete:
		d.Kind, d.Name = "deleted", f.OldName
	case f.IsRename:
		d.Kind, d.Old = "renamed", f.OldName
	case f.IsCopy:
		d.Kind, d.Old = "copied", f.OldName
	}
	for _, t := range f.TextFragments {
		d.Added += t.LinesAdded
		d.Deleted += t.LinesDeleted
		d.Rows = append(d.Rows, diffRow{Hunk: strings.TrimSpace(t.Header())})
		if split {
			d.Rows = append(d.Rows, sideBySide(t)...)
		} else {
			d.Rows = append(d.Rows, unified(t)...)
		}
	}
	return d
}

// numbered calls each with the lines of t and their numbers in the old and
// the new file.
func numbered(t *gitdiff.TextFragment, each func(op gitdiff.LineOp, before, after int64, text string)) {
	before, after := t.OldPosition, t.NewPosition
	for _, l := range t.Lines {
		each(l.Op, before, after, strings.TrimRight(l.Line, "\r\n"))
		if l.Old() {
			before++
		}
		if l.New() {
			after++
		}
	}
}

func unified(t *gitdiff.TextFragment) []diffRow {
	var rows []diffRow
	numbered(t, func(op gitdiff.LineOp, before, after int64, text string) {
		switch op {
		case gitdiff.OpAdd:
			rows = append(rows, diffRow{Right: diffCell{after, "add", text}})
		case gitdiff.OpDelete:
			rows = append(rows, diffRow{Left: diffCell{before, "del", text}})
		default:
			rows = append(rows, diffRow{Left: diffCell{before, "", text}, Right: diffCell{after, "", text}})
		}
	})
	return rows
}

// sideBySide puts each deleted line beside an added one of the same group.
func sideBySide(t *gitdiff.TextFragment) []diffRow {
	var rows []diffRow
	var gone, come []diffCell
	flush := func() {
		for i := range max(len(gone), len(come)) {
			row := diffRow{Left: diffCell{Op: "none"}, Right: diffCell{Op: "none"}}
			if i < len(gone) {
				row.Left = gone[i]
			}
			if i < len(come) {
				row.Right = come[i]
			}
			rows = append(rows, row)
		}
		gone, come = nil, nil
	}
	numbered(t, func(op gitdiff.LineOp, before, after int64, text string) {
		switch op {
		case gitdiff.OpAdd:
			come = append(come, diffCell{after, "add", text})
		case gitdiff.OpDelete:
			gone = append(gone, diffCell{before, "del", text})
		default:
			flush()
			rows = append(rows, diffRow{Left: diffCell{before, "", text}, Right: diffCell{after, "", text}})
		}
	})
	flush()
	return rows
}

// Op tells what a unified row does: "add", "del" or "".
func (r diffRow) Op() string { return r.Left.Op + r.Right.Op }

// Text returns the line of a unified row.
func (r diffRow) Text() string {
	if r.Left.Number != 0 {
		return r.Left.Text
	}
	return r.Right.Text
}
