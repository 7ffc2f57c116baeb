package access

import (
	"slices"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/audit"
	"landfall.dev/kit/task"
)

// Caller is who makes a request, and what they may do. It does not change: a
// Policy makes a new one when the documents that it is made of have changed.
type Caller struct {
	kit.Caller
	// Service tells that it is one of the services in the cluster's processes,
	// which may do what it declares.
	Service bool
	// Limit has the highest of each value that the limits for it have, 0 where
	// none has any.
	Limit Limit

	// grants are the rules for a caller that is no service.
	grants []*Grant
}

// Always tells whether the caller may do v to l whatever the document is.
func (c *Caller) Always(v kit.Verb, l kit.Link) bool {
	if c.Service {
		return c.Allowed(v, l)
	}
	return !reserved(v, l) && slices.ContainsFunc(c.grants, func(g *Grant) bool { return g.Filter == "" && g.Permits(v, l) })
}

// maybe tells whether the caller may do v to l if the document passes a filter.
func (c *Caller) maybe(v kit.Verb, l kit.Link) bool {
	return !reserved(v, l) && slices.ContainsFunc(c.grants, func(g *Grant) bool { return g.Filter != "" && g.Permits(v, l) })
}

// partly tells whether the caller may do v to some documents of the kind.
func (c *Caller) partly(v kit.Verb, kind string) bool {
	return !reserved(v, kit.NewLink(kind, "")) && slices.ContainsFunc(c.grants, func(g *Grant) bool { return g.Covers(v, kind) })
}

// to tells whether the caller may do v to the document r, as it is there. Of a
// deletion it is asked by the link only, for there is nothing else left.
func (c *Caller) to(v kit.Verb, r kit.Record) bool {
	return !reserved(v, r.Link) && slices.ContainsFunc(c.grants, func(g *Grant) bool {
		return g.Permits(v, r.Link) && (r.Deleted || g.Passes(r))
	})
}

// MayTo is May for the document r.
func (c *Caller) MayTo(v kit.Verb, r kit.Record) error {
	if c.Always(v, r.Link) || c.to(v, r) {
		return nil
	}
	return c.denied(v, r.Link)
}

// MayMiss returns nil if the caller may be told that there is no document at l
// that it could do v to.
func (c *Caller) MayMiss(v kit.Verb, l kit.Link) error {
	if c.Always(v, l) || c.maybe(v, l) {
		return nil
	}
	return c.denied(v, l)
}

// denied returns the error for what the caller may not do.
func (c *Caller) denied(v kit.Verb, l kit.Link) error {
	return kit.Caller{Subject: c.Subject}.May(v, l)
}

// Visible returns which documents of the kind the caller may list or watch,
// or the error that it may see none.
func (c *Caller) Visible(v kit.Verb, kind string) (func(kit.Record) bool, error) {
	all := kit.NewLink(kind, "")
	switch {
	case c.Always(v, all):
		return func(kit.Record) bool { return true }, nil
	case c.partly(v, kind):
		return func(r kit.Record) bool { return c.to(v, r) }, nil
	}
	return nil, c.denied(v, all)
}

// reserved tells whether no role can allow v on l: what is between a document
// and who owns it, and changes of the audit.
func reserved(v kit.Verb, l kit.Link) bool {
	if internal(v) {
		return true
	}
	switch v {
	case kit.VerbRead, kit.VerbList, kit.VerbWatch:
		return false
	}
	return audit.Own(l.Kind())
}

// internal tells whether v is between a document and who owns it.
func internal(v kit.Verb) bool { return strings.HasPrefix(string(v), "~") }

// declared is what a service may touch.
type declared struct {
	name   string
	owns   map[string]bool
	reads  map[string]bool
	writes map[string]bool
}

func declare(service kit.Service) declared {
	d := declared{name: service.Name, owns: map[string]bool{}, reads: map[string]bool{}, writes: map[string]bool{}}
	for _, o := range service.Owns {
		d.owns[o.Name] = true
	}
	for _, w := range service.Watches {
		d.reads[w.Kind] = true
	}
	for _, kind := range service.Reads {
		d.reads[kind] = true
	}
	for _, kind := range service.Writes {
		d.reads[kind], d.writes[kind] = true, true
	}
	return d
}

// allows tells whether the service may do v to l: everything to what it owns,
// reading what it watches, reads and writes, and creating and sending events
// to what it writes.
func (d declared) allows(v kit.Verb, l kit.Link) bool {
	kind := l.Kind()
	if d.owns[kind] || task.Allows(d.name, d.owns, v, l) {
		return true
	}
	switch v {
	case kit.VerbRead, kit.VerbList, kit.VerbWatch:
		return d.reads[kind]
	case kit.VerbCreate:
		return d.writes[kind]
	case kit.VerbUpdate, kit.VerbDelete:
		return false
	}
	return d.writes[kind] && !internal(v)
}
