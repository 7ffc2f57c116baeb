package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// Definition is what a node knows of a kind.
type Definition struct {
	Name   string
	Schema int
	Type   reflect.Type // the document's struct
	// Counter makes allocated ids 1, 2, 3...; otherwise they are random.
	Counter bool
	// Local keeps the kind out of exports to another cluster.
	Local bool
	// Indexes are lists of fields, see Index.
	Indexes [][]string
	// Versions is how many earlier versions of each document are kept.
	Versions int
	// Read is how current reads are that do not say it; KindDefault means Leader.
	Read Consistency
	// Steps[n] transforms a document of schema n+1 to schema n+2.
	Steps [][]Transform

	digests *digestPlaces // see Digests
}

// Kind is a type of document whose Go form is T. T embeds Meta.
type Kind[T any] struct{ *Definition }

// KindOption modifies a Definition.
type KindOption func(*Definition)

// Schema sets the schema number, and the transformations that lead to it,
// one list for each step from schema 1: Schema(2, []Transform{Rename("a", "b")}).
// A platform whose lists do not lead there does not run.
func Schema(n int, steps ...[]Transform) KindOption {
	return func(d *Definition) { d.Schema, d.Steps = n, steps }
}

// Counted makes the kind's allocated ids numbers, in order of creation.
func Counted() KindOption { return func(d *Definition) { d.Counter = true } }

// Local keeps the kind's documents in their cluster: they are not exported.
func Local() KindOption { return func(d *Definition) { d.Local = true } }

// Index declares an index over own fields of the documents, by their JSON
// names: "account", or "address.city" inside an object. Filters that ask for
// equality, a prefix or a range of its first fields read only the documents
// that it finds, and lists can be ordered by the first. A field is a string, a
// number, a boolean or a time; where it is missing it sorts first.
func Index(fields ...string) KindOption {
	return func(d *Definition) { d.Indexes = append(d.Indexes, fields) }
}

// History keeps the last n earlier versions of each document, for reads as of
// an earlier position.
func History(n int) KindOption { return func(d *Definition) { d.Versions = n } }

// Reads sets how current the kind's reads are that do not say it.
func Reads(c Consistency) KindOption { return func(d *Definition) { d.Read = c } }

// Define declares the kind name with documents of type T. It panics if T does
// not embed Meta: that is a mistake of the program.
func Define[T any](name string, opts ...KindOption) Kind[T] {
	var t T
	if _, ok := any(&t).(interface{ Envelope() *Meta }); !ok {
		panic(fmt.Sprintf("kit: %s: %T does not embed kit.Meta", name, t))
	}
	if err := CheckKind(name); err != nil {
		panic("kit: " + err.Error())
	}
	d := &Definition{Name: name, Schema: 1, Type: reflect.TypeFor[T]()}
	d.digests = digestPlacesOf(d.Type)
	for _, o := range opts {
		o(d)
	}
	return Kind[T]{d}
}

// Link returns the link of the kind's document with id.
func (k Kind[T]) Link(id string) Link { return NewLink(k.Name, id) }

// Decode returns r as a T.
func (k Kind[T]) Decode(r Record) (T, error) {
	var t T
	b, err := json.Marshal(r)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil {
		return t, &Error{Op: "decode", Link: r.Link, Err: err}
	}
	return t, nil
}

// Create makes doc the document with id; an empty id is allocated.
func (k Kind[T]) Create(ctx context.Context, c Client, id string, doc T) (T, error) {
	var zero T
	body, err := json.Marshal(doc)
	if err != nil {
		return zero, &Error{Fault: ErrInvalid, Op: "create", Link: k.Link(id), Err: err}
	}
	r, err := c.Create(ctx, k.Name, id, body)
	if err != nil {
		return zero, err
	}
	return k.Decode(r)
}

// Read returns the document with id.
func (k Kind[T]) Read(ctx context.Context, c Client, id string) (T, error) {
	r, err := c.Read(ctx, k.Link(id), ReadOptions{})
	if err != nil {
		var zero T
		return zero, err
	}
	return k.Decode(r)
}

// Modify reads the document with id, lets change alter it, and writes the
// difference; a lost race is tried again. An error of change ends it. Fields
// that T does not have are kept, those of the objects in a list as long as it
// can be told which object is which: one that moved, or one that stayed and has
// at least half of its fields unchanged.
func (k Kind[T]) Modify(ctx context.Context, c Client, id string, change func(*T) error) (T, error) {
	for {
		var t T
		r, err := c.Read(ctx, k.Link(id), ReadOptions{})
		if err == nil {
			t, err = k.Decode(r)
		}
		if err != nil {
			return t, err
		}
		before, err := json.Marshal(t)
		if err != nil {
			return t, &Error{Op: "modify", Link: k.Link(id), Err: err}
		}
		version := any(&t).(interface{ Envelope() *Meta }).Envelope().Version
		if err := change(&t); err != nil {
			return t, err
		}
		after, err := json.Marshal(t)
		if err != nil {
			return t, &Error{Op: "modify", Link: k.Link(id), Err: err}
		}
		patch, err := diff(before, after, &original{value: r.Body})
		if err != nil {
			return t, err
		}
		r, err = c.Update(ctx, k.Link(id), patch, version)
		if errors.Is(err, ErrStale) {
			continue
		}
		if err != nil {
			return t, err
		}
		return k.Decode(r)
	}
}

// Send sends the event method with args to the document with id.
func (k Kind[T]) Send(ctx context.Context, c Client, id, method string, args any) (T, error) {
	var zero T
	body, err := json.Marshal(args)
	if err != nil {
		return zero, &Error{Fault: ErrInvalid, Op: method, Link: k.Link(id), Err: err}
	}
	r, err := c.Do(ctx, k.Link(id), method, body)
	if err != nil {
		return zero, err
	}
	return k.Decode(r)
}

// Await watches the document with id until done says so, and returns it.
// A document that does not exist yet is waited for; one that is deleted is
// ErrNotFound.
func (k Kind[T]) Await(ctx context.Context, c Client, id string, done func(T) bool) (T, error) {
	var zero T
	for ch, err := range c.Watch(ctx, WatchQuery{Kind: k.Name, Filter: fmt.Sprintf("link == %q", k.Link(id))}) {
		if err != nil {
			return zero, err
		}
		if ch.Record.Link != k.Link(id) {
			continue
		}
		if ch.Record.Deleted {
			return zero, Errorf(ErrNotFound, k.Link(id), "the document was deleted")
		}
		t, err := k.Decode(ch.Record)
		if err != nil || done(t) {
			return t, err
		}
	}
	return zero, context.Cause(ctx)
}
