package rest

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/task"
)

// caller is who makes a request.
type caller struct {
	kit.Caller
	service bool
	// partly tells whether the verb is allowed on some documents of the kind.
	partly func(v kit.Verb, kind string) bool
}

// visible returns which documents of the kind the caller may list or watch,
// or the error that it may see none.
func (c caller) visible(v kit.Verb, kind string) (func(kit.Link) bool, error) {
	all := kit.NewLink(kind, "")
	err := c.May(v, all)
	switch {
	case err == nil:
		return func(kit.Link) bool { return true }, nil
	case c.partly != nil && c.partly(v, kind):
		return func(l kit.Link) bool { return c.Allowed(v, l) }, nil
	}
	return nil, err
}

// authenticate returns who makes r. It is ErrUnauthenticated if that is not
// known, and ErrUnavailable while the documents that tell are not all here.
func (s *Server) authenticate(r *http.Request) (caller, error) {
	subject, ok := local(r.Context())
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
	groups, rules, err := s.policy.of(subject)
	if err != nil {
		return caller{}, err
	}
	c := caller{Caller: kit.Caller{Subject: subject, Groups: groups}}
	c.Allowed = func(v kit.Verb, l kit.Link) bool {
		return !internal(v) && slices.ContainsFunc(rules, func(r Rule) bool { return r.permits(v, l) })
	}
	c.partly = func(v kit.Verb, kind string) bool {
		return slices.ContainsFunc(rules, func(r Rule) bool { return r.covers(v, kind) })
	}
	return c, nil
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
	if d.owns[kind] {
		return true
	}
	switch v {
	case kit.VerbRead, kit.VerbList, kit.VerbWatch:
		return d.reads[kind] || task.OwnCursor(d.name, l) && v == kit.VerbRead
	case kit.VerbCreate:
		return d.writes[kind] || task.OwnCursor(d.name, l)
	case kit.VerbUpdate:
		return task.OwnCursor(d.name, l)
	case kit.VerbDelete:
		return false
	}
	return d.writes[kind] && !internal(v)
}
