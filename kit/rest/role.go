package rest

import (
	"slices"
	"strings"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// Role allows its subjects what its rules say.
type Role struct {
	kit.Meta
	// Subjects are callers, "users/ada", and groups, "groups/developers".
	Subjects []string `json:"subjects"`
	Rules    []Rule   `json:"rules"`
}

// Rule allows the verbs on the kinds; "*" is all of them.
type Rule struct {
	Kinds []string   `json:"kinds"`
	Verbs []kit.Verb `json:"verbs"` // verbs and custom methods
	// IDs restrict the rule to documents with one of these ids; one that ends
	// in "*" stands for all that begin so. Lists and watches then show only
	// these.
	IDs []string `json:"ids,omitempty"`
}

// Group is a set of callers.
type Group struct {
	kit.Meta
	Members []string `json:"members"` // "users/ada"
}

// Roles and Groups say who may do what. Everyone with a token is also in the
// group Everyone.
var (
	Roles  = kit.Define[Role]("roles")
	Groups = kit.Define[Group]("groups")
)

// Everyone is the group of all callers with a token.
const Everyone = "groups/everyone"

// ServiceName is the service that owns tokens, roles and groups.
const ServiceName = "access"

// Service declares the kinds that this package owns. A Server has them
// already.
func Service() kit.Service {
	return kit.Service{
		Name: ServiceName,
		Owns: []kit.Owned{kit.Own(Tokens, checkToken), kit.Own(Roles, checkRole), kit.Own(Groups, checkGroup)},
	}
}

// checkRole is the life of a Role: its rules must say something.
func checkRole(r Role, _ kit.Event, _ time.Time) (Role, []kit.Op) {
	if refusal := checkSubjects(r.Subjects); refusal != nil {
		return r, refusal
	}
	for i, rule := range r.Rules {
		if len(rule.Kinds) == 0 || len(rule.Verbs) == 0 {
			return r, kit.Refuse(kit.ErrInvalid, "rule %d of the role has no kinds or no verbs: write * for all", i+1)
		}
	}
	return r, nil
}

// checkGroup is the life of a Group.
func checkGroup(g Group, _ kit.Event, _ time.Time) (Group, []kit.Op) {
	return g, checkSubjects(g.Members)
}

func checkSubjects(subjects []string) []kit.Op {
	for _, s := range subjects {
		if kit.Link(s).Check() != nil {
			return kit.Refuse(kit.ErrInvalid, "%q is not written like users/ada", s)
		}
	}
	return nil
}

// permits tells whether the rule allows v on l. "kind/" is permitted only by a
// rule without IDs.
func (r Rule) permits(v kit.Verb, l kit.Link) bool {
	return r.covers(v, l.Kind()) && (len(r.IDs) == 0 || slices.ContainsFunc(r.IDs, func(id string) bool {
		prefix, open := strings.CutSuffix(id, "*")
		return l.ID() != "" && (id == l.ID() || open && strings.HasPrefix(l.ID(), prefix))
	}))
}

// covers tells whether the rule allows v on any document of the kind.
func (r Rule) covers(v kit.Verb, kind string) bool {
	return (slices.Contains(r.Kinds, "*") || slices.Contains(r.Kinds, kind)) &&
		(slices.Contains(r.Verbs, "*") || slices.Contains(r.Verbs, v))
}

// policy is what the roles and groups in the store say, kept up to date.
type policy struct {
	store *store.Store

	mu     sync.Mutex
	at     kit.Position
	roles  map[kit.Link]Role
	groups map[kit.Link]Group
}

func newPolicy(s *store.Store) *policy {
	return &policy{store: s, roles: map[kit.Link]Role{}, groups: map[kit.Link]Group{}}
}

// of returns the groups of a subject, and the rules for it.
func (p *policy) of(subject string) (groups []string, rules []Rule, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refresh(); err != nil {
		return nil, nil, err
	}
	groups = []string{Everyone}
	for link, g := range p.groups {
		if slices.Contains(g.Members, subject) {
			groups = append(groups, string(link))
		}
	}
	for _, r := range p.roles {
		for _, s := range r.Subjects {
			if s == subject || slices.Contains(groups, s) {
				rules = append(rules, r.Rules...)
				break
			}
		}
	}
	return groups, rules, nil
}

// refresh reads what has changed in the store since the last time.
func (p *policy) refresh() error {
	now := p.store.Position()
	if now == p.at {
		return nil
	}
	err := p.read(now)
	if kit.FaultOf(err) == kit.ErrGone {
		p.at = kit.Position{}
		clear(p.roles)
		clear(p.groups)
		err = p.read(now)
	}
	return err
}

func (p *policy) read(now kit.Position) error {
	if err := follow(p.store, Roles, p.at, p.roles); err != nil {
		return err
	}
	if err := follow(p.store, Groups, p.at, p.groups); err != nil {
		return err
	}
	p.at = now
	return nil
}

// follow brings docs in line with what changed in the store after from.
func follow[T any](s *store.Store, k kit.Kind[T], from kit.Position, docs map[kit.Link]T) error {
	for more := true; more; {
		var changes []kit.Change
		var err error
		if changes, more, err = s.Since(k.Name, from, 1000); err != nil {
			return err
		}
		for _, c := range changes {
			from = c.Position
			delete(docs, c.Record.Link)
			if c.Record.Deleted {
				continue
			}
			if docs[c.Record.Link], err = k.Decode(c.Record); err != nil {
				return err
			}
		}
	}
	return nil
}
