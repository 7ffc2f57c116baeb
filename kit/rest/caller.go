package rest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
	"landfall.dev/kit/rest/audit"
	"landfall.dev/kit/rest/inproc"
	"landfall.dev/kit/task"
)

// caller is who makes a request.
type caller struct {
	kit.Caller
	service bool
	// grants are the rules for a caller that is no service.
	grants []*access.Grant
	limits []Limit
}

// always tells whether the caller may do v to l whatever the document is.
func (c caller) always(v kit.Verb, l kit.Link) bool {
	if c.service {
		return c.Allowed(v, l)
	}
	return !reserved(v, l) && slices.ContainsFunc(c.grants, func(g *access.Grant) bool { return g.Filter == "" && g.Permits(v, l) })
}

// maybe tells whether the caller may do v to l if the document passes a filter.
func (c caller) maybe(v kit.Verb, l kit.Link) bool {
	return !reserved(v, l) && slices.ContainsFunc(c.grants, func(g *access.Grant) bool { return g.Filter != "" && g.Permits(v, l) })
}

// partly tells whether the caller may do v to some documents of the kind.
func (c caller) partly(v kit.Verb, kind string) bool {
	return !reserved(v, kit.NewLink(kind, "")) && slices.ContainsFunc(c.grants, func(g *access.Grant) bool { return g.Covers(v, kind) })
}

// to tells whether the caller may do v to the document r, as it is there. Of a
// deletion it is asked by the link only, for there is nothing else left.
func (c caller) to(v kit.Verb, r kit.Record) bool {
	return !reserved(v, r.Link) && slices.ContainsFunc(c.grants, func(g *access.Grant) bool {
		return g.Permits(v, r.Link) && (r.Deleted || g.Passes(r))
	})
}

// mayTo is May for the document r.
func (c caller) mayTo(v kit.Verb, r kit.Record) error {
	if c.always(v, r.Link) || c.to(v, r) {
		return nil
	}
	return c.denied(v, r.Link)
}

// denied returns the error for what the caller may not do.
func (c caller) denied(v kit.Verb, l kit.Link) error {
	return kit.Caller{Subject: c.Subject}.May(v, l)
}

// visible returns which documents of the kind the caller may list or watch,
// or the error that it may see none.
func (c caller) visible(v kit.Verb, kind string) (func(kit.Record) bool, error) {
	all := kit.NewLink(kind, "")
	switch {
	case c.always(v, all):
		return func(kit.Record) bool { return true }, nil
	case c.partly(v, kind):
		return func(r kit.Record) bool { return c.to(v, r) }, nil
	}
	return nil, c.denied(v, all)
}

// authenticate returns who makes r. It is ErrUnauthenticated if that is not
// known, and ErrUnavailable while the documents that tell are not all here.
func (s *Server) authenticate(r *http.Request) (caller, error) {
	subject, ok := inproc.Subject(r.Context())
	if !ok {
		if err := s.begun(r.Context()); err != nil {
			return caller{}, err
		}
		var err error
		if subject, ok, err = s.vouched(r); err != nil {
			return caller{}, err
		}
	}
	if !ok {
		token := tokenOf(r)
		if token == "" {
			return caller{}, kit.Caller{}.May("", "")
		}
		var err error
		if subject, err = s.verify(token, time.Now()); err != nil {
			return caller{}, err
		}
	}
	return s.callerFor(subject)
}

// callerFor returns the caller with the rights of subject.
func (s *Server) callerFor(subject string) (caller, error) {
	if name, ok := strings.CutPrefix(subject, "services/"); ok {
		d := s.services[name]
		return caller{
			Caller:  kit.Caller{Subject: subject, Allowed: d.allows},
			service: true,
		}, nil
	}
	st, err := s.policy.Of(subject)
	if err != nil {
		return caller{}, err
	}
	c := caller{Caller: kit.Caller{Subject: subject, Groups: st.Groups}, grants: st.Grants, limits: st.Limits}
	c.Allowed = func(v kit.Verb, l kit.Link) bool {
		if c.always(v, l) {
			return true
		}
		if !c.maybe(v, l) {
			return false
		}
		r, err := s.store.Read(l)
		return err == nil && c.to(v, r)
	}
	return c, nil
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
