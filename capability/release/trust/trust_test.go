package trust

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const image = "ledger@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func described(version string) api.ReleaseTarget {
	return api.ReleaseTarget{Project: "ledger", Version: version, Image: image, Commit: strings.Repeat("a", 40), Notes: "- better\n"}
}

// place is a hub's files and the keys for them.
type place struct {
	t      *testing.T
	files  map[string][]byte
	online Online
	safe   string
	now    time.Time
}

func newPlace(t *testing.T) *place {
	t.Helper()
	p := &place{t: t, files: map[string][]byte{}, safe: filepath.Join(t.TempDir(), "safe"), now: time.Now()}
	var err error
	if p.online, err = OpenOnline(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	first, err := Init(p.safe, p.online.Public())
	if err != nil {
		t.Fatal(err)
	}
	p.apply(Found(first, p.online, p.now))
	return p
}

func (p *place) apply(c Changes, err error) Changes {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
	for name, b := range c.Metadata {
		if _, ok := p.files[name]; ok && name != TimestampFile {
			p.t.Errorf("%s was replaced", name)
		}
		p.files[name] = b
	}
	for _, name := range c.Superseded {
		if _, ok := p.files[name]; !ok {
			p.t.Errorf("%s is superseded, and was never there", name)
		}
	}
	return c
}

func (p *place) read(name string) ([]byte, error) {
	if b, ok := p.files[name]; ok {
		return b, nil
	}
	return nil, kit.Errorf(kit.ErrNotFound, "", "there is no %s", name)
}

func (p *place) load() *Repository {
	p.t.Helper()
	r, err := Load(p.read)
	if err != nil {
		p.t.Fatal(err)
	}
	return r
}

func (p *place) sign(version string) (signed, target []byte) {
	p.t.Helper()
	signed, target, err := SignRelease(filepath.Join(p.safe, ReleaseKeyFile), p.load().Releases(), described(version))
	if err != nil {
		p.t.Fatal(err)
	}
	return signed, target
}

func (p *place) release(version string) {
	p.t.Helper()
	signed, target := p.sign(version)
	p.apply(p.load().AddRelease(p.online, signed, target, described(version), p.now))
}

func TestKeysArePrivateAndNeverOverwritten(t *testing.T) {
	p := newPlace(t)
	for _, name := range keyFiles {
		info, err := os.Stat(filepath.Join(p.safe, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want a file that only its owner reads", name, info, err)
		}
	}
	before, _ := os.ReadFile(filepath.Join(p.safe, ReleaseKeyFile))
	if err := os.Remove(filepath.Join(p.safe, "root1.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := Init(p.safe, p.online.Public()); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("made keys over others: %v, want a conflict", err)
	}
	if after, _ := os.ReadFile(filepath.Join(p.safe, ReleaseKeyFile)); string(after) != string(before) {
		t.Error("a key was overwritten")
	}
	if _, err := os.Stat(filepath.Join(p.safe, "root1.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a refused ceremony has made a key: %v", err)
	}
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	p := newPlace(t)
	file := filepath.Join(p.safe, ReleaseKeyFile)
	if err := os.Chmod(file, 0o640); err != nil {
		t.Fatal(err)
	}
	_, _, err := SignRelease(file, p.load().Releases(), described("1.0.0"))
	if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("signed with a key that others can read: %v, want it refused and what to do", err)
	}
}

func TestTheHubKeepsItsKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "trust")
	a, err := OpenOnline(dir)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenOnline(dir)
	if err != nil || !a.Public().Channels.Equal(b.Public().Channels) || !a.timestamp.Equal(b.timestamp) || !a.snapshot.Equal(b.snapshot) {
		t.Errorf("the second start gave other keys, %v", err)
	}
	if a.Public().Channels.Equal(a.Public().Snapshot) || a.Public().Timestamp.Equal(a.Public().Snapshot) {
		t.Error("two roles have the same key")
	}
}

func TestAForeignListOfReleasesIsNotSigned(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	other.release("6.6.6")
	_, _, err := SignRelease(filepath.Join(p.safe, ReleaseKeyFile), other.load().Releases(), described("1.0.0"))
	if !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("signed a list of releases by another key: %v, want it refused", err)
	}
}

