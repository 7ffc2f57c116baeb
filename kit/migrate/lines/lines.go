// Package lines writes exports for people and scripts: a line of JSON for each
// document.
package lines

import (
	"encoding/json"
	"io"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// Writer writes lines to W.
type Writer struct{ W io.Writer }

// tombstone is the line of a deleted document.
type tombstone struct {
	Link    kit.Link `json:"link"`
	Version int64    `json:"version"`
	Deleted bool     `json:"deleted"`
}

// Document writes the document or tombstone that p is.
func (w Writer) Document(p frame.Piece) error {
	r := p.Frame().Record
	if r.Deleted {
		return w.Line(tombstone{r.Link, r.Version, true})
	}
	return w.Line(r)
}

// Line writes v.
func (w Writer) Line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.W.Write(append(b, '\n'))
	return err
}
