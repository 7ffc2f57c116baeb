package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/door"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/frame"
)

// The way back: the successor knows both schemas, so it transforms its
// documents downwards as it exports them; the predecessor patches them onto
// what it has kept.

// downwards makes documents of this cluster into those of its predecessor.
type downwards struct {
	schemas map[string]int // the predecessor's, of kinds that this cluster has
	convert *converter
	keep    map[string]transform.Keep
	copied  *summing
}

// downwards returns what leads to the schemas, which transform.FormatSchemas has written.
func (s *service) downwards(text string) (*downwards, error) {
	schemas, err := transform.ParseSchemas(text)
	if err != nil {
		return nil, err
	}
	own, _ := s.exported()
	maps.DeleteFunc(schemas, func(kind string, _ int) bool { return own[kind] == 0 })
	d := &downwards{schemas: schemas, convert: newReverter(s.kinds, schemas)}
	if d.keep, err = d.convert.keeps(); err != nil {
		return nil, err
	}
	d.copied, err = s.summing(sumsRequest{side: sideCopied})
	return d, err
}

// narrow leaves in the head what there is for the predecessor. Kinds that it
// does not have stay here.
func (d *downwards) narrow(h *exportHead) {
	h.Schemas, h.Keep = d.schemas, d.keep
	maps.DeleteFunc(h.Counts, func(kind string, _ int64) bool { return d.schemas[kind] == 0 })
}

// transform makes f a document of the predecessor, with what it counts by here
// as the hash of its origin. The error is a *transform.FieldError if it is about this
// document.
func (d *downwards) transform(f *frame.Frame) (err error) {
	o := frame.Origin{Seq: f.Record.Seq}
	if !f.Record.Deleted {
		o.Hash = d.copied.hash(*f)
	}
	f.Origin = o
	f.Record, err = d.convert.reverted(f.Record)
	return err
}

// serveIrreversible tells why documents could not go back to the schemas.
func (s *service) serveIrreversible(w http.ResponseWriter, r *http.Request) error {
	schemas, err := transform.ParseSchemas(r.URL.Query().Get("schemas"))
	if err != nil {
		return err
	}
	reasons := []string{}
	own, _ := s.exported()
	for _, kind := range slices.Sorted(maps.Keys(own)) {
		to := schemas[kind]
		if to == 0 {
			continue
		}
		k, _ := s.kinds.Find(kind)
		if _, _, err := transform.Back(k.Definition, to); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	return door.Answer(w, reasons)
}

// returning makes documents of the successor into documents of this cluster.
// It implements conversion.
type returning struct {
	kinds  *store.Kinds
	store  *store.Store
	stream string
	head   exportHead
}

// returning returns the conversion for an export with the head.
func (c *cycle) returning(h exportHead) (*returning, error) {
	own, _ := c.exported()
	for kind, n := range h.Schemas {
		if own[kind] != n || h.Format < 1 {
			return nil, c.atSource(&kit.Error{
				Fault:  kit.ErrInvalid,
				Detail: fmt.Sprintf("it sends %s in schema %d, not in this cluster's, %d", kind, n, own[kind]),
				Hint:   "go back only to the cluster that the successor was filled from",
			})
		}
	}
	return &returning{kinds: c.kinds, store: c.store, stream: c.kept.stream(c.way, 0), head: h}, nil
}

// check has nothing more to tell: the head has the kinds of this cluster.
func (r *returning) check(map[string]int64) error { return nil }

func (r *returning) origin(seq int64) frame.Origin {
	return frame.Origin{Stream: r.stream, Seq: max(1, seq)}
}

func (r *returning) batch(b *batch) {
	if b.err != nil {
		return
	}
	b.out = make([]store.Imported, 0, len(b.frames))
	for n := range b.frames {
		f, err := b.frame(n)
		if b.err = err; err != nil {
			return
		}
		i := store.Imported{Record: f.Record, Origin: r.origin(f.Record.Seq)}
		if f.Record.Deleted {
			b.out = append(b.out, i)
			continue
		}
		i.Origin.Hash = f.Origin.Hash
		var bad *transform.FieldError
		body, err := r.patched(f.Record)
		switch {
		case errors.As(err, &bad):
			b.failed = append(b.failed, failure(f.Record.Link, bad.Field, bad.Err.Error()))
			continue
		case err != nil:
			b.err = err
			return
		}
		i.Record.Body = body
		b.out = append(b.out, i)
	}
}

// patched returns the own fields of n, patched onto what this cluster has kept
// of the same document.
func (r *returning) patched(n kit.Record) (json.RawMessage, error) {
	old, ok := r.store.Find(n.Link)
	if !ok || old.Record.Deleted || !old.Record.Created.Equal(n.Created) { // another document has had its place
		return n.Body, nil
	}
	return r.head.Keep[n.Kind].Onto(old.Record.Body, n.Body)
}
