package kit

import (
	"bytes"
	"encoding/json"
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
	head, err := json.Marshal(r.Meta)
	if err != nil {
		return nil, err
	}
	body := bytes.TrimSpace(r.Body)
	if len(body) <= 2 {
		return head, nil
	}
	if len(head) == 2 {
		return body, nil
	}
	out := make([]byte, 0, len(head)+len(body))
	out = append(out, head[:len(head)-1]...)
	out = append(out, ',')
	return append(out, body[1:]...), nil
}

// UnmarshalJSON reads what MarshalJSON has written.
func (r *Record) UnmarshalJSON(b []byte) error {
	*r = Record{}
	if err := json.Unmarshal(b, &r.Meta); err != nil {
		return err
	}
	body, err := StripEnvelope(b)
	r.Body = body
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
