package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
)

// converter makes documents of the source into documents of this cluster, or
// takes documents of this cluster back into the source's schemas. Its methods
// must not be called concurrently.
type converter struct {
	kinds   *store.Kinds
	stream  string         // of the imports
	schemas map[string]int // of the source's kinds
	byKind  map[kindSchema]transform.Chain
	back    bool
}

// newReverter returns what takes documents of this cluster back into the
// schemas, by kind.
func newReverter(kinds *store.Kinds, schemas map[string]int) *converter {
	return &converter{kinds: kinds, schemas: schemas, byKind: map[kindSchema]transform.Chain{}, back: true}
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

// transformer returns what changes documents of the schema, or into it for the
// way back. The kind must be known.
func (c *converter) transformer(kind string, schema int) (transform.Chain, error) {
	key := kindSchema{kind, schema}
	if t, ok := c.byKind[key]; ok {
		return t, nil
	}
	k, _ := c.kinds.Find(kind)
	t, err := transform.Compile(k.Definition, schema)
	if c.back {
		t, _, err = transform.Back(k.Definition, schema)
	}
	if err == nil {
		c.byKind[key] = t
	}
	return t, err
}

// keeps returns what the source keeps of its own documents, by kind. It is for
// the way back, and ErrInvalid if there is none from one of the kinds.
func (c *converter) keeps() (map[string]transform.Keep, error) {
	keeps := map[string]transform.Keep{}
	for _, name := range slices.Sorted(maps.Keys(c.schemas)) {
		k, ok := c.kinds.Find(name)
		if !ok || k.Local {
			continue
		}
		_, keep, err := transform.Back(k.Definition, c.schemas[name])
		if err != nil {
			return nil, err
		}
		keeps[name] = keep
	}
	return keeps, nil
}

// batch transforms the documents of b in parts, unless it has an error already.
func (c *converter) batch(b *batch) {
	if b.err != nil {
		return
	}
	out := make([]store.Imported, len(b.frames))
	size := max(200, len(b.frames)/runtime.GOMAXPROCS(0)+1) // fewer are not worth a goroutine
	var parts []*batch
	var g sync.WaitGroup
	for from := 0; from < len(b.frames); from += size {
		to := min(from+size, len(b.frames))
		part := &batch{frames: b.frames[from:to], out: out[from:from:to]}
		parts = append(parts, part)
		worker := *c
		worker.byKind = maps.Clone(c.byKind)
		g.Go(func() { worker.part(part) })
	}
	g.Wait()
	b.out, b.frames = out[:0], nil
	for _, part := range parts {
		b.out, b.failed = append(b.out, part.out...), append(b.failed, part.failed...)
		b.err = cmp.Or(b.err, part.err)
	}
}

// part transforms the documents of a part of a batch.
func (c *converter) part(b *batch) {
	bodies := 0
	for _, f := range b.frames {
		bodies += len(f.Record.Body) + len(f.Record.Body)/4 + 32
	}
	buf := make([]byte, 0, bodies)
	for _, f := range b.frames {
		i, err := c.document(&buf, f)
		var bad *transform.FieldError
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
	c.kinds.Prepare(b.out)
}

// document returns f as it is imported, its body in buf; it has no stream if it
// does not have to be. The error is a *transform.FieldError if it is about this
// document only.
func (c *converter) document(buf *[]byte, f frame.Frame) (store.Imported, error) {
	k, ok := c.kinds.Find(f.Record.Kind)
	switch {
	case ok && !k.Local:
	case f.Record.Deleted:
		return store.Imported{}, nil
	default:
		return store.Imported{}, kit.Errorf(kit.ErrInvalid, f.Record.Link, "this cluster takes no documents of the kind %q", f.Record.Kind)
	}
	i := store.Imported{Record: f.Record, Origin: c.origin(f.Record.Seq)}
	i.Record.Schema = k.Schema
	if f.Record.Deleted {
		return i, nil
	}
	i.Origin.Hash = digest.Hash(f.Record)
	var err error
	i.Record, err = c.record(buf, f.Record, f.Record.Schema, k.Schema)
	// What steps have written was scanned, and the frame's link was checked.
	i.Valid = !c.byKind[kindSchema{f.Record.Kind, f.Record.Schema}].Empty()
	return i, err
}

// reverted returns the document r of this cluster as it goes back. The error is
// a *transform.FieldError if it is about this document only.
func (c *converter) reverted(r kit.Record) (kit.Record, error) {
	to := c.schemas[r.Kind]
	if r.Deleted {
		r.Schema = to
		return r, nil
	}
	return c.record(new([]byte), r, to, to)
}

// record returns r by the transformer of the schema, its body in buf, as a
// document of the schema to.
func (c *converter) record(buf *[]byte, r kit.Record, schema, to int) (kit.Record, error) {
	t, err := c.transformer(r.Kind, schema)
	if err != nil {
		return r, err
	}
	r.Schema = to
	if !t.Empty() {
		start := len(*buf)
		if *buf, err = t.Append(*buf, r.Body); err != nil {
			return r, err
		}
		r.Body = (*buf)[start:len(*buf):len(*buf)]
	}
	r.Pending, err = c.pending(r.Pending)
	return r, err
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
			return nil, &transform.FieldError{Field: "pending", Err: fmt.Errorf("the document to create, %s: %w", op.Link, err)}
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
