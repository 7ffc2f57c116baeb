// Package secret keeps the secrets of projects and hands them to builds.
//
// It owns secrets, whose bytes are sealed with a key in the hub's data directory,
// and watches nothing. It serves two routes: who may create secrets sets one, and
// the runner that holds the lease of a build gets those that its job names, if
// the hub trusts what is built: see Build.Trusted. Nothing else answers with one.
package secret

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Service declares all that secret may touch. c acts as services/secret.
func Service(c kit.Client, k *Keeper) kit.Service {
	s := server{client: c, keeper: k}
	return kit.Service{
		Name:  "secret",
		Owns:  []kit.Owned{kit.Own[api.Secret](api.Secrets, nil)},
		Reads: []string{api.Builds.Name, api.Projects.Name},
		Serves: []kit.Route{
			{Pattern: "PUT /secret/{project}/{name}", Handler: kit.Handler(s.set)},
			{Pattern: "GET /secret/of/{build}", Handler: kit.Handler(s.hand)},
		},
	}
}

type server struct {
	client kit.Client
	keeper *Keeper
}

// maxSecret is how large the parts of a secret may be, in bytes of JSON.
const maxSecret = 256 << 10

// set takes a secret: PUT /secret/PROJECT/NAME with its parts.
func (s server) set(w http.ResponseWriter, r *http.Request) error {
	project, name, caller := r.PathValue("project"), r.PathValue("name"), kit.CallerOf(r.Context())
	link := api.Secrets.Link(project + "~" + name)
	if err := errors.Join(link.Check(), caller.May(kit.VerbCreate, link)); err != nil {
		return err
	}
	if _, err := api.Projects.Read(r.Context(), s.client, project); err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxSecret+1))
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, link, "the secret broke off")
	}
	if len(body) > maxSecret {
		return kit.Errorf(kit.ErrTooLarge, link, "a secret has at most %d bytes", maxSecret/2)
	}
	var parts api.SecretParts
	if json.Unmarshal(body, &parts) != nil || len(parts) == 0 { // the error would show what is in it
		return kit.Errorf(kit.ErrInvalid, link, "a secret is sent as an object of its parts, each in base64")
	}
	doc := api.Secret{Project: project, Name: name, By: caller.Subject}
	for part, value := range parts {
		if len(value) == 0 {
			return kit.Errorf(kit.ErrInvalid, link, "its part %q is empty", part)
		}
		doc.Parts = append(doc.Parts, part)
	}
	slices.Sort(doc.Parts)
	if doc.Sealed, err = s.keeper.Seal(link, parts); err != nil {
		return err
	}
	_, err = api.Secrets.Create(r.Context(), s.client, link.ID(), doc)
	if errors.Is(err, kit.ErrConflict) {
		_, err = api.Secrets.Modify(r.Context(), s.client, link.ID(), func(old *api.Secret) error {
			old.Parts, old.Sealed, old.By = doc.Parts, doc.Sealed, doc.By
			return nil
		})
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// hand answers the runner at work on a build with the secrets that its job
// names, by their names: GET /secret/of/BUILD?attempt=N.
func (s server) hand(w http.ResponseWriter, r *http.Request) error {
	link := api.Builds.Link(r.PathValue("build"))
	if err := kit.CallerOf(r.Context()).May("heartbeat", link); err != nil {
		return err
	}
	b, err := api.Builds.Read(r.Context(), s.client, link.ID())
	if err != nil {
		return err
	}
	attempt, err := strconv.Atoi(r.FormValue("attempt"))
	if err != nil || b.State != api.BuildRunning || b.Attempt != attempt {
		return kit.Errorf(kit.ErrConflict, link, "attempt %q is over: the build is %s, attempt %d", r.FormValue("attempt"), b.State, b.Attempt)
	}
	if !b.Trusted || b.Spec == nil {
		return kit.Errorf(kit.ErrForbidden, link, "what it builds is not reviewed: it gets no secrets")
	}
	all := map[string]api.SecretParts{}
	for _, use := range b.Spec.Secrets {
		doc, err := api.Secrets.Read(r.Context(), s.client, b.Project+"~"+use.Secret)
		if err != nil {
			return err
		}
		if all[use.Secret], err = s.keeper.Open(doc.Link, doc.Sealed); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	return json.NewEncoder(w).Encode(all)
}
