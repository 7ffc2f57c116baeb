package access

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Policy is what the tokens, roles, groups and limits in the store say, and
// what services declare. It is never behind the store: a token that is revoked
// there is none from then on. Its methods may be called concurrently.
type Policy struct {
	store    *store.Store
	kinds    *store.Kinds
	services map[string]*Caller // by subject

	mu     sync.Mutex
	at     kit.Position // of the store, up to where the following is right
	roles  map[kit.Link]Role
	groups map[kit.Link]Group
	limits map[kit.Link]Limit
	// What was asked for lately: callers, by subject, are made of the above;
	// tokens are read from the store.
	callers map[string]*Caller
	tokens  map[kit.Link]known
}

// remembered is up to how many callers, and tokens, a Policy remembers; then it
// begins anew.
const remembered = 4096

// Grant is a rule that a role gives to a subject.
type Grant struct {
	Rule
	Role kit.Link
	Nth  int // of the role's rules, from 1
	// filters are the rule's filter for each kind that has been asked for; where
	// it does not fit the kind, nothing passes.
	mu      sync.Mutex
	filters map[string]func(kit.Record) bool
	kinds   *store.Kinds
}

// Passes tells whether the Grant's filter lets r through.
func (g *Grant) Passes(r kit.Record) bool {
	if g.Filter == "" {
		return true
	}
	kind := r.Link.Kind()
	g.mu.Lock()
	defer g.mu.Unlock()
	test, ok := g.filters[kind]
	if !ok {
		var err error
		if test, err = g.compile(g.kinds, kind); err != nil {
			test = func(kit.Record) bool { return false }
		}
		g.filters[kind] = test
	}
	return test(r)
}

// NewPolicy returns the policy of the store, whose kinds are kinds.
func NewPolicy(s *store.Store, kinds *store.Kinds) *Policy {
	return &Policy{
		store: s, kinds: kinds, services: map[string]*Caller{},
		roles: map[kit.Link]Role{}, groups: map[kit.Link]Group{}, limits: map[kit.Link]Limit{},
		callers: map[string]*Caller{}, tokens: map[kit.Link]known{},
	}
}

// Declare lets the service do what it declares. It must not be called once
// callers are asked for, and panics if another service has the name.
func (p *Policy) Declare(service kit.Service) {
	subject := servicePrefix + service.Name
	if _, ok := p.services[subject]; ok {
		panic("access: there are two services " + service.Name)
	}
	p.services[subject] = newService(subject, declare(service))
}

// servicePrefix is what the subjects of services begin with.
const servicePrefix = "services/"

func newService(subject string, d declared) *Caller {
	return &Caller{Caller: kit.Caller{Subject: subject, Allowed: d.allows}, Service: true}
}

// Caller returns the caller with the rights of subject.
func (p *Policy) Caller(subject string) (*Caller, error) {
	if strings.HasPrefix(subject, servicePrefix) {
		return p.service(subject), nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, err
	}
	return p.caller(subject), nil
}

// service returns the service with the subject; one that is not there may do
// nothing.
func (p *Policy) service(subject string) *Caller {
	if c, ok := p.services[subject]; ok {
		return c
	}
	return newService(subject, declared{})
}

// caller returns the caller with the rights of subject. The caller holds mu.
func (p *Policy) caller(subject string) *Caller {
	if strings.HasPrefix(subject, servicePrefix) {
		return p.service(subject)
	}
	c, ok := p.callers[subject]
	if ok {
		return c
	}
	if len(p.callers) >= remembered {
		clear(p.callers)
	}
	c = p.stand(subject)
	p.callers[subject] = c
	return c
}

// stand finds out what a subject is and may do. The caller holds mu.
func (p *Policy) stand(subject string) *Caller {
	c := &Caller{Caller: kit.Caller{Subject: subject, Groups: []string{Everyone}}}
	for link, g := range p.groups {
		if slices.Contains(g.Members, subject) {
			c.Groups = append(c.Groups, string(link))
		}
	}
	slices.Sort(c.Groups[1:])
	is := func(s string) bool { return s == subject || slices.Contains(c.Groups, s) }
	for link, r := range p.roles {
		if !slices.ContainsFunc(r.Subjects, is) {
			continue
		}
		for i, rule := range r.Rules {
			c.grants = append(c.grants, &Grant{Rule: rule, Role: link, Nth: i + 1, filters: map[string]func(kit.Record) bool{}, kinds: p.kinds})
		}
	}
	slices.SortFunc(c.grants, func(a, b *Grant) int {
		return cmp.Or(strings.Compare(string(a.Role), string(b.Role)), a.Nth-b.Nth)
	})
	for _, l := range p.limits {
		if slices.ContainsFunc(l.Subjects, is) {
			c.Limit.Requests, c.Limit.Burst, c.Limit.Watches = max(c.Limit.Requests, l.Requests), max(c.Limit.Burst, l.Burst), max(c.Limit.Watches, l.Watches)
		}
	}
	c.Allowed = func(v kit.Verb, l kit.Link) bool {
		if c.Always(v, l) {
			return true
		}
		if !c.maybe(v, l) {
			return false
		}
		r, err := p.store.Read(l)
		return err == nil && c.to(v, r)
	}
	return c
}

// refresh reads what has changed in the store since the last time. The caller
// holds mu.
func (p *Policy) refresh() error {
	now := p.store.Position()
	if now == p.at {
		return nil
	}
	err := p.read(now)
	if kit.FaultOf(err) == kit.ErrGone {
		p.at = kit.Position{}
		clear(p.roles)
		clear(p.groups)
		clear(p.limits)
		clear(p.callers)
		clear(p.tokens)
		err = p.read(now)
	}
	return err
}

func (p *Policy) read(now kit.Position) error {
	changed := false
	for _, one := range []func() (bool, error){
		func() (bool, error) { return follow(p.store, Roles, p.at, p.roles) },
		func() (bool, error) { return follow(p.store, Groups, p.at, p.groups) },
		func() (bool, error) { return follow(p.store, Limits, p.at, p.limits) },
	} {
		some, err := one()
		changed = changed || some
		if err != nil {
			clear(p.callers)
			return err
		}
	}
	if changed {
		clear(p.callers)
	}
	if err := p.forget(); err != nil {
		return err
	}
	p.at = now
	return nil
}

// forget lets go of the tokens that have changed since the last time. The
// caller holds mu.
func (p *Policy) forget() error {
	if len(p.tokens) == 0 {
		return nil
	}
	changes, more, err := p.store.Since(Tokens.Name, p.at, 1000)
	if err != nil || more {
		clear(p.tokens)
		return err
	}
	for _, c := range changes {
		delete(p.tokens, c.Record.Link)
	}
	return nil
}

// follow brings docs in line with what changed in the store after from, and
// tells whether anything did.
func follow[T any](s *store.Store, k kit.Kind[T], from kit.Position, docs map[kit.Link]T) (changed bool, err error) {
	for more := true; more; {
		var changes []kit.Change
		if changes, more, err = s.Since(k.Name, from, 1000); err != nil {
			return changed, err
		}
		for _, c := range changes {
			changed, from = true, c.Position
			delete(docs, c.Record.Link)
			if c.Record.Deleted {
				continue
			}
			if docs[c.Record.Link], err = k.Decode(c.Record); err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}
