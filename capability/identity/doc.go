// Package identity knows the people and machines that use the hub.
//
// It owns users and accounts, makes the roles that everybody starts with and,
// unless somebody has changed them, brings them up to date when a newer version
// starts, and mints tokens. Tokens, roles and groups themselves belong to kit;
// identity only writes them. It has no sign-in yet: a token is how one proves
// who one is.
package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// Service declares all that identity may touch; c acts as services/identity.
func Service(c kit.Client) kit.Service {
	s := identity{c}
	return kit.Service{
		Name: "identity",
		Owns: []kit.Owned{
			kit.Own(api.Users, checkUser),
			kit.Own(api.ServiceAccounts, checkAccount),
		},
		Watches: []kit.Reaction{kit.On(api.ServiceAccounts, onAccount)},
		Writes:  []string{rest.Tokens.Name, rest.Roles.Name},
		Serves: []kit.Route{
			{Pattern: "POST /identity/tokens", Handler: kit.Handler(s.mint)},
			{Pattern: "GET /identity/self", Handler: http.HandlerFunc(self)},
		},
		Runs: []func(context.Context) error{s.roles},
	}
}

// checkUser refuses a user whom nobody could write to.
func checkUser(u api.User, _ kit.Event, _ time.Time) (api.User, []kit.Op) {
	if u.Name == "" || u.Email == "" {
		return u, kit.Refuse(kit.ErrInvalid, "a user needs a name and an email address")
	}
	return u, nil
}

// checkAccount refuses an account that no role is made for. What an account is
// for does not change, since its role in kit would stay what it was.
func checkAccount(a api.ServiceAccount, e kit.Event, _ time.Time) (api.ServiceAccount, []kit.Op) {
	var patch map[string]json.RawMessage
	if err := e.Into(&patch); err != nil {
		return a, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	_, role := patch["role"]
	_, environment := patch["environment"]
	switch {
	case e.Name == "updated" && (role || environment):
		return a, kit.Refuse(kit.ErrConflict, "the role and the environment of an account do not change: make another account")
	case a.Role != RoleRunner && a.Role != RoleAgent:
		return a, kit.Refuse(kit.ErrInvalid, "role %q is not known: an account is a %s or an %s", a.Role, RoleRunner, RoleAgent)
	case a.Role == RoleAgent && a.Environment == "":
		return a, kit.Refuse(kit.ErrInvalid, "an agent's account needs the environment that it is for")
	case a.Role == RoleAgent && kit.CheckID(a.Environment) != nil:
		return a, kit.Refuse(kit.ErrInvalid, "environment: %q is no id", a.Environment)
	}
	return a, nil
}

// identity serves tokens.
type identity struct{ client kit.Client }

// mint makes a token: POST {"subject": "users/ada", "description": "laptop"}
// is answered with {"token": "..."}. Who may create tokens may do so for
// anybody, others for themselves.
func (s identity) mint(w http.ResponseWriter, r *http.Request) error {
	var a struct {
		Subject     string `json:"subject"`
		Description string `json:"description"`
	}
	caller := kit.CallerOf(r.Context())
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, kit.MaxDocument)).Decode(&a) != nil {
		return kit.Errorf(kit.ErrInvalid, "", `the body is not valid: send {"subject": "users/NAME", "description": "..."}`)
	}
	if a.Subject != caller.Subject {
		if err := caller.May(kit.VerbCreate, rest.Tokens.Link("")); err != nil {
			return err
		}
	}
	if err := s.known(r.Context(), kit.Link(a.Subject)); err != nil {
		return err
	}
	token, err := rest.MintToken(r.Context(), s.client, a.Subject, a.Description)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token})
	return nil
}

// known refuses a token for nobody.
func (s identity) known(ctx context.Context, subject kit.Link) error {
	if subject == "users/admin" {
		return nil
	}
	if k := subject.Kind(); k != api.Users.Name && k != api.ServiceAccounts.Name {
		return kit.Errorf(kit.ErrInvalid, subject, "a token is for a user or an account: users/NAME or accounts/NAME")
	}
	_, err := s.client.Read(ctx, subject, kit.ReadOptions{})
	if errors.Is(err, kit.ErrNotFound) {
		return &kit.Error{Fault: kit.ErrNotFound, Link: subject, Detail: "there is nobody of that name", Hint: "make it first: landfall user create NAME"}
	}
	return err
}

// self answers who the caller is.
func self(w http.ResponseWriter, r *http.Request) {
	c := kit.CallerOf(r.Context())
	groups := c.Groups
	if groups == nil {
		groups = []string{}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"subject": c.Subject, "groups": groups})
}
