package migrate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
)

// converter makes documents of the source into documents of this cluster.
type converter struct {
	kinds   *store.Kinds
	stream  string         // of the imports
	schemas map[string]int // of the source's kinds
	byKind  map[kindSchema]Transformer
}

type kindSchema struct {
	kind   string
	schema int
}

// check returns an error unless documents of these kinds can be taken over.
func (c *converter) check(counts map[string]int64) error {
	var unknown []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if counts[name] == 0 {
			continue
		}
		k, ok := c.kinds.Find(name)
		if !ok {
			unknown = append(unknown, fmt.Sprintf("%s (%d documents)", name, counts[name]))
			continue
		}
		if k.Local {
			return kit.Errorf(kit.ErrInvalid, "", "%s stay in their cluster here, but the source exports them", name)
		}
		if _, err := c.transformer(name, c.schemas[name]); err != nil {
			return err
		}
	}
	if unknown == nil {
		return nil
	}
	return &kit.Error{
		Fault:  kit.ErrInvalid,
		Detail: "this cluster has no kind " + strings.Join(unknown, ", ") + "; nothing was copied",
		Hint:   "start it with a binary that has, or delete the documents at the source",
	}
}

// transformer returns what changes documents of the schema. The kind must be
// known.
func (c *converter) transformer(kind string, schema int) (Transformer, error) {
	key := kindSchema{kind, schema}
	if t, ok := c.byKind[key]; ok {
		return t, nil
	}
	k, _ := c.kinds.Find(kind)
	t, err := Compile(k.Definition, schema)
	if err == nil {
		c.byKind[key] = t
	}
	return t, err
}

// batch transforms the documents of b, unless it has an error already.
func (c *converter) batch(b *batch) {
	if b.err != nil {
		return
	}
	b.out = make([]store.Imported, 0, len(b.frames))
	for _, f := range b.frames {
		i, err := c.document(f)
		var bad *FieldError
		switch {
		case errors.As(err, &bad):
			b.failed = append(b.failed, failure(f.Record.Link, bad.Field, bad.Err.Error()))
		case err != nil:
			b.err = err
			return
		case i.Origin.Stream != "":
			b.out = append(b.out, i)
		}
	}
	b.frames = nil
}

// document returns f as it is imported; it has no stream if it does not have
// to be. The error is a *FieldError if it is about this document only.
func (c *converter) document(f frame.Frame) (store.Imported, error) {
	r := f.Record
	k, ok := c.kinds.Find(r.Kind)
	switch {
	case ok && !k.Local:
	case r.Deleted:
		return store.Imported{}, nil
	default:
		return store.Imported{}, kit.Errorf(kit.ErrInvalid, r.Link, "this cluster takes no documents of the kind %q", r.Kind)
	}
	i := store.Imported{Record: r, Origin: c.origin(r.Seq)}
	i.Record.Schema = k.Schema
	if r.Deleted {
		return i, nil
	}
	i.Origin.Hash = digest.Hash(r)
	t, err := c.transformer(r.Kind, r.Schema)
	if err != nil {
		return i, err
	}
	if i.Record.Body, err = t.Apply(r.Body); err != nil {
		return i, err
	}
	if t.whole {
		if i.Record.Body, err = kit.StripEnvelope(i.Record.Body); err != nil {
			return i, located("", err)
		}
	}
	i.Record.Pending, err = c.pending(r.Pending)
	return i, err
}

// origin returns where a document at seq of the source comes from.
func (c *converter) origin(seq int64) frame.Origin {
	return frame.Origin{Stream: c.stream, Seq: max(1, seq)}
}

// pending transforms the documents that operations are about to create.
func (c *converter) pending(ops []kit.Op) ([]kit.Op, error) {
	var changed []kit.Op
	for i, op := range ops {
		kind := op.Link.Kind()
		schema := c.schemas[kind]
		if _, ok := c.kinds.Find(kind); !ok || op.Do != kit.OpCreate || len(op.Data) == 0 || schema == 0 {
			continue
		}
		t, err := c.transformer(kind, schema)
		if err != nil {
			return nil, err
		}
		data, err := t.Apply(op.Data)
		if err != nil {
			return nil, &FieldError{Field: "pending", Err: fmt.Errorf("the document to create, %s: %w", op.Link, err)}
		}
		if changed == nil {
			changed = slices.Clone(ops)
		}
		changed[i].Data = data
	}
	if changed == nil {
		return ops, nil
	}
	return changed, nil
}
