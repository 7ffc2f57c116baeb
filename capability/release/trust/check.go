package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/kit"
)

func parseInitial(i Initial) (*Repository, error) {
	r := &Repository{releasesFile: []byte(i.Releases)}
	var err error
	if r.root, err = metadata.Root().FromBytes([]byte(i.Root)); err != nil {
		return nil, damaged("root.json", err)
	}
	if r.targets, err = parseTargets(metadata.TARGETS, []byte(i.Targets)); err != nil {
		return nil, err
	}
	r.releases, err = parseTargets(roleReleases, []byte(i.Releases))
	return r, err
}

// checkInitial reports what in the first files is not as Init makes it.
func (r *Repository) checkInitial(k Online, now time.Time) error {
	wrong := func(format string, args ...any) error { return kit.Errorf(kit.ErrInvalid, "", format, args...) }
	root, targets, releases := r.root.Signed, r.targets.Signed, r.releases.Signed
	if root.Version != 1 || targets.Version != 1 || releases.Version != 1 {
		return wrong("the first files have versions %d, %d and %d, not 1", root.Version, targets.Version, releases.Version)
	}
	if root.IsExpired(now) || targets.IsExpired(now) || releases.IsExpired(now) {
		return wrong("the files have expired: make them anew, or set this machine's clock")
	}
	if len(releases.Targets) > 0 {
		return wrong("the first files list releases")
	}
	return r.checkLayout(k)
}

// checkLayout reports files of people that do not fit each other, or that give
// the hub another power than Init does.
func (r *Repository) checkLayout(k Online) error {
	wrong := func(format string, args ...any) error { return kit.Errorf(kit.ErrInvalid, "", format, args...) }
	root, targets, releases := r.root.Signed, r.targets.Signed, r.releases.Signed
	if !root.ConsistentSnapshot || len(targets.Targets) > 0 || targets.Delegations == nil || releases.Delegations != nil {
		return wrong("the files are not laid out as landfall trust init makes them")
	}
	for _, role := range metadata.TOP_LEVEL_ROLE_NAMES {
		if root.Roles[role] == nil {
			return wrong("the root names no keys of %s", role)
		}
	}
	if root.Roles[metadata.ROOT].Threshold < rootThreshold {
		return wrong("the root needs the signatures of two keys at least")
	}
	err := errors.Join(
		r.root.VerifyDelegate(metadata.ROOT, r.root),
		r.root.VerifyDelegate(metadata.TARGETS, r.targets),
		r.targets.VerifyDelegate(roleReleases, r.releases),
	)
	if err != nil {
		return wrong("the files are not signed by the keys that they name: %v", err)
	}
	return r.checkDelegations(k)
}

// checkDelegations reports a hub's key that has too much or too little power.
func (r *Repository) checkDelegations(k Online) error {
	keys := k.Public()
	snapshot, err1 := keyID(keys.Snapshot)
	timestamp, err2 := keyID(keys.Timestamp)
	channels, err3 := keyID(keys.Channels)
	roles := r.targets.Signed.Delegations.Roles
	if err1 != nil || err2 != nil || err3 != nil || len(roles) != 2 {
		return kit.Errorf(kit.ErrInvalid, "", "targets must delegate to %s and %s alone", roleReleases, roleChannels)
	}
	root := r.root.Signed.Roles
	for _, only := range []struct {
		role string
		keys []string
		want string
	}{
		{metadata.SNAPSHOT, root[metadata.SNAPSHOT].KeyIDs, snapshot},
		{metadata.TIMESTAMP, root[metadata.TIMESTAMP].KeyIDs, timestamp},
		{roleChannels, roles[1].KeyIDs, channels},
	} {
		if !slices.Equal(only.keys, []string{only.want}) {
			return kit.Errorf(kit.ErrInvalid, "", "the key of %s is not this hub's: take the keys from GET /tuf/keys of the same node", only.role)
		}
	}
	for i, name := range []string{roleReleases, roleChannels} {
		d := roles[i]
		if d.Name != name || !slices.Equal(d.Paths, []string{name + "/*/*"}) || !d.Terminating {
			return kit.Errorf(kit.ErrInvalid, "", "targets must delegate %s/*/* to %s, terminating", name, name)
		}
	}
	offline := slices.Concat(root[metadata.ROOT].KeyIDs, root[metadata.TARGETS].KeyIDs, roles[0].KeyIDs)
	for _, id := range []string{snapshot, timestamp, channels} {
		if slices.Contains(offline, id) {
			return kit.Errorf(kit.ErrInvalid, "", "a key of the hub must not sign root, targets or releases")
		}
	}
	return nil
}

func keyID(k ed25519.PublicKey) (string, error) {
	key, err := tufKey(k)
	if err != nil {
		return "", err
	}
	return key.ID()
}

// checkReleases reports what is wrong with next as the successor of the
// current list of releases, with the one at path added.
func (r *Repository) checkReleases(next *metadata.Metadata[metadata.TargetsType], path string, now time.Time) error {
	if want := r.releases.Signed.Version + 1; next.Signed.Version != want {
		return kit.Errorf(kit.ErrStale, "", "releases.json has version %d, the next is %d: read the current one and sign again", next.Signed.Version, want)
	}
	if err := r.targets.VerifyDelegate(roleReleases, next); err != nil {
		return kit.Errorf(kit.ErrForbidden, "", "releases.json is not signed by the release key: %v", err)
	}
	if next.Signed.IsExpired(now) || next.Signed.Delegations != nil {
		return kit.Errorf(kit.ErrInvalid, "", "releases.json has expired or delegates: sign again")
	}
	for p, old := range r.releases.Signed.Targets {
		if info := next.Signed.Targets[p]; info == nil || !info.Equal(*old) {
			return kit.Errorf(kit.ErrConflict, "", "%s was signed before, and is missing or changed: releases stay as they are", p)
		}
	}
	if _, ok := r.releases.Signed.Targets[path]; ok {
		return kit.Errorf(kit.ErrConflict, "", "%s is signed already", path)
	}
	if next.Signed.Targets[path] == nil || len(next.Signed.Targets) != len(r.releases.Signed.Targets)+1 {
		return kit.Errorf(kit.ErrInvalid, "", "releases.json must add %s and nothing else", path)
	}
	return nil
}

// checkTarget reports that content is not what info describes, or not want.
func checkTarget(info *metadata.TargetFiles, content []byte, want api.ReleaseTarget) error {
	if _, ok := info.Hashes["sha256"]; !ok || len(info.Hashes) != 1 {
		return kit.Errorf(kit.ErrInvalid, "", "the target must have its SHA-256 and no other hash")
	}
	if err := info.VerifyLengthHashes(content); err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "the target is not what was signed: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	var got api.ReleaseTarget
	if err := d.Decode(&got); err != nil || d.More() {
		return kit.Errorf(kit.ErrInvalid, "", "the target is no description of a release: %v", err)
	}
	for _, f := range []struct{ name, got, want string }{
		{"project", got.Project, want.Project}, {"version", got.Version, want.Version}, {"image", got.Image, want.Image},
		{"commit", got.Commit, want.Commit}, {"notes", got.Notes, want.Notes},
	} {
		if f.got != f.want {
			return kit.Errorf(kit.ErrConflict, "", "what was signed is not this release: its %s is %q, not %q", f.name, f.got, f.want)
		}
	}
	return nil
}
