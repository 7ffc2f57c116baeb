package access

import (
	"slices"
	"strings"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Policy is what the roles, groups and limits in the store say, kept up to
// date.
type Policy struct {
	store *store.Store
	kinds *store.Kinds

	mu        sync.Mutex
	at        kit.Position
	roles     map[kit.Link]Role
	groups    map[kit.Link]Group
	limits    map[kit.Link]Limit
	standings map[string]*Standing // made of the above when asked for
}

// Standing is what a subject is and may do. It does not change.
type Standing struct {
	Groups []string
	Grants []*Grant
	Limits []Limit
}

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
		store: s, kinds: kinds,
		roles: map[kit.Link]Role{}, groups: map[kit.Link]Group{}, limits: map[kit.Link]Limit{},
		standings: map[string]*Standing{},
	}
}

// Of returns the Standing of a subject.
func (p *Policy) Of(subject string) (*Standing, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, err
	}
	st, ok := p.standings[subject]
	if !ok {
		st = p.stand(subject)
		p.standings[subject] = st
	}
	return st, nil
}

// stand finds out what a subject is and may do. The caller holds mu.
func (p *Policy) stand(subject string) *Standing {
	st := &Standing{Groups: []string{Everyone}}
	for link, g := range p.groups {
		if slices.Contains(g.Members, subject) {
			st.Groups = append(st.Groups, string(link))
		}
	}
	slices.Sort(st.Groups[1:])
	is := func(s string) bool { return s == subject || slices.Contains(st.Groups, s) }
	for link, r := range p.roles {
		if !slices.ContainsFunc(r.Subjects, is) {
			continue
		}
		for i, rule := range r.Rules {
			st.Grants = append(st.Grants, &Grant{Rule: rule, Role: link, Nth: i + 1, filters: map[string]func(kit.Record) bool{}, kinds: p.kinds})
		}
	}
	slices.SortFunc(st.Grants, func(a, b *Grant) int {
		if a.Role != b.Role {
			return strings.Compare(string(a.Role), string(b.Role))
		}
		return a.Nth - b.Nth
	})
	for _, l := range p.limits {
		if slices.ContainsFunc(l.Subjects, is) {
			st.Limits = append(st.Limits, l)
		}
	}
	return st
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
		clear(p.standings)
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
			clear(p.standings)
			return err
		}
	}
	if changed {
		clear(p.standings)
	}
	p.at = now
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
