package access

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"landfall.dev/kit"
)

// Permit checks that c may make the writes. Where that depends on what a
// document is, its pin is the version that was looked at: the write must not be
// made on another, whatever its IfMatch. There is a pin for each of the writes,
// 0 where there is no document yet, or where it does not matter; and none at all
// if c may make all of them whatever there is.
func (p *Policy) Permit(c *Caller, writes []kit.Write) (pins []int64, err error) {
	for i, w := range writes {
		if c.Always(w.Verb, w.Link) {
			continue
		}
		if !c.maybe(w.Verb, w.Link) {
			return nil, c.denied(w.Verb, w.Link)
		}
		if pins == nil {
			pins = make([]int64, len(writes))
		}
		if w.Verb == kit.VerbCreate {
			if err := permitCreate(c, w); err != nil {
				return nil, err
			}
			continue
		}
		if slices.ContainsFunc(writes[:i], func(other kit.Write) bool { return other.Link == w.Link }) {
			return nil, &kit.Error{Fault: kit.ErrInvalid, Link: w.Link, Detail: "the batch changes it twice, and what you may do to it depends on what it is", Hint: "make one write of them, or two batches"}
		}
		version, err := p.permitChange(c, w)
		if err != nil {
			return nil, err
		}
		if w.IfMatch != 0 && w.IfMatch != version {
			return nil, &kit.Error{Fault: kit.ErrStale, Link: w.Link, Detail: fmt.Sprintf("it is at version %d, not %d", version, w.IfMatch), Hint: "read it again"}
		}
		pins[i] = version
	}
	return pins, nil
}

// MayRepeat tells whether c may be told what came of writes that it made before.
func (c *Caller) MayRepeat(writes []kit.Write) bool {
	return !slices.ContainsFunc(writes, func(w kit.Write) bool { return c.MayMiss(w.Verb, w.Link) != nil })
}

// Shown returns what c is told of writes that it made before, of which records
// are the documents as they are now: of one that it may not do the same to any
// more, only the link.
func (c *Caller) Shown(writes []kit.Write, records []kit.Record) []kit.Record {
	shown := slices.Clone(records)
	for i, r := range records {
		if c.MayTo(writes[i].Verb, r) != nil {
			shown[i] = kit.Record{Meta: kit.Meta{Link: r.Link, Kind: r.Kind}}
		}
	}
	return shown
}

// permitCreate checks what the document would be.
func permitCreate(c *Caller, w kit.Write) error {
	r, err := merged(kit.Record{Meta: kit.Meta{Link: w.Link, Kind: w.Link.Kind(), Version: 1}}, w.Body)
	if err != nil {
		return err
	}
	return c.MayTo(w.Verb, r)
}

// permitChange checks what the document is, and for an update what it would
// be, and returns the version that it looked at.
func (p *Policy) permitChange(c *Caller, w kit.Write) (int64, error) {
	r, err := p.store.Read(w.Link)
	if err != nil {
		return 0, err
	}
	if err := c.MayTo(w.Verb, r); err != nil || w.Verb != kit.VerbUpdate {
		return r.Version, err
	}
	after, err := merged(r, w.Body)
	if err != nil {
		return 0, err
	}
	if c.MayTo(w.Verb, after) != nil {
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
