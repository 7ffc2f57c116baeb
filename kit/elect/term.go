package elect

import (
	"context"
	"encoding/json"
	"errors"

	"landfall.dev/kit"
)

// Term is one stay in office.
type Term struct {
	Name, Holder string
	// Fence is its fencing number; 0 means that nobody leads, or that there is
	// nobody else.
	Fence int64
}

// Assert returns a write that changes nothing, and makes the batch that it is
// in fail unless the term goes on.
func (t Term) Assert() kit.Write {
	body, _ := json.Marshal(arguments{Fence: t.Fence})
	return kit.Write{Verb: VerbAssert, Link: Leaders.Link(t.Name), Body: body}
}

// Ended tells whether err says that the term is over.
func (t Term) Ended(err error) bool {
	var e *kit.Error
	return errors.As(err, &e) && e.Link == Leaders.Link(t.Name) &&
		(errors.Is(err, kit.ErrStale) || errors.Is(err, kit.ErrNotFound))
}

// Claim makes holder the leader of the name at once. write applies writes, all
// or none, with the rights of who owns the leaders.
func Claim(name, holder string, write func(...kit.Write) ([]kit.Record, error)) (Term, error) {
	args, err := json.Marshal(arguments{Holder: holder})
	if err != nil {
		return Term{}, err
	}
	link := Leaders.Link(name)
	claim := kit.Write{Verb: methodClaim, Link: link, Body: args}
	records, err := write(claim)
	if errors.Is(err, kit.ErrNotFound) {
		records, err = write(kit.Write{Verb: kit.VerbCreate, Link: link, Body: []byte("{}")}, claim)
	}
	if err != nil {
		return Term{}, err
	}
	l, err := Leaders.Decode(records[len(records)-1])
	return Term{Name: name, Holder: holder, Fence: l.Fence}, err
}

// Fenced returns a client that reads as c does, and whose every write is
// refused with ErrStale once the term is over; ended is then called with the
// error, and must return at once.
func (t Term) Fenced(c kit.Client, ended func(error)) kit.Client {
	if t.Fence == 0 {
		return c
	}
	return fenced{c, t, ended}
}

type fenced struct {
	kit.Client
	term  Term
	ended func(error)
}

func (f fenced) Create(ctx context.Context, kind, id string, body []byte, o ...kit.WriteOption) (kit.Record, error) {
	return f.one(ctx, kit.Write{Verb: kit.VerbCreate, Link: kit.NewLink(kind, id), Body: body}, o)
}

func (f fenced) Update(ctx context.Context, link kit.Link, patch []byte, ifMatch int64, o ...kit.WriteOption) (kit.Record, error) {
	return f.one(ctx, kit.Write{Verb: kit.VerbUpdate, Link: link, Body: patch, IfMatch: ifMatch}, o)
}

func (f fenced) Delete(ctx context.Context, link kit.Link, ifMatch int64, o ...kit.WriteOption) error {
	_, err := f.one(ctx, kit.Write{Verb: kit.VerbDelete, Link: link, IfMatch: ifMatch}, o)
	return err
}

func (f fenced) Do(ctx context.Context, link kit.Link, method string, args []byte, o ...kit.WriteOption) (kit.Record, error) {
	return f.one(ctx, kit.Write{Verb: kit.Verb(method), Link: link, Body: args}, o)
}

func (f fenced) Batch(ctx context.Context, writes []kit.Write, o ...kit.WriteOption) ([]kit.Record, error) {
	records, err := f.Client.Batch(ctx, append([]kit.Write{f.term.Assert()}, writes...), o...)
	if err != nil {
		if f.term.Ended(err) {
			f.ended(err)
		}
		return nil, err
	}
	return records[1:], nil
}

func (f fenced) one(ctx context.Context, w kit.Write, o []kit.WriteOption) (kit.Record, error) {
	records, err := f.Batch(ctx, []kit.Write{w}, o...)
	if err != nil {
		return kit.Record{}, err
	}
	return records[0], nil
}
