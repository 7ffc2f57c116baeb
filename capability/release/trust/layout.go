package trust

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strconv"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
)

// The delegated roles.
const (
	roleReleases = "releases"
	roleChannels = "channels"
)

// rootThreshold is how many of its keys sign the root.
const rootThreshold = 2

// How long signatures are good for.
const (
	rootLife      = 365 * 24 * time.Hour
	targetsLife   = 180 * 24 * time.Hour
	releasesLife  = 365 * 24 * time.Hour
	channelsLife  = 30 * 24 * time.Hour
	snapshotLife  = 7 * 24 * time.Hour
	timestampLife = 24 * time.Hour
)

// The hub signs anew what will be good for less than this.
const (
	renewChannels  = channelsLife / 2
	renewSnapshot  = snapshotLife / 2
	renewTimestamp = timestampLife - 6*time.Hour
)

// TimestampFile is the one metadata file whose name has no version.
const TimestampFile = "timestamp.json"

// issued is the name of the timestamp's field with the time of its signature.
const issued = "issued"

// fileName returns the name of the metadata file of a role.
func fileName(role string, version int64) string {
	return strconv.FormatInt(version, 10) + "." + role + ".json"
}

// hashedPath returns the name under which the content of the target at p is
// kept.
func hashedPath(p string, content []byte) string {
	dir, name := path.Split(p)
	return dir + RootDigest(content) + "." + name
}

// RootDigest returns the SHA-256 of a root's file in hex: what an agent is told
// when it is installed, so that it trusts nothing on first use.
func RootDigest(root []byte) string {
	sum := sha256.Sum256(root)
	return hex.EncodeToString(sum[:])
}

// TargetOf returns what a release manager signs for r.
func TargetOf(r api.Release) api.ReleaseTarget {
	return api.ReleaseTarget{Project: r.Project, Version: r.Version, Image: r.Image, Commit: r.Commit, Notes: r.Notes}
}

// after returns when a signature made now ends.
func after(now time.Time, life time.Duration) time.Time {
	return now.UTC().Truncate(time.Second).Add(life)
}

// delegations are what the targets role allows: releases to the release
// manager, channels to the hub.
func delegations(release, channels *metadata.Key) (*metadata.Delegations, error) {
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	for _, r := range []struct {
		name string
		key  *metadata.Key
	}{{roleReleases, release}, {roleChannels, channels}} {
		id, err := r.key.ID()
		if err != nil {
			return nil, err
		}
		d.Keys[id] = r.key
		d.Roles = append(d.Roles, metadata.DelegatedRole{
			Name: r.name, KeyIDs: []string{id}, Threshold: 1, Terminating: true, Paths: []string{r.name + "/*/*"},
		})
	}
	return d, nil
}
