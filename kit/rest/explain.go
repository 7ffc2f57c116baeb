package rest

import (
	"fmt"
	"net/http"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/access"
)

// Explanation says what a caller may do to a document, and why.
type Explanation = access.Explanation

// explainPath takes the place of a kind in the path of an explanation.
const explainPath = "roles:explain"

// explain serves GET /api/roles:explain?subject=&verb=&link=, to those who may
// read the roles, and to everyone about themselves.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	if err := s.explainTo(w, r); err != nil {
		s.fail(w, r, err)
	}
}

func (s *Server) explainTo(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: "an explanation is asked for by GET"}
	}
	if err := s.begun(r.Context()); err != nil {
		return err
	}
	if _, leader, self := s.leader(); !self {
		s.forward(w, r, leader)
		return nil
	}
	c, err := s.admit(r)
	if err != nil {
		return err
	}
	who(w, c.Subject)
	query := r.URL.Query()
	subject, verb, link := query.Get("subject"), kit.Verb(query.Get("verb")), kit.Link(query.Get("link"))
	if subject == "" {
		subject = c.Subject
	}
	if subject != c.Subject {
		if err := c.May(kit.VerbRead, Roles.Link("")); err != nil {
			return err
		}
	}
	if kit.Link(subject).Check() != nil || verb == "" || kit.CheckKind(link.Kind()) != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: "an explanation needs a subject like users/ada, a verb, and a link like changes/42, or changes/ for the kind", Hint: "GET /api/roles:explain?subject=users/ada&verb=read&link=changes/42"}
	}
	e, err := s.why(subject, verb, link)
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, e)
}

// why returns whether the subject may do v to l, and what makes it so.
func (s *Server) why(subject string, v kit.Verb, l kit.Link) (Explanation, error) {
	c, err := s.callerFor(subject)
	if err != nil {
		return Explanation{}, err
	}
	e := Explanation{Subject: subject, Groups: c.Groups, Verb: v, Target: l}
	switch {
	case c.service:
		e.Allowed = c.Allowed(v, l)
		e.Summary = fmt.Sprintf("%s may do what its kit.Service declares, and this is %s it", subject, map[bool]string{true: "in", false: "not in"}[e.Allowed])
		return e, nil
	case reserved(v, l):
		e.Summary = fmt.Sprintf("no role allows %s on %s: only the service that owns the documents may", v, l.Kind())
		return e, nil
	}
	r, missing := s.store.Read(l)
	var allowing []string
	for _, g := range c.grants {
		reason := access.Reason{Role: g.Role, Rule: g.Nth}
		reason.Allowed, reason.Why = g.Says(v, l, r, missing)
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
