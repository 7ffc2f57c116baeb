// Package diffview turns a difference in Git's format into the rows that a page
// shows of it, in one column or two. It reads nothing.
package diffview

import (
	"bytes"
	"strings"

	"github.com/bluekeyes/go-gitdiff/gitdiff"
)

// maxRows is how many rows of a difference are shown: files after that have none.
const maxRows = 6000

// Parse returns the files of a difference, those of two columns if split.
func Parse(text []byte, split bool) ([]File, error) {
	parsed, _, err := gitdiff.Parse(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	var files []File
	rows := 0
	for i, f := range parsed {
		file := fileOf(f, split)
		file.Number = i + 1
		if rows += len(file.Rows); rows > maxRows {
			file.Long, file.Rows = true, nil
		}
		files = append(files, file)
	}
	return files, nil
}

// File is the difference of a file.
type File struct {
	Number         int
	Name           string
	Old            string // the name before, if it was another
	Kind           string // added, deleted, renamed, copied, changed
	Added, Deleted int64
	Binary         bool
	Long           bool // its lines are left out
	Split          bool // they are shown side by side
	Rows           []Row
}

// Row is a row of a difference: the lines before and after. In a unified
// view a line that was deleted or added has only one of them.
type Row struct {
	Hunk        string // the heading of a group of lines, which has neither
	Left, Right Cell
}

// Cell is a line on one side.
type Cell struct {
	Number int64
	Op     string // "add", "del", "" for one that has not changed, "none" for none
	Text   string
}

func fileOf(f *gitdiff.File, split bool) File {
	d := File{Name: f.NewName, Binary: f.IsBinary, Kind: "changed", Split: split}
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
		d.Rows = append(d.Rows, Row{Hunk: strings.TrimSpace(t.Header())})
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

func unified(t *gitdiff.TextFragment) []Row {
	var rows []Row
	numbered(t, func(op gitdiff.LineOp, before, after int64, text string) {
		switch op {
		case gitdiff.OpAdd:
			rows = append(rows, Row{Right: Cell{after, "add", text}})
		case gitdiff.OpDelete:
			rows = append(rows, Row{Left: Cell{before, "del", text}})
		default:
			rows = append(rows, Row{Left: Cell{before, "", text}, Right: Cell{after, "", text}})
		}
	})
	return rows
}

// sideBySide puts each deleted line beside an added one of the same group.
func sideBySide(t *gitdiff.TextFragment) []Row {
	var rows []Row
	var gone, come []Cell
	flush := func() {
		for i := range max(len(gone), len(come)) {
			row := Row{Left: Cell{Op: "none"}, Right: Cell{Op: "none"}}
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
			come = append(come, Cell{after, "add", text})
		case gitdiff.OpDelete:
			gone = append(gone, Cell{before, "del", text})
		default:
			flush()
			rows = append(rows, Row{Left: Cell{before, "", text}, Right: Cell{after, "", text}})
		}
	})
	flush()
	return rows
}

// Op tells what a unified row does: "add", "del" or "".
func (r Row) Op() string { return r.Left.Op + r.Right.Op }

// Text returns the line of a unified row.
func (r Row) Text() string {
	if r.Left.Number != 0 {
		return r.Left.Text
	}
	return r.Right.Text
}
