package trust

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Repository is the current metadata, from which the hub makes the next.
type Repository struct {
	root      *metadata.Metadata[metadata.RootType]
	targets   *metadata.Metadata[metadata.TargetsType]
	releases  *metadata.Metadata[metadata.TargetsType]
	channels  *metadata.Metadata[metadata.TargetsType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	timestamp *metadata.Metadata[metadata.TimestampType]

	releasesFile []byte
}

// Changes are files to be stored all at once.
type Changes struct {
	Metadata map[string][]byte // by file name; all are new but the timestamp
	Targets  map[string][]byte // by path, the hash in front of the name; maybe there already
	// Superseded are metadata files that are of no use any more, except to who
	// has just begun to read.
	Superseded []string
}

// Found checks the first files of a repository and adds the hub's own. It is
// ErrInvalid if they are not laid out as Init does it for the keys k.
func Found(i Initial, k Online, now time.Time) (Changes, error) {
	r, err := parseInitial(i)
	if err != nil {
		return Changes{}, err
	}
	if err := r.checkInitial(k, now); err != nil {
		return Changes{}, err
	}
	r.channels = metadata.Targets()
	r.channels.Signed.Version = 0
	r.snapshot, r.timestamp = metadata.Snapshot(), metadata.Timestamp()
	r.snapshot.Signed.Version, r.timestamp.Signed.Version = 0, 0
	channels, err := r.signChannels(k, now)
	if err != nil {
		return Changes{}, err
	}
	c, err := r.publish(k, now, map[string][]byte{
		metadata.TARGETS: []byte(i.Targets), roleReleases: []byte(i.Releases), roleChannels: channels,
	})
	if err != nil {
		return Changes{}, err
	}
	c.Metadata[fileName(metadata.ROOT, 1)] = []byte(i.Root)
	c.Superseded = nil
	return c, nil
}

// Load reads the current metadata. Read returns a file by its name, or
// ErrNotFound; Load is ErrNotFound if the repository was not founded yet.
func Load(read func(name string) ([]byte, error)) (*Repository, error) {
	r := &Repository{}
	b, err := read(TimestampFile)
	if errors.Is(err, kit.ErrNotFound) {
		return nil, &kit.Error{Fault: kit.ErrNotFound, Detail: "nobody has set up signing yet", Hint: "an administrator runs: landfall trust init --keys DIR"}
	}
	if err != nil {
		return nil, err
	}
	if r.timestamp, err = metadata.Timestamp().FromBytes(b); err != nil {
		return nil, damaged(TimestampFile, err)
	}
	version := func(m map[string]*metadata.MetaFiles, role string) string {
		if f := m[role+".json"]; f != nil {
			return fileName(role, f.Version)
		}
		return fileName(role, 0) // there is no such file
	}
	name := version(r.timestamp.Signed.Meta, metadata.SNAPSHOT)
	if b, err = read(name); err != nil {
		return nil, err
	}
	if r.snapshot, err = metadata.Snapshot().FromBytes(b); err != nil {
		return nil, damaged(name, err)
	}
	for role, m := range map[string]**metadata.Metadata[metadata.TargetsType]{
		metadata.TARGETS: &r.targets, roleReleases: &r.releases, roleChannels: &r.channels,
	} {
		if b, err = read(version(r.snapshot.Signed.Meta, role)); err != nil {
			return nil, err
		}
		if *m, err = parseTargets(role, b); err != nil {
			return nil, err
		}
		if role == roleReleases {
			r.releasesFile = b
		}
	}
	return r, r.loadRoot(read)
}

// loadRoot finds the latest root.
func (r *Repository) loadRoot(read func(string) ([]byte, error)) error {
	for v := int64(1); ; v++ {
		b, err := read(fileName(metadata.ROOT, v))
		if errors.Is(err, kit.ErrNotFound) && v > 1 {
			return nil
		}
		if err != nil {
			return err
		}
		if r.root, err = metadata.Root().FromBytes(b); err != nil {
			return damaged(fileName(metadata.ROOT, v), err)
		}
	}
}

// Releases returns the current file of the releases role, for SignRelease.
func (r *Repository) Releases() []byte { return r.releasesFile }

// AddRelease takes in the next file of the releases role, signed by the
// release manager, with the content of one more target, which must be want.
func (r *Repository) AddRelease(k Online, signed, target []byte, want api.ReleaseTarget, now time.Time) (Changes, error) {
	next, err := parseTargets(roleReleases, signed)
	if err != nil {
		return Changes{}, err
	}
	path := api.ReleasePath(want.Project, want.Version)
	if err := r.checkReleases(next, path, now); err != nil {
		return Changes{}, err
	}
	if err := checkTarget(next.Signed.Targets[path], target, want); err != nil {
		return Changes{}, err
	}
	old := fileName(roleReleases, r.releases.Signed.Version)
	r.releases, r.releasesFile = next, signed
	c, err := r.publish(k, now, map[string][]byte{roleReleases: signed})
	c.Targets = map[string][]byte{hashedPath(path, target): target}
	c.Superseded = append(c.Superseded, old)
	return c, err
}

// Offer makes t what its channel offers. It changes nothing if it does so
// already, and is ErrConflict unless the release is signed.
func (r *Repository) Offer(k Online, name string, t api.ChannelTarget, now time.Time) (Changes, error) {
	if _, ok := r.releases.Signed.Targets[t.Target]; !ok {
		return Changes{}, kit.Errorf(kit.ErrConflict, "", "%s is not among the signed releases", t.Target)
	}
	content, err := json.Marshal(t)
	if err != nil {
		return Changes{}, err
	}
	path := api.ChannelPath(t.Project, name)
	if info := r.channels.Signed.Targets[path]; info != nil && info.VerifyLengthHashes(content) == nil {
		return Changes{}, nil
	}
	old := fileName(roleChannels, r.channels.Signed.Version)
	if err := addTarget(r.channels, path, content); err != nil {
		return Changes{}, err
	}
	channels, err := r.signChannels(k, now)
	if err != nil {
		return Changes{}, err
	}
	c, err := r.publish(k, now, map[string][]byte{roleChannels: channels})
	c.Targets = map[string][]byte{hashedPath(path, content): content}
	c.Superseded = append(c.Superseded, old)
	return c, err
}

// Renew signs anew what would expire before long: the timestamp after 6 hours,
// the others after half of their life. Mostly that is nothing.
func (r *Repository) Renew(k Online, now time.Time) (Changes, error) {
	due := func(expires time.Time, left time.Duration) bool { return expires.Sub(now) <= left }
	if due(r.channels.Signed.Expires, renewChannels) {
		old := fileName(roleChannels, r.channels.Signed.Version)
		channels, err := r.signChannels(k, now)
		if err != nil {
			return Changes{}, err
		}
		c, err := r.publish(k, now, map[string][]byte{roleChannels: channels})
		c.Superseded = append(c.Superseded, old)
		return c, err
	}
	if due(r.snapshot.Signed.Expires, renewSnapshot) {
		return r.publish(k, now, nil)
	}
	if due(r.timestamp.Signed.Expires, renewTimestamp) {
		file, err := r.signTimestamp(k, now)
		return Changes{Metadata: map[string][]byte{TimestampFile: file}}, err
	}
	return Changes{}, nil
}

// publish makes the files of roles, by their names, the current ones: it signs
// a new snapshot and a new timestamp.
func (r *Repository) publish(k Online, now time.Time, roles map[string][]byte) (Changes, error) {
	c := Changes{Metadata: map[string][]byte{}}
	c.Superseded = append(c.Superseded, fileName(metadata.SNAPSHOT, r.snapshot.Signed.Version))
	versions := map[string]int64{
		metadata.TARGETS: r.targets.Signed.Version, roleReleases: r.releases.Signed.Version, roleChannels: r.channels.Signed.Version,
	}
	for _, role := range slices.Sorted(maps.Keys(roles)) {
		info, err := metaFile(versions[role], roles[role])
		if err != nil {
			return Changes{}, err
		}
		r.snapshot.Signed.Meta[role+".json"] = info
		c.Metadata[fileName(role, versions[role])] = roles[role]
	}
	r.snapshot.Signed.Version++
	r.snapshot.Signed.Expires = after(now, snapshotLife)
	snapshot, err := sign(r.snapshot, k.snapshot)
	if err != nil {
		return Changes{}, err
	}
	if err := r.root.VerifyDelegate(metadata.SNAPSHOT, r.snapshot); err != nil {
		return Changes{}, notOurKey(err)
	}
	info, err := metaFile(r.snapshot.Signed.Version, snapshot)
	if err != nil {
		return Changes{}, err
	}
	r.timestamp.Signed.Meta = map[string]*metadata.MetaFiles{"snapshot.json": info}
	c.Metadata[fileName(metadata.SNAPSHOT, r.snapshot.Signed.Version)] = snapshot
	c.Metadata[TimestampFile], err = r.signTimestamp(k, now)
	return c, err
}

func (r *Repository) signTimestamp(k Online, now time.Time) ([]byte, error) {
	r.timestamp.Signed.Version++
	r.timestamp.Signed.Expires = after(now, timestampLife)
	r.timestamp.Signed.UnrecognizedFields = map[string]any{issued: after(now, 0).Format(time.RFC3339)}
	file, err := sign(r.timestamp, k.timestamp)
	if err != nil {
		return nil, err
	}
	if err := r.root.VerifyDelegate(metadata.TIMESTAMP, r.timestamp); err != nil {
		return nil, notOurKey(err)
	}
	return file, nil
}

// signChannels returns the file of the next version of channels.
func (r *Repository) signChannels(k Online, now time.Time) ([]byte, error) {
	r.channels.Signed.Version++
	r.channels.Signed.Expires = after(now, channelsLife)
	file, err := sign(r.channels, k.channels)
	if err != nil {
		return nil, err
	}
	if err := r.targets.VerifyDelegate(roleChannels, r.channels); err != nil {
		return nil, notOurKey(err)
	}
	return file, nil
}

func notOurKey(err error) error {
	return &kit.Error{
		Fault: kit.ErrConflict, Detail: "the keys of this node of the hub are not those that the root trusts",
		Hint: "copy snapshot.key, timestamp.key and channels.key of the data directory from the node that the trust was set up with", Err: err,
	}
}

// metaFile describes a file in a snapshot or timestamp.
func metaFile(version int64, file []byte) (*metadata.MetaFiles, error) {
	t, err := metadata.TargetFile().FromBytes("", file, "sha256")
	if err != nil {
		return nil, err
	}
	return &metadata.MetaFiles{Version: version, Length: t.Length, Hashes: t.Hashes}, nil
}

// parseTargets reads the file of a role of the kind that lists targets.
func parseTargets(role string, b []byte) (*metadata.Metadata[metadata.TargetsType], error) {
	m, err := metadata.Targets().FromBytes(b)
	if err != nil {
		return nil, damaged(role+".json", err)
	}
	for path, info := range m.Signed.Targets {
		if info == nil {
			return nil, damaged(role+".json", fmt.Errorf("%s says nothing", path))
		}
	}
	if m.Signed.Targets == nil {
		m.Signed.Targets = map[string]*metadata.TargetFiles{}
	}
	return m, nil
}

func damaged(file string, err error) error {
	return kit.Errorf(kit.ErrInvalid, "", "%s is no metadata file: %v", file, err)
}
