package job

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// resolved is the outcome of the action resolve.
type resolved struct {
	api.JobSpec
	Trusted bool `json:"trusted,omitempty"`
}

// entrust says whether b may have the secrets that its job names and write to its
// project's caches, and refuses it if it cannot do without the secrets. A patch
// must not get at a secret by what it makes a build do, so only what is on a branch
// that takes no direct push is trusted.
func (d definitions) entrust(ctx context.Context, b api.Build, s api.JobSpec) (resolved, error) {
	r := resolved{JobSpec: s}
	if len(s.Secrets)+len(s.Cache) == 0 {
		return r, nil
	}
	var err error
	if r.Trusted, err = d.reviewed(ctx, b); err != nil {
		return r, err
	}
	var needed []string
	for _, use := range s.Secrets {
		key := use.Variable == "" && !use.File // for an SSH agent
		if !key && !slices.Contains(needed, use.Secret) {
			needed = append(needed, use.Secret)
		}
		if err := d.has(ctx, b.Project, use); err != nil && (r.Trusted || !key) {
			return r, err
		}
	}
	switch {
	case r.Trusted:
		return r, nil
	case len(needed) > 0:
		return r, kit.Errorf(kit.ErrForbidden, "", "the job %s is given secrets (%s), and %.12s is not reviewed: move what needs them to a job that is built after the merge",
			s.Name, strings.Join(needed, ", "), b.Commit)
	}
	r.Secrets = nil // an SSH agent, which it does without
	return r, nil
}

// reviewed tells whether what b builds has landed.
func (d definitions) reviewed(ctx context.Context, b api.Build) (bool, error) {
	if b.Change != "" {
		return false, nil
	}
	if b.Run != "" && b.Definitions == b.Commit && !b.Tip {
		return true, nil // pipelines build only that, apart from changes and tips
	}
	project, err := api.Projects.Read(ctx, d.client, b.Project)
	if err != nil || !project.Protects(strings.TrimPrefix(mainBranch, "refs/heads/")) {
		return false, err
	}
	ref, err := api.Refs.Read(ctx, d.client, api.RefID(b.Project, mainBranch))
	if err != nil {
		return false, err
	}
	for _, commit := range []string{b.Commit, b.Definitions} {
		body, err := d.ask(ctx, "/source/"+url.PathEscape(b.Project)+"/log/"+url.PathEscape(ref.Commit+".."+commit))
		if err != nil {
			return false, err
		}
		var beyond []api.Commit
		err = errors.Join(json.NewDecoder(body).Decode(&beyond), body.Close())
		if err != nil || len(beyond) > 0 {
			return false, err
		}
	}
	return true, nil
}

// has returns what is wrong with the use of a secret.
func (d definitions) has(ctx context.Context, project string, use api.SecretUse) error {
	at := strings.TrimSpace(use.At + " ")
	if at != "" {
		at += ": "
	}
	secret, err := api.Secrets.Read(ctx, d.client, project+"~"+use.Secret)
	if errors.Is(err, kit.ErrNotFound) && use.Variable == "" && use.File {
		return kit.Errorf(kit.ErrInvalid, "", "%sthere is no file %s: keep it in %s/files, or as a secret, with landfall secret set %s %s", at, use.Secret, folder, project, use.Secret)
	}
	if errors.Is(err, kit.ErrNotFound) {
		return kit.Errorf(kit.ErrInvalid, "", "%sthere is no secret %s: set it with landfall secret set %s %s", at, use.Secret, project, use.Secret)
	}
	if err != nil {
		return err
	}
	for part := range strings.SplitSeq(use.Part, ":") {
		if !slices.Contains(secret.Parts, part) {
			return kit.Errorf(kit.ErrInvalid, "", "%sthe secret %s has no part %q, but %s", at, use.Secret, part, strings.Join(secret.Parts, ", "))
		}
	}
	return nil
}
