package migrate

import (
	"encoding/json"
	"fmt"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// cursorName is the name of the cursor that a cluster pulls by.
const cursorName = "migrate"

// progress is what is kept with the cursor.
type progress struct {
	// Generation counts how often everything was taken from the beginning.
	Generation int64 `json:"generation"`
	// Filling tells that no cycle since then was completed, and Began is the
	// source's position at the first of them.
	Filling bool   `json:"filling,omitempty"`
	Began   string `json:"began,omitempty"`
	// Quarantine are the documents that could not be transformed.
	Quarantine []Failure `json:"quarantine,omitempty"`
}

// Failure is a document that could not be transformed.
type Failure struct {
	Link  kit.Link `json:"link"`
	Field string   `json:"field,omitempty"` // empty if it is not about one field
	Error string   `json:"error"`
}

// reason returns what is wrong, with the field.
func (f Failure) reason() string {
	if f.Field == "" {
		return f.Error
	}
	return fmt.Sprintf("field %q: %s", f.Field, f.Error)
}

// maxFailure bounds the text of a Failure, in bytes.
const maxFailure = 300

// failure returns why the document at link is not taken over.
func failure(link kit.Link, field string, reason string) Failure {
	if len(reason) > maxFailure {
		reason = reason[:maxFailure] + "..."
	}
	return Failure{Link: link, Field: field, Error: reason}
}

// progress returns what is kept, and the position, empty if there is none.
func (s *service) progress() (p progress, position string, err error) {
	c, ok := s.store.Cursor(cursorName)
	if !ok {
		return p, "", nil
	}
	if err := json.Unmarshal(c.Data, &p); err != nil {
		return p, "", &kit.Error{Fault: kit.ErrInternal, Op: "migrate", Err: fmt.Errorf("the cursor: %w", err)}
	}
	return p, c.Position, nil
}

// cursor returns p as it is kept.
func (p progress) cursor(at kit.Position) (*store.Cursor, error) {
	data, err := json.Marshal(p)
	if err != nil {
		return nil, &kit.Error{Op: "encode", Err: err}
	}
	return &store.Cursor{Name: cursorName, Position: at.String(), Data: data}, nil
}
