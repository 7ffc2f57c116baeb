package trust

import (
	"crypto/ed25519"
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// warnBefore is how long before the end of a signature its people are told.
const warnBefore = 30 * 24 * time.Hour

// Renewal are files of the roles whose keys people keep, signed anew, as POST
// /tuf/renewal takes them: text, byte for byte. One that is empty stays as it
// is.
type Renewal struct {
	Root     string `json:"root,omitempty"`
	Targets  string `json:"targets,omitempty"`
	Releases string `json:"releases,omitempty"`
}

// Roles says how long the signatures of each role hold, those of people first.
func (r *Repository) Roles() []api.TrustRole {
	people := func(name string, version int64, expires time.Time) api.TrustRole {
		return api.TrustRole{Role: name, Version: version, Expires: expires, Renew: expires.Add(-warnBefore)}
	}
	return []api.TrustRole{
		people(metadata.ROOT, r.root.Signed.Version, r.root.Signed.Expires),
		people(metadata.TARGETS, r.targets.Signed.Version, r.targets.Signed.Expires),
		people(roleReleases, r.releases.Signed.Version, r.releases.Signed.Expires),
		{Role: roleChannels, Version: r.channels.Signed.Version, Expires: r.channels.Signed.Expires},
		{Role: metadata.SNAPSHOT, Version: r.snapshot.Signed.Version, Expires: r.snapshot.Signed.Expires},
		{Role: metadata.TIMESTAMP, Version: r.timestamp.Signed.Version, Expires: r.timestamp.Signed.Expires},
	}
}

// SignRenewal signs those roles of r anew whose keys are in dir: two keys for
// the root, one for each of the others. Nothing but the versions and the ends
// changes. It refuses what the same keys have not signed before: a hub that was
// taken over must not have its files signed.
func SignRenewal(dir string, r *Repository, now time.Time) (Renewal, error) {
	var n Renewal
	roots, err := keysIn(dir, keyFiles[:3])
	if err != nil {
		return n, err
	}
	targets, err := keysIn(dir, keyFiles[3:4])
	if err != nil {
		return n, err
	}
	releases, err := keysIn(dir, keyFiles[4:])
	if err != nil {
		return n, err
	}
	if len(roots) < rootThreshold && len(targets)+len(releases) == 0 {
		return n, kit.Errorf(kit.ErrNotFound, "", "%s has no keys to sign anew with: they are %s, %s and two of root1.key to root3.key", dir, keyFiles[3], ReleaseKeyFile)
	}
	if len(roots) >= rootThreshold {
		if n.Root, err = r.renewRoot(roots, now); err != nil {
			return n, err
		}
	}
	if len(targets) > 0 {
		if n.Targets, err = renewTargets(metadata.TARGETS, r.targets, targets[0], now.Add(targetsLife)); err != nil {
			return n, err
		}
	}
	if len(releases) > 0 {
		n.Releases, err = renewTargets(roleReleases, r.releases, releases[0], now.Add(releasesLife))
	}
	return n, err
}

// keysIn returns those of the keys in the files of dir that are there.
func keysIn(dir string, files []string) ([]ed25519.PrivateKey, error) {
	var keys []ed25519.PrivateKey
	for _, name := range files {
		k, err := readKey(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (r *Repository) renewRoot(keys []ed25519.PrivateKey, now time.Time) (string, error) {
	if err := checkSignedBy(metadata.ROOT, r.root, rootThreshold, keys...); err != nil {
		return "", err
	}
	next, err := copyOf(r.root)
	if err != nil {
		return "", err
	}
	next.Signed.Version++
	next.Signed.Expires = after(now, rootLife)
	file, err := sign(next, keys...)
	return string(file), err
}

// renewTargets signs a role of the kind that lists targets anew, until expires.
func renewTargets(role string, m *metadata.Metadata[metadata.TargetsType], key ed25519.PrivateKey, expires time.Time) (string, error) {
	if err := checkSignedBy(role, m, 1, key); err != nil {
		return "", err
	}
	next, err := copyOf(m)
	if err != nil {
		return "", err
	}
	next.Signed.Version++
	next.Signed.Expires = after(expires, 0)
	file, err := sign(next, key)
	return string(file), err
}

// copyOf returns a copy of m that shares nothing with it.
func copyOf[T metadata.Roles](m *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	b, err := m.ToBytes(false)
	if err != nil {
		return nil, err
	}
	return new(metadata.Metadata[T]).FromBytes(b)
}

// AddRenewal takes in files that were signed anew. A new root must be signed by
// enough keys of the one before and of itself, which agents demand too.
func (r *Repository) AddRenewal(k Online, n Renewal, now time.Time) (Changes, error) {
	next, err := r.parseRenewal(n)
	if err != nil {
		return Changes{}, err
	}
	if err := r.checkRenewal(next, n, now); err != nil {
		return Changes{}, err
	}
	if err := next.checkLayout(k); err != nil {
		return Changes{}, err
	}
	files, superseded := map[string][]byte{}, []string(nil)
	if n.Targets != "" {
		files[metadata.TARGETS] = []byte(n.Targets)
		superseded = append(superseded, fileName(metadata.TARGETS, r.targets.Signed.Version))
	}
	if n.Releases != "" {
		files[roleReleases] = []byte(n.Releases)
		superseded = append(superseded, fileName(roleReleases, r.releases.Signed.Version))
	}
	c, err := next.publish(k, now, files)
	if err != nil {
		return Changes{}, err
	}
	if n.Root != "" { // roots stay for ever: agents go from one to the next
		c.Metadata[fileName(metadata.ROOT, next.root.Signed.Version)] = []byte(n.Root)
	}
	c.Superseded = append(c.Superseded, superseded...)
	return c, nil
}

// parseRenewal returns a copy of r with the files of n.
func (r *Repository) parseRenewal(n Renewal) (*Repository, error) {
	next := *r
	var err error
	if n.Root != "" {
		if next.root, err = metadata.Root().FromBytes([]byte(n.Root)); err != nil {
			return nil, damaged("root.json", err)
		}
	}
	if n.Targets != "" {
		if next.targets, err = parseTargets(metadata.TARGETS, []byte(n.Targets)); err != nil {
			return nil, err
		}
	}
	if n.Releases != "" {
		if next.releases, err = parseTargets(roleReleases, []byte(n.Releases)); err != nil {
			return nil, err
		}
		next.releasesFile = []byte(n.Releases)
	}
	return &next, nil
}

// checkRenewal reports a file in next that is not the one after r's, or that
// lists other releases.
func (r *Repository) checkRenewal(next *Repository, n Renewal, now time.Time) error {
	if n == (Renewal{}) {
		return kit.Errorf(kit.ErrInvalid, "", "nothing is renewed: send root, targets or releases")
	}
	for _, f := range []struct {
		name, file string
		old, next  int64
		expired    bool
	}{
		{"root.json", n.Root, r.root.Signed.Version, next.root.Signed.Version, next.root.Signed.IsExpired(now)},
		{"targets.json", n.Targets, r.targets.Signed.Version, next.targets.Signed.Version, next.targets.Signed.IsExpired(now)},
		{"releases.json", n.Releases, r.releases.Signed.Version, next.releases.Signed.Version, next.releases.Signed.IsExpired(now)},
	} {
		switch {
		case f.file == "":
		case f.next != f.old+1:
			return kit.Errorf(kit.ErrStale, "", "%s has version %d, the next is %d: read the current one and sign again", f.name, f.next, f.old+1)
		case f.expired:
			return kit.Errorf(kit.ErrInvalid, "", "%s has expired already: sign again, on a machine whose clock is right", f.name)
		}
	}
	if n.Root != "" {
		if err := r.root.VerifyDelegate(metadata.ROOT, next.root); err != nil {
			return kit.Errorf(kit.ErrForbidden, "", "root.json is not signed by enough keys of the root before it: %v", err)
		}
	}
	for path, old := range r.releases.Signed.Targets {
		if info := next.releases.Signed.Targets[path]; info == nil || !info.Equal(*old) {
			return kit.Errorf(kit.ErrConflict, "", "%s was signed before, and is missing or changed: releases stay as they are", path)
		}
	}
	if len(next.releases.Signed.Targets) != len(r.releases.Signed.Targets) {
		return kit.Errorf(kit.ErrInvalid, "", "a renewal adds no release: use landfall release sign")
	}
	return nil
}
