package access

import (
	"fmt"
	"strings"

	"landfall.dev/kit"
)

// Explanation says what a caller may do to a document, and why.
type Explanation struct {
	Subject string   `json:"subject"`
	Groups  []string `json:"groups,omitempty"`
	Verb    kit.Verb `json:"verb"`
	Target  kit.Link `json:"target"`
	Allowed bool     `json:"allowed"`
	// Because are the rules of the subject's roles, each with what it says to
	// this.
	Because []Reason `json:"because,omitempty"`
	// Summary says it in a sentence.
	Summary string `json:"summary"`
}

// Reason is what one rule says to a request.
type Reason struct {
	Role kit.Link `json:"role"`
	// Rule is which of the role's rules, from 1.
	Rule    int    `json:"rule"`
	Allowed bool   `json:"allowed"`
	Why     string `json:"why"`
}

// Explain returns whether the subject may do v to l, and what makes it so.
func (p *Policy) Explain(subject string, v kit.Verb, l kit.Link) (Explanation, error) {
	c, err := p.Caller(subject)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Subject: subject, Groups: c.Groups, Verb: v, Target: l}
	switch {
	case c.Service:
		e.Allowed = c.Allowed(v, l)
		e.Summary = fmt.Sprintf("%s may do what its kit.Service declares, and this is %s it", subject, map[bool]string{true: "in", false: "not in"}[e.Allowed])
		return e, nil
	case reserved(v, l):
		e.Summary = fmt.Sprintf("no role allows %s on %s: only the service that owns the documents may", v, l.Kind())
		return e, nil
	}
	r, missing := p.store.Read(l)
	var allowing []string
	for _, g := range c.grants {
		reason := Reason{Role: g.Role, Rule: g.Nth}
		reason.Allowed, reason.Why = g.says(v, l, r, missing)
		if reason.Allowed {
			allowing = append(allowing, fmt.Sprintf("rule %d of %s", g.Nth, g.Role))
		}
		e.Because = append(e.Because, reason)
	}
	e.Allowed = len(allowing) > 0
	switch {
	case e.Allowed:
		e.Summary = fmt.Sprintf("%s may %s %s by %s", subject, v, l, strings.Join(allowing, " and "))
	case len(c.grants) == 0:
		e.Summary = fmt.Sprintf("%s may not %s %s: no role names it or one of its groups (%s)", subject, v, l, strings.Join(c.Groups, ", "))
	default:
		e.Summary = fmt.Sprintf("%s may not %s %s: none of the %d rules for it allows that", subject, v, l, len(c.grants))
	}
	return e, nil
}

// says returns whether the grant allows v on l, where r is or err says that
// nothing is, and why.
func (g *Grant) says(v kit.Verb, l kit.Link, r kit.Record, err error) (bool, string) {
	switch {
	case !g.hasKind(l.Kind()):
		return false, fmt.Sprintf("its kinds are %s", strings.Join(g.Kinds, ", "))
	case !g.hasVerb(v):
		verbs := make([]string, len(g.Verbs))
		for i, verb := range g.Verbs {
			verbs[i] = string(verb)
		}
		return false, fmt.Sprintf("its verbs are %s", strings.Join(verbs, ", "))
	case !g.names(l):
		return false, fmt.Sprintf("its ids are %s", strings.Join(g.IDs, ", "))
	case g.Filter == "":
		return true, "it names the kind and the verb"
	case l.ID() == "":
		return true, fmt.Sprintf("for the documents that pass its filter: %s", g.Filter)
	case v == kit.VerbCreate:
		return true, fmt.Sprintf("if the new document passes its filter: %s", g.Filter)
	case err != nil:
		return false, fmt.Sprintf("its filter needs the document, and there is none: %s", g.Filter)
	case !g.Passes(r):
		return false, fmt.Sprintf("the document does not pass its filter: %s", g.Filter)
	}
	return true, fmt.Sprintf("the document passes its filter: %s", g.Filter)
}
