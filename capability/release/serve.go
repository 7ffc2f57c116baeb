package release

import (
	"encoding/json"
	"net/http"
	"path"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
)

// handler answers with the error of a raw route as a problem detail.
type handler func(http.ResponseWriter, *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h(w, r)
	if err == nil {
		return
	}
	b, status := kit.EncodeProblem(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

// mayFound refuses whoever may not set up the trust. All that agents will ever
// believe follows from it, so it is not for release managers.
func mayFound(req *http.Request) error {
	caller := kit.CallerOf(req.Context())
	err := caller.May(kit.VerbCreate, api.TrustMetadata.Link(""))
	if kit.FaultOf(err) == kit.ErrForbidden {
		return &kit.Error{
			Fault: kit.ErrForbidden, Detail: caller.Subject + " may not set up the trust: that is an administrator's act, done once",
			Hint: "ask an administrator to run landfall trust init --keys DIR, and to hand you targets.key and release.key", Err: err,
		}
	}
	return err
}

// serveKeys answers with the hub's keys, to who may set up the trust: so that
// one who may not learns it before the ceremony.
func (r *repository) serveKeys(w http.ResponseWriter, req *http.Request) error {
	if err := mayFound(req); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(r.keys.Public())
}

// serveRoles says how long signatures hold.
func (r *repository) serveRoles(w http.ResponseWriter, req *http.Request) error {
	current, _, err := r.load(req.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(current.Roles())
}

func (r *repository) serveMetadata(w http.ResponseWriter, req *http.Request) error {
	file := req.PathValue("file")
	if path.Ext(file) != ".json" {
		return kit.Errorf(kit.ErrNotFound, "", "%q is no metadata file: its name ends in .json", file)
	}
	return r.serve(w, req, file)
}

func (r *repository) serveTarget(w http.ResponseWriter, req *http.Request) error {
	return r.serve(w, req, targetID(req.PathValue("path")))
}

// serve answers with a file, byte for byte.
func (r *repository) serve(w http.ResponseWriter, req *http.Request, id string) error {
	if err := kit.CallerOf(req.Context()).May(kit.VerbRead, api.TrustMetadata.Link("")); err != nil {
		return err
	}
	m, err := api.TrustMetadata.Read(req.Context(), r.client, id)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write([]byte(m.Content))
	return err
}

// found takes in the first files of the trust, which an administrator posts
// once.
func (r *repository) found(w http.ResponseWriter, req *http.Request) error {
	if err := mayFound(req); err != nil {
		return err
	}
	var i trust.Initial
	if err := readBody(w, req, &i); err != nil {
		return err
	}
	r.signing.Lock()
	defer r.signing.Unlock()
	now := r.now()
	c, err := trust.Found(i, r.keys, now)
	if err != nil {
		return err
	}
	writes, err := r.writes(req.Context(), c, 0, now)
	if err != nil {
		return err
	}
	if _, err := r.client.Batch(req.Context(), writes); kit.FaultOf(err) == kit.ErrConflict {
		return &kit.Error{
			Fault: kit.ErrConflict, Detail: "the trust is set up already: agents pin its root",
			Hint: "go on with the keys that it was set up with", Err: err,
		}
	} else if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// takeRenewal takes in files of people's roles that were signed anew, and
// answers as serveRoles does. Who posts them matters little: the signatures
// count.
func (r *repository) takeRenewal(w http.ResponseWriter, req *http.Request) error {
	if err := kit.CallerOf(req.Context()).May("sign", api.Releases.Link("")); err != nil {
		return err
	}
	var n trust.Renewal
	if err := readBody(w, req, &n); err != nil {
		return err
	}
	err := r.change(req.Context(), func(t *trust.Repository, now time.Time) (trust.Changes, error) {
		return t.AddRenewal(r.keys, n, now)
	})
	if err != nil {
		return err
	}
	return r.serveRoles(w, req)
}

// Signed is what a release manager posts to /tuf/releases.
type Signed struct {
	// Metadata is the next file of the releases role, byte for byte.
	Metadata string `json:"metadata"`
	// Target is the content of the new target, byte for byte.
	Target string `json:"target"`
	// Release is the release that it describes.
	Release kit.Link `json:"release"`
}

// sign takes in the signature of a release, and answers with the release.
func (r *repository) sign(w http.ResponseWriter, req *http.Request) error {
	var s Signed
	if err := readBody(w, req, &s); err != nil {
		return err
	}
	if s.Release.Kind() != api.Releases.Name || s.Release.Check() != nil {
		return kit.Errorf(kit.ErrInvalid, "", "%q is no release", s.Release)
	}
	if err := kit.CallerOf(req.Context()).May("sign", s.Release); err != nil {
		return err
	}
	ctx := req.Context()
	release, err := api.Releases.Read(ctx, r.client, s.Release.ID())
	if err != nil {
		return err
	}
	if release.State != api.ReleaseUnsigned {
		return kit.Errorf(kit.ErrConflict, release.Link, "the release is %s: only an unsigned one can be signed", release.State)
	}
	args, err := json.Marshal(signedArgs{Target: release.Target})
	if err != nil {
		return err
	}
	err = r.change(ctx, func(t *trust.Repository, now time.Time) (trust.Changes, error) {
		return t.AddRelease(r.keys, []byte(s.Metadata), []byte(s.Target), trust.TargetOf(release), now)
	}, kit.Write{Verb: "signed", Link: release.Link, Body: args})
	if err != nil {
		return err
	}
	if release, err = api.Releases.Read(ctx, r.client, s.Release.ID()); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(release)
}

// maxBody is the size limit of what is posted, in bytes.
const maxBody = 3 * kit.MaxDocument

func readBody(w http.ResponseWriter, req *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "the body does not fit %s: %v", req.URL.Path, err)
	}
	return nil
}