func TestAVersionIsSignedOnce(t *testing.T) {
	p := newPlace(t)
	p.release("1.0.0")
	_, _, err := SignRelease(filepath.Join(p.safe, ReleaseKeyFile), p.load().Releases(), described("1.0.0"))
	if !errors.Is(err, kit.ErrConflict) {
		t.Errorf("signed a version twice: %v, want a conflict", err)
	}
}

func TestOnlyTheNextListOfReleasesIsTakenIn(t *testing.T) {
	p := newPlace(t)
	p.release("1.0.0")
	signed, target := p.sign("1.1.0")
	other, err := OpenOnline(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	release, err := readKey(filepath.Join(p.safe, ReleaseKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*metadata.Metadata[metadata.TargetsType])) []byte {
		m, err := parseTargets(roleReleases, signed)
		if err != nil {
			t.Fatal(err)
		}
		change(m)
		b, err := sign(m, release)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	byHub := func() []byte {
		m, err := parseTargets(roleReleases, signed)
		if err != nil {
			t.Fatal(err)
		}
		b, err := sign(m, p.online.channels)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	changed := described("1.1.0")
	changed.Image = strings.Replace(image, "0123", "4567", 1)
	for _, test := range []struct {
		name   string
		signed []byte
		target []byte
		want   api.ReleaseTarget
		keys   Online
		fault  kit.Fault
	}{
		{"a list by the hub's key", byHub(), target, described("1.1.0"), p.online, kit.ErrForbidden},
		{"a version that was left out", edit(func(m *metadata.Metadata[metadata.TargetsType]) { m.Signed.Version++ }), target, described("1.1.0"), p.online, kit.ErrStale},
		{"a version that is there", edit(func(m *metadata.Metadata[metadata.TargetsType]) { m.Signed.Version-- }), target, described("1.1.0"), p.online, kit.ErrStale},
		{"an earlier release that is gone", edit(func(m *metadata.Metadata[metadata.TargetsType]) {
			delete(m.Signed.Targets, "releases/ledger/1.0.0")
		}), target, described("1.1.0"), p.online, kit.ErrConflict},
		{"an earlier release that is changed", edit(func(m *metadata.Metadata[metadata.TargetsType]) {
			m.Signed.Targets["releases/ledger/1.0.0"] = m.Signed.Targets["releases/ledger/1.1.0"]
		}), target, described("1.1.0"), p.online, kit.ErrConflict},
		{"one more release", edit(func(m *metadata.Metadata[metadata.TargetsType]) {
			m.Signed.Targets["releases/ledger/9.0.0"] = m.Signed.Targets["releases/ledger/1.1.0"]
		}), target, described("1.1.0"), p.online, kit.ErrInvalid},
		{"a list that has expired", edit(func(m *metadata.Metadata[metadata.TargetsType]) {
			m.Signed.Expires = p.now.Add(-time.Hour)
		}), target, described("1.1.0"), p.online, kit.ErrInvalid},
		{"a list that delegates", edit(func(m *metadata.Metadata[metadata.TargetsType]) {
			m.Signed.Delegations = &metadata.Delegations{Keys: map[string]*metadata.Key{}}
		}), target, described("1.1.0"), p.online, kit.ErrInvalid},
		{"a target by two hashes", edit(func(m *metadata.Metadata[metadata.TargetsType]) {
			m.Signed.Targets["releases/ledger/1.1.0"].Hashes["sha512"] = []byte("x")
		}), target, described("1.1.0"), p.online, kit.ErrInvalid},
		{"another release of the same version", signed, target, changed, p.online, kit.ErrConflict},
		{"the signature of another version", signed, target, described("1.2.0"), p.online, kit.ErrInvalid},
		{"other bytes than were signed", signed, append(slices.Clone(target), ' '), described("1.1.0"), p.online, kit.ErrInvalid},
		{"no metadata", []byte("{}"), target, described("1.1.0"), p.online, kit.ErrInvalid},
		{"a node with other keys", signed, target, described("1.1.0"), other, kit.ErrConflict},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := p.load().AddRelease(test.keys, test.signed, test.target, test.want, p.now)
			if !errors.Is(err, test.fault) {
				t.Errorf("added %s: %v, want %v", test.name, err, test.fault)
			}
		})
	}
	p.apply(p.load().AddRelease(p.online, signed, target, described("1.1.0"), p.now))
}

func TestAChannelOffersSignedReleasesOnly(t *testing.T) {
	p := newPlace(t)
	p.release("1.0.0")
	offer := func(version string) (Changes, error) {
		return p.load().Offer(p.online, "stable", api.ChannelTarget{Project: "ledger", Version: version, Target: api.ReleasePath("ledger", version)}, p.now)
	}
	if _, err := offer("2.0.0"); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("offered what nobody signed: %v, want a conflict", err)
	}
	p.apply(offer("1.0.0"))
	if c := p.apply(offer("1.0.0")); len(c.Metadata) > 0 {
		t.Errorf("offered the same again: %d files, want none", len(c.Metadata))
	}
}

