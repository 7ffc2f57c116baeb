package kit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// MaxDocument is the size limit of a document's JSON, in bytes.
const MaxDocument = 1 << 20

// Meta is the envelope of a document. A document's type embeds it; the server
// sets all of it but Source and Expires, which the writer may set.
type Meta struct {
	Link    Link   `json:"link,omitempty"`
	Kind    string `json:"kind,omitempty"`
	Schema  int    `json:"schema,omitempty"`
	Version int64  `json:"version,omitempty"` // counts the document's changes from 1
	// Created and Updated are stamped by the leader, in UTC.
	Created time.Time `json:"created,omitzero"`
	Updated time.Time `json:"updated,omitzero"`
	// Expires is when the document is deleted by itself; zero means never.
	Expires time.Time `json:"expires,omitzero"`
	// Source is the document that this one came from: evidence, by link.
	Source Link `json:"source,omitempty"`
	// Pending are the operations that the document's last events wished for
	// and that have not been acknowledged.
	Pending []Op `json:"pending,omitempty"`
}

// Envelope returns m. Through it generic code reaches the envelope of any
// document.
func (m *Meta) Envelope() *Meta { return m }

// Record is a document as a node keeps it.
type Record struct {
	Meta
	// Body is a JSON object with the document's own fields, without those of
	// the envelope, as they came: unknown fields and their order survive.
	Body json.RawMessage
	// Seq is the log position of the last change. Not part of the document.
	Seq int64
	// Deleted marks a tombstone; Body is then nil.
	Deleted bool
}

// MarshalJSON writes the document as clients see it: the envelope's fields,
// then its own.
func (r Record) MarshalJSON() ([]byte, error) {
	return r.AppendJSON(make([]byte, 0, 256+len(r.Body)))
}

// AppendJSON appends what MarshalJSON returns to b. It is for who writes many.
func (r Record) AppendJSON(b []byte) ([]byte, error) {
	b, err := r.Meta.append(append(b, '{'))
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(r.Body)
	if len(body) > 2 {
		if b[len(b)-1] != '{' {
			b = append(b, ',')
		}
		return append(b, body[1:]...), nil
	}
	return append(b, '}'), nil
}

// append appends the fields that are set, as encoding/json would.
func (m *Meta) append(b []byte) ([]byte, error) {
	text := func(name, value string) {
		if value != "" {
			b = quote(field(b, name), value)
		}
	}
	number := func(name string, n int64) {
		if n != 0 {
			b = strconv.AppendInt(field(b, name), n, 10)
		}
	}
	text("link", string(m.Link))
	text("kind", m.Kind)
	number("schema", int64(m.Schema))
	number("version", m.Version)
	for _, at := range []struct {
		name string
		time time.Time
	}{{"created", m.Created}, {"updated", m.Updated}, {"expires", m.Expires}} {
		if at.time.IsZero() {
			continue
		}
		if y := at.time.Year(); y < 0 || y > 9999 {
			return nil, &Error{Op: "encode", Link: m.Link, Detail: fmt.Sprintf("the year %d of %q cannot be written", y, at.name)}
		}
		b = at.time.AppendFormat(append(field(b, at.name), '"'), time.RFC3339Nano)
		b = append(b, '"')
	}
	text("source", string(m.Source))
	if len(m.Pending) == 0 {
		return b, nil
	}
	ops, err := json.Marshal(m.Pending)
	return append(field(b, "pending"), ops...), err
}

// field appends the name of a field to an object that was begun.
func field(b []byte, name string) []byte {
	if b[len(b)-1] != '{' {
		b = append(b, ',')
	}
	b = append(append(b, '"'), name...)
	return append(b, '"', ':')
}

// UnmarshalJSON reads what MarshalJSON has written.
func (r *Record) UnmarshalJSON(b []byte) error {
	*r = Record{}
	o, err := parseObject(b)
	if err != nil {
		return err
	}
	own := o[:0]
	for _, m := range o {
		if !envelopeFields[m.name] {
			own = append(own, m)
		} else if err := r.Meta.read(m); err != nil {
			return &Error{Fault: ErrInvalid, Op: "decode", Link: r.Link, Detail: fmt.Sprintf("field %q: %v", m.name, err)}
		}
	}
	r.Body = own.encode()
	return nil
}

// read sets the field that f is; null leaves it alone.
func (m *Meta) read(f member) (err error) {
	if string(f.value) == "null" {
		return nil
	}
	switch f.name {
	case "link":
		return readString(f.value, &m.Link)
	case "kind":
		return readString(f.value, &m.Kind)
	case "source":
		return readString(f.value, &m.Source)
	case "schema":
		m.Schema, err = strconv.Atoi(string(f.value))
	case "version":
		m.Version, err = strconv.ParseInt(string(f.value), 10, 64)
	case "created":
		return m.Created.UnmarshalJSON(f.value)
	case "updated":
		return m.Updated.UnmarshalJSON(f.value)
	case "expires":
		return m.Expires.UnmarshalJSON(f.value)
	case "pending":
		return json.Unmarshal(f.value, &m.Pending)
	}
	return err
}

func readString[S ~string](raw json.RawMessage, s *S) error {
	if raw[0] != '"' {
		return fmt.Errorf("it is a string, not %s", raw)
	}
	text, err := unquote(raw)
	*s = S(text)
	return err
}

// envelopeFields are the JSON names of Meta's fields.
var envelopeFields = map[string]bool{
	"link": true, "kind": true, "schema": true, "version": true, "created": true,
	"updated": true, "expires": true, "source": true, "pending": true,
}

// StripEnvelope returns the JSON object b without the fields of the envelope.
// It fails with ErrInvalid where b is no JSON object.
func StripEnvelope(b []byte) (json.RawMessage, error) {
	o, err := parseObject(b)
	if err != nil {
		return nil, err
	}
	kept := o[:0:0]
	for _, m := range o {
		if !envelopeFields[m.name] {
			kept = append(kept, m)
		}
	}
	return kept.encode(), nil
}
