package trust

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// ReleaseKeyFile is the name of the file with the key that signs releases.
const ReleaseKeyFile = "release.key"

// keyFiles are what Init makes: three keys of the root, of which any two sign,
// one of targets and one of releases.
var keyFiles = []string{"root1.key", "root2.key", "root3.key", "targets.key", ReleaseKeyFile}

// Initial are the first files of a repository, as POST /tuf/init takes them:
// text, byte for byte.
type Initial struct {
	Root     string `json:"root"`
	Targets  string `json:"targets"`
	Releases string `json:"releases"`
}

// Init makes the keys that people keep, as files of dir that only their owner
// may read, and the first metadata, which trusts them and the hub's keys. It
// refuses to overwrite a key. The root's keys belong on separate media, away
// from any network.
func Init(dir string, online Keys) (Initial, error) {
	if err := online.check(); err != nil {
		return Initial{}, err
	}
	keys, err := makeKeys(dir)
	if err != nil {
		return Initial{}, err
	}
	return initial(keys, online, time.Now())
}

func makeKeys(dir string) ([]ed25519.PrivateKey, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	for _, name := range keyFiles {
		file := filepath.Join(dir, name)
		if _, err := os.Lstat(file); !errors.Is(err, fs.ErrNotExist) {
			return nil, kit.Errorf(kit.ErrConflict, "", "%s exists already: choose another directory, keys are never overwritten", file)
		}
	}
	var keys []ed25519.PrivateKey
	for _, name := range keyFiles {
		k, err := makeKey(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// Discard removes the keys that Init has just made in dir, and that nobody
// trusts because the hub has refused them.
func Discard(dir string) error {
	var errs []error
	for _, name := range keyFiles {
		errs = append(errs, os.Remove(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// initial makes the first files with keys, which are in the order of keyFiles.
func initial(keys []ed25519.PrivateKey, online Keys, now time.Time) (Initial, error) {
	roots, targetsKey, releaseKey := keys[:3], keys[3], keys[4]
	root := metadata.Root(after(now, rootLife))
	root.Signed.Roles[metadata.ROOT].Threshold = rootThreshold
	for _, k := range []struct {
		role string
		key  ed25519.PublicKey
	}{
		{metadata.ROOT, public(roots[0])}, {metadata.ROOT, public(roots[1])}, {metadata.ROOT, public(roots[2])},
		{metadata.TARGETS, public(targetsKey)}, {metadata.SNAPSHOT, online.Snapshot}, {metadata.TIMESTAMP, online.Timestamp},
	} {
		key, err := tufKey(k.key)
		if err != nil {
			return Initial{}, err
		}
		if err := root.Signed.AddKey(key, k.role); err != nil {
			return Initial{}, err
		}
	}
	targets := metadata.Targets(after(now, targetsLife))
	release, err := tufKey(public(releaseKey))
	if err != nil {
		return Initial{}, err
	}
	channels, err := tufKey(online.Channels)
	if err != nil {
		return Initial{}, err
	}
	if targets.Signed.Delegations, err = delegations(release, channels); err != nil {
		return Initial{}, err
	}
	rootFile, err1 := sign(root, roots...) // by all, so that any two can prove it when they sign the next
	targetsFile, err2 := sign(targets, targetsKey)
	releasesFile, err3 := sign(metadata.Targets(after(now, releasesLife)), releaseKey)
	return Initial{Root: string(rootFile), Targets: string(targetsFile), Releases: string(releasesFile)}, errors.Join(err1, err2, err3)
}

// SignRelease adds t to current, the file of the releases role, and signs the
// result with the key in keyFile. It returns the new file and the target's
// content. It refuses a current file that the same key has not signed: a hub
// that was taken over must not have its releases signed along with t.
func SignRelease(keyFile string, current []byte, t api.ReleaseTarget) (signed, target []byte, err error) {
	key, err := readKey(keyFile)
	if err != nil {
		return nil, nil, err
	}
	m, err := parseTargets(roleReleases, current)
	if err != nil {
		return nil, nil, err
	}
	if err := checkSignedBy(roleReleases, m, 1, key); err != nil {
		return nil, nil, err
	}
	path := api.ReleasePath(t.Project, t.Version)
	if _, ok := m.Signed.Targets[path]; ok {
		return nil, nil, kit.Errorf(kit.ErrConflict, "", "%s is signed already: a release never changes", path)
	}
	if target, err = json.Marshal(t); err != nil {
		return nil, nil, err
	}
	if err := addTarget(m, path, target); err != nil {
		return nil, nil, err
	}
	m.Signed.Version++
	m.Signed.Expires = after(time.Now(), releasesLife)
	signed, err = sign(m, key)
	return signed, target, err
}

// checkSignedBy reports that m, the file of a role, is not signed by at least
// threshold of keys.
func checkSignedBy(role string, m any, threshold int, keys ...ed25519.PrivateKey) error {
	own := metadata.Targets()
	d := metadata.DelegatedRole{Name: role, Threshold: threshold}
	own.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, key := range keys {
		k, err := tufKey(public(key))
		if err != nil {
			return err
		}
		id, err := k.ID()
		if err != nil {
			return err
		}
		own.Signed.Delegations.Keys[id] = k
		d.KeyIDs = append(d.KeyIDs, id)
	}
	own.Signed.Delegations.Roles = []metadata.DelegatedRole{d}
	if err := own.VerifyDelegate(role, m); err != nil {
		return &kit.Error{
			Fault: kit.ErrForbidden, Detail: "the hub's " + role + ".json is not signed by the keys given",
			Hint: "use the keys that signed it before; if you did, the hub may have been taken over: sign nothing", Err: err,
		}
	}
	return nil
}

// addTarget adds the target at path to m, or replaces it.
func addTarget(m *metadata.Metadata[metadata.TargetsType], path string, content []byte) error {
	info, err := metadata.TargetFile().FromBytes(path, content, "sha256")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	m.Signed.Targets[path] = info
	return nil
}
