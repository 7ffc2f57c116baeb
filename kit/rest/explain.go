package rest

import (
	"net/http"

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
	who(w, c.Subject)
	if err != nil {
		return err
	}
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
	e, err := s.policy.Explain(subject, verb, link)
	if err != nil {
		return err
	}
	return encode(w, http.StatusOK, e)
}
