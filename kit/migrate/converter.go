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
	chains  *transform.Chains
	last    kit.Owned // the kind of the document before: most have the same
}

// newConverter returns what makes documents that come in the stream, in the
// schemas by kind, into documents of this cluster.
func newConverter(kinds *store.Kinds, stream string, schemas map[string]int) *converter {
	return &converter{kinds: kinds, stream: stream, schemas: schemas, chains: transform.NewChains(false)}
}

// newReverter returns what takes documents of this cluster back into the
// schemas, by kind.
func newReverter(kinds *store.Kinds, schemas map[string]int) *converter {
	return &converter{kinds: kinds, schemas: schemas, chains: transform.NewChains(true)}
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
	k, _ := c.kind(kind)
	return c.chains.Of(k.Definition, schema)
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
		part := &batch{frames: b.frames[from:to], cause: b.cause, out: out[from:from:to]}
		parts = append(parts, part)
		worker := *c
		worker.chains = c.chains.Clone()
		g.Go(func() { worker.part(part) })
	}
	g.Wait()
	b.out = out[:0]
	for _, part := range parts {
		b.out, b.failed = append(b.out, part.out...), append(b.failed, part.failed...)
		b.err = cmp.Or(b.err, part.err)
	}
}

// part transforms the documents of a part of a batch.
func (c *converter) part(b *batch) {
	const Some = 500 // that a processor has in its cache for both steps
	for from := 0; from < len(b.frames); from += Some {
		done := len(b.out)
		if b.err = c.some(b, from, min(from+Some, len(b.frames))); b.err != nil {
			return
		}
		c.kinds.Prepare(b.out[done:])
	}
}

// some transforms some documents of a part, from one number to before another.
func (c *converter) some(b *batch, from, to int) error {
	bodies := 0
	for _, f := range b.frames[from:to] {
		bodies += len(f.Bytes) + len(f.Bytes)/4 + 32
	}
	buf := make([]byte, 0, bodies)
	for n := from; n < to; n++ {
		f, err := b.frame(n)
		if err != nil {
			return err
		}
		r := &f.Record
		b.out = append(b.out, store.Imported{})
		wanted, err := c.document(&buf, r, &b.out[len(b.out)-1])
		if !wanted {
			b.out = b.out[:len(b.out)-1]
		}
		if err == nil {
			continue
		}
		var bad *transform.FieldError
		if !errors.As(err, &bad) {
			return err
		}
		b.failed = append(b.failed, failure(r.Link, bad.Field, bad.Err.Error()))
	}
	return nil
}

// document makes i what is imported of r, its body in buf. It returns false if
// it does not have to be. The error is a *transform.FieldError if it is about
// this document only.
func (c *converter) document(buf *[]byte, r *kit.Record, i *store.Imported) (wanted bool, err error) {
	k, ok := c.kind(r.Kind)
	switch {
	case ok && !k.Local:
	case r.Deleted:
		return false, nil
	default:
		return false, kit.Errorf(kit.ErrInvalid, r.Link, "this cluster takes no documents of the kind %q", r.Kind)
	}
	i.Record, i.Origin = *r, c.origin(r.Seq)
	if r.Deleted {
		i.Record.Schema = k.Schema
		return true, nil
	}
	i.Origin.Hash = digest.Of(r.Link, uint64(r.Version), r.Body)
	i.Valid, err = c.change(buf, &i.Record, r.Schema, k.Schema)
	return err == nil, err
}

// kind returns the kind with the name, and whether there is one.
func (c *converter) kind(name string) (*kit.Owned, bool) {
	if c.last.Definition != nil && c.last.Name == name {
		return &c.last, true
	}
	k, ok := c.kinds.Find(name)
	if ok {
		c.last = k
	}
	return &k, ok
}

// reverted returns the document r of this cluster as it goes back. The error is
// a *transform.FieldError if it is about this document only.
func (c *converter) reverted(r kit.Record) (kit.Record, error) {
	to := c.schemas[r.Kind]
	if r.Deleted {
		r.Schema = to
		return r, nil
	}
	_, err := c.change(new([]byte), &r, to, to)
	return r, err
}

// change takes r through the transformer of the schema, its body in buf, and
// makes it a document of the schema to. It is valid if its body is known to be
// JSON: what steps have written was scanned, and the frame's link was checked.
func (c *converter) change(buf *[]byte, r *kit.Record, schema, to int) (valid bool, err error) {
	t, err := c.transformer(r.Kind, schema)
	if err != nil {
		return false, err
	}
	r.Schema = to
	if !t.Empty() {
		start := len(*buf)
		if *buf, err = t.Append(*buf, r.Body); err != nil {
			return false, err
		}
		r.Body = (*buf)[start:len(*buf):len(*buf)]
	}
	r.Pending, err = c.pending(r.Pending)
	return !t.Empty(), err
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
