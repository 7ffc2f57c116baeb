package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"

	"landfall.dev/kit"
	"landfall.dev/kit/store/frame"
)

// maxPending bounds the operations that a document waits for, in bytes.
const maxPending = 8 * kit.MaxDocument

// writes carries out the writes of pr in order.
func (p *plan) writes(pr Proposal) ([]kit.Record, error) {
	records := make([]kit.Record, 0, len(pr.Writes))
	for _, w := range pr.Writes {
		r, err := p.write(w, pr.By, pr.Internal)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

func (p *plan) write(w kit.Write, by string, internal bool) (kit.Record, error) {
	k, err := p.store.kinds.known(w.Link)
	if err != nil {
		return kit.Record{}, err
	}
	if w.Verb == kit.VerbCreate {
		return p.create(k, w, by)
	}
	if err := w.Link.Check(); err != nil {
		return kit.Record{}, at(w.Link, err)
	}
	d := p.live(w.Link)
	if d == nil {
		return kit.Record{}, notFound(w.Link)
	}
	if w.IfMatch != 0 && w.IfMatch != d.Record.Version {
		return kit.Record{}, &kit.Error{
			Fault: kit.ErrStale, Link: w.Link,
			Detail: fmt.Sprintf("it is at version %d, not %d", d.Record.Version, w.IfMatch),
			Hint:   "read it again",
		}
	}
	switch w.Verb {
	case kit.VerbUpdate:
		return p.update(k, d, w, by)
	case kit.VerbDelete:
		return p.bury(d)
	}
	if !internal && !slices.Contains(k.Methods, string(w.Verb)) || k.Step == nil {
		return kit.Record{}, noMethod(k, w)
	}
	if w.Verb == MethodAck {
		return p.ack(k, d, w, by)
	}
	return p.event(k, d, kit.Event{Name: string(w.Verb), By: by, Data: w.Body})
}

func noMethod(k *kind, w kit.Write) error {
	return &kit.Error{
		Fault: kit.ErrNotFound, Link: w.Link,
		Detail: fmt.Sprintf("%s have no method %q", k.Name, w.Verb),
		Hint:   choice(string(w.Verb), "methods", k.Methods),
	}
}

// create makes a new document. The version goes on from that of a tombstone.
func (p *plan) create(k *kind, w kit.Write, by string) (kit.Record, error) {
	link := w.Link
	if link.ID() == "" {
		link = p.allocate(k)
	}
	if err := link.Check(); err != nil {
		return kit.Record{}, at(link, err)
	}
	old := p.find(link)
	if old != nil && !old.Record.Deleted {
		return kit.Record{}, &kit.Error{
			Fault: kit.ErrConflict, Link: link,
			Detail: "the document exists already",
			Hint:   "update it, or choose another id",
		}
	}
	written, body, err := parseWritable(link, w.Body)
	if err != nil {
		return kit.Record{}, err
	}
	r := kit.Record{Meta: kit.Meta{Link: link, Kind: k.Name, Schema: k.Schema, Created: p.now, Updated: p.now}, Body: body}
	written.set(&r.Meta)
	if err := k.fitsIf(link, r.Body, true); err != nil {
		return kit.Record{}, err
	}
	if r, err = p.step(k, r, kit.Event{Name: "created", By: by, Data: w.Body}); err != nil {
		return kit.Record{}, err
	}
	return p.commit(old, r)
}

// allocate returns the link of a new document: the next number, or 16 hex
// digits that follow from the place in the log.
func (p *plan) allocate(k *kind) kit.Link {
	if k.Counter {
		n := p.counter(k.Name) + 1
		for p.find(kit.NewLink(k.Name, strconv.FormatInt(n, 10))) != nil {
			n++
		}
		p.setCounter(k.Name, n)
		return kit.NewLink(k.Name, strconv.FormatInt(n, 10))
	}
	for try := 0; ; try++ {
		seed := fmt.Sprintf("%s %d.%d %d %d", k.Name, p.head.epoch, p.head.seq, p.now.UnixMicro(), try)
		sum := sha256.Sum256([]byte(seed))
		if link := kit.NewLink(k.Name, hex.EncodeToString(sum[:8])); p.find(link) == nil {
			return link
		}
	}
}

func (p *plan) update(k *kind, d *frame.Frame, w kit.Write, by string) (kit.Record, error) {
	written, patch, err := parseWritable(w.Link, w.Body)
	if err != nil {
		return kit.Record{}, err
	}
	r := d.Record
	if r.Body, err = kit.MergePatch(d.Record.Body, patch); err != nil {
		return kit.Record{}, at(w.Link, err)
	}
	written.set(&r.Meta)
	if err := k.fitsIf(w.Link, r.Body, true); err != nil {
		return kit.Record{}, err
	}
	if same(d.Record, r) {
		return d.Record, nil
	}
	if r, err = p.step(k, r, kit.Event{Name: "updated", By: by, Data: w.Body}); err != nil {
		return kit.Record{}, err
	}
	return p.commit(d, r)
}

func (p *plan) event(k *kind, d *frame.Frame, e kit.Event) (kit.Record, error) {
	r, err := p.step(k, d.Record, e)
	if err != nil {
		return kit.Record{}, err
	}
	return p.commit(d, r)
}

// ack takes an operation out of Pending, and the document through the event
// that the acknowledgement carries.
func (p *plan) ack(k *kind, d *frame.Frame, w kit.Write, by string) (kit.Record, error) {
	var a Ack
	if err := json.Unmarshal(w.Body, &a); err != nil || a.ID == "" {
		return kit.Record{}, kit.Errorf(kit.ErrInvalid, w.Link, "an acknowledgement has the form {\"id\": ..., \"event\": ..., \"data\": ...}")
	}
	i := slices.IndexFunc(d.Record.Pending, func(op kit.Op) bool { return op.ID == a.ID })
	if i < 0 {
		return d.Record, nil
	}
	r := d.Record
	r.Pending = slices.Delete(slices.Clone(r.Pending), i, i+1)
	if a.Event != "" {
		var err error
		if r, err = p.step(k, r, kit.Event{Name: a.Event, By: by, Data: a.Data}); err != nil {
			return kit.Record{}, err
		}
	}
	return p.commit(d, r)
}

// step takes r through the event by the kind's own function, if it has one.
func (p *plan) step(k *kind, r kit.Record, e kit.Event) (out kit.Record, err error) {
	if k.Step == nil {
		return r, nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = &kit.Error{Fault: kit.ErrInternal, Op: e.Name, Link: r.Link, Err: fmt.Errorf("the kind's step panicked: %v", v)}
		}
	}()
	body, ops, err := k.Step(r, e, p.now)
	if err != nil {
		return r, at(r.Link, err)
	}
	if body == nil {
		body = json.RawMessage("{}")
	}
	r.Body = body
	r.Pending = wish(r.Pending, ops)
	return r, nil
}

// wish returns pending with ops; one of the same id takes the other's place, or
// cancels it.
func wish(pending, ops []kit.Op) []kit.Op {
	if len(ops) == 0 {
		return pending
	}
	pending = slices.Clone(pending)
	for _, op := range ops {
		if op.Do == kit.OpCancel {
			pending = slices.DeleteFunc(pending, func(o kit.Op) bool { return o.ID == op.ID })
			continue
		}
		op.At, op.Deadline = stamp(op.At), stamp(op.Deadline)
		i := slices.IndexFunc(pending, func(o kit.Op) bool { return o.ID == op.ID })
		if i < 0 {
			pending = append(pending, op)
		} else {
			pending[i] = op
		}
	}
	return pending
}

// commit makes r the next version of old, which is nil, a tombstone or a
// document. If nothing differs it changes nothing.
func (p *plan) commit(old *frame.Frame, r kit.Record) (kit.Record, error) {
	var origin frame.Origin
	if old != nil {
		if !old.Record.Deleted && same(old.Record, r) {
			return old.Record, nil
		}
		r.Version = old.Record.Version
		origin = changed(old.Origin)
	}
	if len(r.Body) > kit.MaxDocument {
		return kit.Record{}, tooLarge(r.Link, "the document", len(r.Body))
	}
	if n := size(&r) - len(r.Body); n > maxPending {
		return kit.Record{}, kit.Errorf(kit.ErrTooLarge, r.Link, "the operations it waits for have %d bytes, the limit is %d", n, maxPending)
	}
	r.Version++
	r.Updated = p.now
	return p.put(r, origin)
}

// same tells whether the writers' and the kind's parts of two versions are
// equal.
func same(a, b kit.Record) bool {
	return bytes.Equal(a.Body, b.Body) && a.Source == b.Source && a.Expires.Equal(b.Expires) &&
		slices.EqualFunc(a.Pending, b.Pending, func(x, y kit.Op) bool { return reflect.DeepEqual(x, y) })
}
