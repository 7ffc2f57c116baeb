package local

import (
	"bytes"
	"encoding/json"
	"errors"

	"landfall.dev/kit"
)

// MaxBatch is the size limit of the writes of a batch, in bytes.
const MaxBatch = 8 * kit.MaxDocument

// CheckBody returns the body of a write, nil if it has none; an error if it is
// no JSON.
func CheckBody(b []byte, l kit.Link) ([]byte, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, nil
	}
	return b, CheckJSON(b, l)
}

// CheckJSON says in which line b is no JSON.
func CheckJSON(b []byte, link kit.Link) error {
	if json.Valid(b) {
		return nil
	}
	var raw json.RawMessage
	err := json.Unmarshal(b, &raw)
	offset := len(b)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = min(int(syntax.Offset), len(b))
	}
	line := 1 + bytes.Count(b[:offset], []byte("\n"))
	return kit.Errorf(kit.ErrInvalid, link, "the body is not valid JSON at line %d, byte %d: %v", line, offset, err)
}

// CreateLink returns the link that a new document of the kind with the id and
// the body shall have: "kind/" if its id is to be allocated.
func CreateLink(kind, id string, body []byte) (kit.Link, error) {
	if id == "" {
		var m struct {
			Link kit.Link `json:"link"`
		}
		if err := json.Unmarshal(body, &m); err != nil {
			return "", kit.Errorf(kit.ErrInvalid, kit.NewLink(kind, ""), "the body is no JSON object with a link that is a string, or none")
		}
		if id = m.Link.ID(); m.Link != "" && m.Link.Kind() != kind {
			return "", kit.Errorf(kit.ErrInvalid, m.Link, "the body's link is not of the kind %s", kind)
		}
	}
	if id == "" {
		return kit.NewLink(kind, ""), nil
	}
	return kit.NewLink(kind, id), kit.CheckID(id)
}

// TooLarge is the error for a body of more than limit bytes.
func TooLarge(l kit.Link, limit int64) error {
	return kit.Errorf(kit.ErrTooLarge, l, "the body has more than %d bytes", limit)
}
