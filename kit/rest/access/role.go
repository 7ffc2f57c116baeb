package access

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/query"
)

// Role allows its subjects what its rules say.
type Role struct {
	kit.Meta
	// Subjects are callers, "users/ada", and groups, "groups/developers".
	Subjects []string `json:"subjects"`
	Rules    []Rule   `json:"rules"`
	// Made, if a service has made the role, is a digest of the subjects and rules
	// that it made it with. By it the service knows whether somebody has changed
	// them since.
	Made string `json:"made,omitempty"`
}

// Renewal are the arguments of a role's method renew, by which a service that has
// made the role brings it up to date.
type Renewal struct {
	Version  int64    `json:"version"` // of the role that this takes the place of
	Subjects []string `json:"subjects"`
	Rules    []Rule   `json:"rules"`
	Made     string   `json:"made,omitempty"`
}

// Rule allows the verbs on the kinds; "*" is all of them.
type Rule struct {
	Kinds []string   `json:"kinds"`
	Verbs []kit.Verb `json:"verbs"` // verbs and custom methods
	// IDs restrict the rule to documents with one of these ids; one that ends
	// in "*" stands for all that begin so. Lists and watches then show only
	// these.
	IDs []string `json:"ids,omitempty"`
	// Filter restricts the rule to documents that the CEL expression passes, as
	// in a kit.Query. It is tested on the document as it is; for a create and an
	// update also, or only, on what the caller would make of it. A rule for the
	// kinds "*" can use the fields of the envelope. Whether there is a document
	// of some id is not hidden by it: deletions are told to every watch that the
	// rule is for.
	Filter string `json:"filter,omitempty"`
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

// Owned are the kinds of this package for the service that owns them; kinds are
// all that the server has, which filters of rules are about.
func Owned(kinds *store.Kinds) []kit.Owned {
	return []kit.Owned{
		kit.Own(Tokens, checkToken), kit.Own(Roles, checkRole(kinds), "renew"), kit.Own(Groups, checkGroup), kit.Own(Limits, checkLimit),
	}
}

// checkRole is the life of a Role: its rules must say something.
func checkRole(kinds *store.Kinds) kit.Next[Role] {
	return func(r Role, e kit.Event, _ time.Time) (Role, []kit.Op) {
		if e.Name == "renew" {
			var n Renewal
			if err := e.Into(&n); err != nil {
				return r, kit.Refuse(kit.ErrInvalid, "%v", err)
			}
			if n.Version != r.Version {
				return r, kit.Refuse(kit.ErrStale, "the role is at version %d, not %d: somebody has changed it", r.Version, n.Version)
			}
			r.Subjects, r.Rules, r.Made = n.Subjects, n.Rules, n.Made
		}
		if refusal := checkSubjects(r.Subjects); refusal != nil {
			return r, refusal
		}
		for i, rule := range r.Rules {
			if len(rule.Kinds) == 0 || len(rule.Verbs) == 0 {
				return r, kit.Refuse(kit.ErrInvalid, "rule %d of the role has no kinds or no verbs: write * for all", i+1)
			}
			for _, kind := range rule.Kinds {
				if _, err := rule.compile(kinds, kind); err != nil {
					return r, kit.Refuse(kit.ErrInvalid, "rule %d of the role, for %s: %v", i+1, kind, err)
				}
			}
		}
		return r, nil
	}
}

// anyKind has the fields that all documents have.
var anyKind = &kit.Definition{Name: "documents of any kind", Type: reflect.TypeFor[struct{ kit.Meta }]()}

// compile returns the test that the rule's filter is for documents of the kind,
// or of "*".
func (r Rule) compile(kinds *store.Kinds, kind string) (func(kit.Record) bool, error) {
	if r.Filter == "" {
		return func(kit.Record) bool { return true }, nil
	}
	if slices.Contains(r.Kinds, "*") {
		return passing(anyKind, r.Filter)
	}
	k, ok := kinds.Find(kind)
	if !ok {
		return nil, kit.Errorf(kit.ErrInvalid, "", "a filter needs a kind that this server has, and %q is none", kind)
	}
	return passing(k.Definition, r.Filter)
}

func passing(def *kit.Definition, expr string) (func(kit.Record) bool, error) {
	f, err := query.Compile(def, expr)
	if err != nil {
		return nil, err
	}
	return f.Passes, nil
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

// Limit bounds what each of its subjects may ask of one node. Where several
// are for a subject, the highest of each value counts; a value that none of
// them has is the server's (see rest.Options).
type Limit struct {
	kit.Meta
	// Subjects are callers, "users/ada", and groups, "groups/everyone".
	Subjects []string `json:"subjects"`
	// Requests is how many requests there may be in a second in the long run,
	// Burst how many at once, which is twice that unless given.
	Requests float64 `json:"requests,omitempty"`
	Burst    int     `json:"burst,omitempty"`
	// Watches is how many watches may be open.
	Watches int `json:"watches,omitempty"`
}

// Limits say how much each caller may ask. Services inside the process are not
// limited.
var Limits = kit.Define[Limit]("limits")

// The bounds of a Limit.
const (
	leastRequests = 1.0 / (24 * 60 * 60)
	mostBurst     = 100_000
)

// checkLimit is the life of a Limit.
func checkLimit(l Limit, _ kit.Event, _ time.Time) (Limit, []kit.Op) {
	if refusal := checkSubjects(l.Subjects); refusal != nil {
		return l, refusal
	}
	if len(l.Subjects) == 0 {
		return l, kit.Refuse(kit.ErrInvalid, "the limit has no subjects: write groups/everyone for all")
	}
	if l.Requests < 0 || l.Burst < 0 || l.Watches < 0 {
		return l, kit.Refuse(kit.ErrInvalid, "a limit is 0, which means the server's default, or more")
	}
	if l.Requests > 0 && l.Requests < leastRequests || l.Burst > mostBurst {
		return l, kit.Refuse(kit.ErrInvalid, "a limit is at least %v requests a second, one in a day, with a burst of at most %d", leastRequests, mostBurst)
	}
	return l, nil
}

// Permits tells whether the rule allows v on l, if the document there passes its
// filter. "kind/" is permitted only by a rule without IDs.
func (r Rule) Permits(v kit.Verb, l kit.Link) bool {
	return r.Covers(v, l.Kind()) && r.names(l)
}

// names tells whether the rule is for the document's id.
func (r Rule) names(l kit.Link) bool {
	return len(r.IDs) == 0 || slices.ContainsFunc(r.IDs, func(id string) bool {
		prefix, open := strings.CutSuffix(id, "*")
		return l.ID() != "" && (id == l.ID() || open && strings.HasPrefix(l.ID(), prefix))
	})
}

// Covers tells whether the rule allows v on any document of the kind.
func (r Rule) Covers(v kit.Verb, kind string) bool { return r.hasKind(kind) && r.hasVerb(v) }

func (r Rule) hasKind(kind string) bool {
	return slices.Contains(r.Kinds, "*") || slices.Contains(r.Kinds, kind)
}

func (r Rule) hasVerb(v kit.Verb) bool {
	return slices.Contains(r.Verbs, "*") || slices.Contains(r.Verbs, v)
}