func TestFirstFilesThatGiveTheHubPowerAreRefused(t *testing.T) {
	p := newPlace(t)
	another, err := OpenOnline(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ceremony := func(name string, online Keys) Initial {
		i, err := Init(filepath.Join(t.TempDir(), name), online)
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	good := ceremony("good", p.online.Public())
	mixed := good
	mixed.Releases = ceremony("other", p.online.Public()).Releases
	for _, test := range []struct {
		name  string
		first Initial
	}{
		{"the keys of another hub", ceremony("a", another.Public())},
		{"a list of releases by another key", mixed},
		{"a root that trusts one key", Initial{Root: string(rootOf(t, p, 1)), Targets: good.Targets, Releases: good.Releases}},
		{"nothing", Initial{}},
		{"a root without roles", Initial{Root: `{"signed":{"_type":"root","version":1,"expires":"2999-01-01T00:00:00Z","consistent_snapshot":true,"roles":{}},"signatures":[]}`, Targets: good.Targets, Releases: good.Releases}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := Found(test.first, p.online, p.now); !errors.Is(err, kit.ErrInvalid) {
				t.Errorf("set up the trust with %s: %v, want it refused", test.name, err)
			}
		})
	}
	if _, err := Found(good, p.online, p.now.Add(2*365*24*time.Hour)); !errors.Is(err, kit.ErrInvalid) {
		t.Errorf("set up the trust with expired files: %v, want it refused", err)
	}
}

// rootOf returns p's root with another threshold.
func rootOf(t *testing.T, p *place, threshold int) []byte {
	t.Helper()
	m, err := metadata.Root().FromBytes(p.files["1.root.json"])
	if err != nil {
		t.Fatal(err)
	}
	m.Signed.Roles[metadata.ROOT].Threshold = threshold
	k, err := readKey(filepath.Join(p.safe, "root1.key"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := sign(m, k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhatWouldExpireIsSignedAnew(t *testing.T) {
	for _, test := range []struct {
		after time.Duration
		want  []string
	}{
		{5 * time.Hour, nil},
		{7 * time.Hour, []string{"timestamp.json"}},
		{4 * 24 * time.Hour, []string{"2.snapshot.json", "timestamp.json"}},
		{16 * 24 * time.Hour, []string{"2.channels.json", "2.snapshot.json", "timestamp.json"}},
		{90 * 24 * time.Hour, []string{"2.channels.json", "2.snapshot.json", "timestamp.json"}},
	} {
		t.Run(test.after.String(), func(t *testing.T) {
			p := newPlace(t)
			p.now = p.now.Add(test.after)
			c := p.apply(p.load().Renew(p.online, p.now))
			if got := slices.Sorted(maps.Keys(c.Metadata)); !slices.Equal(got, test.want) {
				t.Errorf("signed %v anew, want %v", got, test.want)
			}
			if c := p.apply(p.load().Renew(p.online, p.now)); len(c.Metadata) > 0 {
				t.Errorf("signed %d files anew twice", len(c.Metadata))
			}
		})
	}
}

func TestTheTimestampSaysWhenItWasSigned(t *testing.T) {
	p := newPlace(t)
	var file struct{ Signed struct{ Issued time.Time } }
	if err := json.Unmarshal(p.files[TimestampFile], &file); err != nil {
		t.Fatal(err)
	}
	if d := p.now.Sub(file.Signed.Issued); d < 0 || d > time.Second {
		t.Errorf("the timestamp says %s, want %s", file.Signed.Issued, p.now)
	}
}

func TestARepositoryThatWasNotFoundedSaysWhatToDo(t *testing.T) {
	_, err := Load(func(string) ([]byte, error) { return nil, kit.ErrNotFound })
	if !errors.Is(err, kit.ErrNotFound) || !strings.Contains(err.Error(), "landfall trust init") {
		t.Errorf("loaded nothing: %v, want not found and what to do", err)
	}
}
