package rest

import (
	"encoding/json"
	"slices"
	"time"

	"landfall.dev/kit"
)

// maxPins is how often a write by a caller whose role depends on the document is
// tried again because the document has changed.
const maxPins = 10

// permit checks that c may make the writes. Where that depends on what a
// document is, the write is pinned to the version that was looked at; pinned
// tells whether any is.
func (s *Server) permit(c caller, writes []kit.Write) (permitted []kit.Write, pinned bool, err error) {
	permitted = writes
	for i, w := range writes {
		if c.always(w.Verb, w.Link) {
			continue
		}
		if !c.maybe(w.Verb, w.Link) {
			return nil, false, c.denied(w.Verb, w.Link)
		}
		if w.Verb == kit.VerbCreate {
			if err := s.permitCreate(c, w); err != nil {
				return nil, false, err
			}
			continue
		}
		if slices.ContainsFunc(writes[:i], func(other kit.Write) bool { return other.Link == w.Link }) {
			return nil, false, &kit.Error{Fault: kit.ErrInvalid, Link: w.Link, Detail: "the batch changes it twice, and what you may do to it depends on what it is", Hint: "make one write of them, or two batches"}
		}
		version, err := s.permitChange(c, w)
		if err != nil {
			return nil, false, err
		}
		if w.IfMatch == 0 {
			if !pinned {
				permitted = slices.Clone(writes)
			}
			permitted[i].IfMatch, pinned = version, true
		}
	}
	return permitted, pinned, nil
}

// permitCreate checks what the document would be.
func (s *Server) permitCreate(c caller, w kit.Write) error {
	r, err := merged(kit.Record{Meta: kit.Meta{Link: w.Link, Kind: w.Link.Kind(), Version: 1}}, w.Body)
	if err != nil {
		return err
	}
	return c.mayTo(w.Verb, r)
}

// permitChange checks what the document is, and for an update what it would
// be, and returns the version that it looked at.
func (s *Server) permitChange(c caller, w kit.Write) (int64, error) {
	r, err := s.store.Read(w.Link)
	if err != nil {
		return 0, err
	}
	if err := c.mayTo(w.Verb, r); err != nil || w.Verb != kit.VerbUpdate {
		return r.Version, err
	}
	after, err := merged(r, w.Body)
	if err != nil {
		return 0, err
	}
	if c.mayTo(w.Verb, after) != nil {
		return 0, &kit.Error{Fault: kit.ErrForbidden, Link: w.Link, Detail: c.Subject + " may not make it what this update would", Hint: "ask an administrator for a role that allows it"}
	}
	return r.Version, nil
}

// merged returns r as a writer's patch, or the body of a create, would leave it.
func merged(r kit.Record, patch []byte) (kit.Record, error) {
	if len(patch) == 0 {
		return r, nil
	}
	own, err := kit.StripEnvelope(patch)
	if err != nil {
		return r, err
	}
	var written map[string]json.RawMessage
	if err := json.Unmarshal(patch, &written); err != nil {
		return r, kit.Errorf(kit.ErrInvalid, r.Link, "the body is no JSON object: %v", err)
	}
	// Null clears them.
	if raw, ok := written["source"]; ok {
		r.Source = ""
		err = json.Unmarshal(raw, &r.Source)
	}
	if raw, ok := written["expires"]; ok && err == nil {
		r.Expires = time.Time{}
		err = json.Unmarshal(raw, &r.Expires)
	}
	if err != nil {
		return r, kit.Errorf(kit.ErrInvalid, r.Link, "source is a link and expires a time: %v", err)
	}
	if r.Body == nil {
		r.Body = own
		return r, nil
	}
	r.Body, err = kit.MergePatch(r.Body, own)
	return r, err
}
