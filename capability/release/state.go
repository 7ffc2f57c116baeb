package release

import (
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// nextRelease is the life of a release, which nobody changes.
func nextRelease(r api.Release, e kit.Event, _ time.Time) (api.Release, []kit.Op) {
	switch e.Name {
	case "created":
		return draft(r)
	case "updated":
		return r, kit.Refuse(kit.ErrConflict, "a release never changes: make one with another version")
	case "notes.done":
		var made madeNotes
		if err := e.Into(&made); err != nil {
			return r, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		r.Notes, r.Since, r.Target, r.State = made.Notes, made.Since, made.Target, api.ReleaseUnsigned
	case "notes.failed":
		r.State, r.Error = api.ReleaseFailed, reason(e)
	case "signed":
		var a signedArgs
		if err := e.Into(&a); err != nil {
			return r, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		if r.State != api.ReleaseUnsigned || a.Target != r.Target {
			return r, kit.Refuse(kit.ErrConflict, "the release is %s: a signature of %s does not fit", r.State, a.Target)
		}
		r.State = api.ReleaseSigned
	}
	return r, nil
}

// signedArgs are the arguments of the event "signed", which release sends to a
// Release itself.
type signedArgs struct {
	Target string `json:"target"`
}

var commitPattern = regexp.MustCompile(`^[0-9a-f]{40}$`)

func draft(r api.Release) (api.Release, []kit.Op) {
	_, digest, _ := strings.Cut(r.Image, "@")
	switch {
	case r.Project == "" || strings.Contains(r.Project, "/") || r.Link.ID() != r.Project+"-"+r.Version:
		return r, kit.Refuse(kit.ErrInvalid, "the id of a release is PROJECT-VERSION: %s-%s", r.Project, r.Version)
	case !semver.IsValid("v"+r.Version) || semver.Canonical("v"+r.Version) != "v"+r.Version:
		return r, kit.Refuse(kit.ErrInvalid, "%q is no semantic version like 2.0.0 or 2.0.0-rc.1", r.Version)
	case kit.Digest(digest).Check() != nil:
		return r, kit.Refuse(kit.ErrInvalid, "the image %q is not named by its digest: REPOSITORY@sha256:...", r.Image)
	case !commitPattern.MatchString(r.Commit):
		return r, kit.Refuse(kit.ErrInvalid, "%q is no full commit id", r.Commit)
	}
	r.State, r.Notes, r.Since, r.Target, r.Error = api.ReleaseDraft, "", "", "", ""
	return r, []kit.Op{kit.Call("notes", r.Link.ID(), nil)}
}

// nextChannel is the life of a channel. What it offers changes by promotion
// alone.
func nextChannel(c api.Channel, e kit.Event, now time.Time) (api.Channel, []kit.Op) {
	switch e.Name {
	case "created":
		var unknown struct{ Entitled json.RawMessage }
		if err := e.Into(&unknown); err != nil || unknown.Entitled != nil {
			return c, kit.Refuse(kit.ErrInvalid, "entitled is no field of a channel: the account of every agent may follow every channel")
		}
		if c.Project == "" || c.Name == "" || strings.Contains(c.Project+c.Name, "/") || c.Link.ID() != c.Project+"-"+c.Name {
			return c, kit.Refuse(kit.ErrInvalid, "the id of a channel is PROJECT-NAME: %s-%s", c.Project, c.Name)
		}
		c.Release, c.History, c.Error = "", nil, ""
	case "updated":
		return c, kit.Refuse(kit.ErrConflict, "a channel cannot be written: use the method promote to change what it offers")
	case "promote":
		return promote(c, e)
	case "publish.done":
		var o api.Offered
		if err := e.Into(&o); err != nil {
			return c, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		o.At = now
		c.Release, c.History, c.Error = o.Release, append(c.History, o), ""
	case "publish.failed":
		c.Error = reason(e)
	}
	return c, nil
}

func promote(c api.Channel, e kit.Event) (api.Channel, []kit.Op) {
	var a api.PromoteArgs
	if err := e.Into(&a); err != nil {
		return c, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if a.Release.Kind() != api.Releases.Name || a.Release.Check() != nil {
		return c, kit.Refuse(kit.ErrInvalid, `%q is no release: {"release": "releases/ledger-2.0.0"}`, a.Release)
	}
	c.Error = ""
	return c, []kit.Op{kit.Call("publish", a.Release.ID(), api.Offered{Release: a.Release, By: e.By, Comment: a.Comment})}
}

// reason returns why an action failed.
func reason(e kit.Event) string {
	var failure struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(e.Data, &failure) != nil || failure.Error == "" {
		return "it failed"
	}
	return failure.Error
}
