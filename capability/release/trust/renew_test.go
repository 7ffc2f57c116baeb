package trust

import (
	"crypto/ed25519"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/kit"
)

// renewal returns what the people sign anew with the keys in dir.
func (p *place) renewal(dir string) Renewal {
	p.t.Helper()
	n, err := SignRenewal(dir, p.load(), p.now)
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// some returns a directory with some of the people's keys.
func (p *place) some(names ...string) string {
	p.t.Helper()
	dir := p.t.TempDir()
	for _, name := range names {
		b, err := os.ReadFile(filepath.Join(p.safe, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), b, 0o600)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return dir
}

func TestPeopleSignAnewWithTheKeysTheyHave(t *testing.T) {
	for _, test := range []struct {
		keys, want []string
	}{
		{[]string{"root1.key", "root3.key"}, []string{"2.root.json", "2.snapshot.json", "timestamp.json"}},
		{[]string{"targets.key"}, []string{"2.snapshot.json", "2.targets.json", "timestamp.json"}},
		{[]string{"release.key", "root1.key"}, []string{"2.releases.json", "2.snapshot.json", "timestamp.json"}},
		{keyFiles, []string{"2.releases.json", "2.root.json", "2.snapshot.json", "2.targets.json", "timestamp.json"}},
	} {
		t.Run(strings.Join(test.keys, " "), func(t *testing.T) {
			p := newPlace(t)
			p.now = p.now.Add(170 * 24 * time.Hour)
			c := p.apply(p.load().AddRenewal(p.online, p.renewal(p.some(test.keys...)), p.now))
			if got := slices.Sorted(maps.Keys(c.Metadata)); !slices.Equal(got, test.want) {
				t.Errorf("signed %v anew, want %v", got, test.want)
			}
			if slices.Contains(c.Superseded, "1.root.json") {
				t.Error("the first root goes, which agents begin with")
			}
			for _, role := range p.load().Roles()[:3] {
				_, renewed := c.Metadata[fileName(role.Role, 2)]
				life := map[string]time.Duration{"root": rootLife, "targets": targetsLife, "releases": releasesLife}[role.Role]
				if left := role.Expires.Sub(p.now); renewed != (left > life-time.Minute) {
					t.Errorf("%s, signed anew: %t, ends after %s", role.Role, renewed, left)
				}
			}
		})
	}
	p := newPlace(t)
	if _, err := SignRenewal(p.some("root2.key"), p.load(), p.now); !errors.Is(err, kit.ErrNotFound) || !strings.Contains(err.Error(), "release.key") {
		t.Errorf("signed with one root key: %v, want which keys it takes", err)
	}
}

func TestRolesTellPeopleInTime(t *testing.T) {
	p := newPlace(t)
	due := func(after time.Duration) (names []string) {
		for _, r := range p.load().Roles() {
			if r.Due(p.now.Add(after)) {
				names = append(names, r.Role)
			}
		}
		return names
	}
	const day = 24 * time.Hour
	for after, want := range map[time.Duration][]string{
		149 * day: nil, 151 * day: {"targets"}, 336 * day: {"root", "targets", "releases"},
	} {
		if got := due(after); !slices.Equal(got, want) {
			t.Errorf("after %s people are to sign %v anew, want %v", after, got, want)
		}
	}
}

func TestWhatOtherKeysHaveSignedIsNotSignedAnew(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	for _, keys := range [][]string{{"root1.key", "root2.key"}, {"targets.key"}, {"release.key"}} {
		if _, err := SignRenewal(p.some(keys...), other.load(), p.now); !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("signed the files of another hub with %v: %v, want it refused", keys, err)
		}
	}
	// A thief of one root key makes a root that trusts a key of his own.
	stolen, own := p.mustKey(p.safe, "root1.key"), p.mustKey(other.safe, "root1.key")
	r := p.load()
	r.root.Signed.Version++
	k, err := tufKey(public(own))
	if err == nil {
		err = r.root.Signed.AddKey(k, metadata.ROOT)
	}
	if err == nil {
		_, err = sign(r.root, stolen, own)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SignRenewal(p.safe, r, p.now); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("signed the root of a thief: %v, want it refused", err)
	}
}

func TestOnlyTheNextFilesAreTakenIn(t *testing.T) {
	p, other := newPlace(t), newPlace(t)
	p.release("1.0.0")
	good := p.renewal(p.safe)
	root := func(change func(*metadata.RootType), keys ...string) Renewal {
		m, err := metadata.Root().FromBytes([]byte(good.Root))
		if err != nil {
			t.Fatal(err)
		}
		change(&m.Signed)
		b, err := sign(m, p.mustKey(p.safe, keys[0]), p.mustKey(p.safe, keys[1]))
		if err != nil {
			t.Fatal(err)
		}
		return Renewal{Root: string(b)}
	}
	releases := func(change func(*metadata.TargetsType)) Renewal {
		m, err := parseTargets(roleReleases, []byte(good.Releases))
		if err != nil {
			t.Fatal(err)
		}
		change(&m.Signed)
		b, err := sign(m, p.mustKey(p.safe, ReleaseKeyFile))
		if err != nil {
			t.Fatal(err)
		}
		return Renewal{Releases: string(b)}
	}
	for _, test := range []struct {
		name  string
		n     Renewal
		at    time.Duration
		fault kit.Fault
	}{
		{"nothing", Renewal{}, 0, kit.ErrInvalid},
		{"no metadata", Renewal{Root: "{}"}, 0, kit.ErrInvalid},
		{"the files of another hub", other.renewal(other.safe), 0, kit.ErrStale},
		{"a root by one key of the root", root(func(*metadata.RootType) {}, "root1.key", "targets.key"), 0, kit.ErrForbidden},
		{"a root that leaves one out", root(func(r *metadata.RootType) { r.Version++ }, "root1.key", "root2.key"), 0, kit.ErrStale},
		{"a root that trusts one key", root(func(r *metadata.RootType) { r.Roles[metadata.ROOT].Threshold = 1 }, "root1.key", "root2.key"), 0, kit.ErrInvalid},
		{"a root without the hub's keys", root(func(r *metadata.RootType) { r.Roles[metadata.TIMESTAMP].KeyIDs = r.Roles[metadata.TARGETS].KeyIDs }, "root1.key", "root2.key"), 0, kit.ErrInvalid},
		{"a root that its own keys have not signed", root(func(r *metadata.RootType) { r.Roles[metadata.ROOT].KeyIDs = r.Roles[metadata.ROOT].KeyIDs[2:] }, "root1.key", "root2.key"), 0, kit.ErrInvalid},
		{"releases without one", releases(func(r *metadata.TargetsType) { clear(r.Targets) }), 0, kit.ErrConflict},
		{"releases with one more", releases(func(r *metadata.TargetsType) {
			r.Targets["releases/ledger/2.0.0"] = r.Targets["releases/ledger/1.0.0"]
		}), 0, kit.ErrInvalid},
		{"files that have expired", good, 400 * 24 * time.Hour, kit.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := p.load().AddRenewal(p.online, test.n, p.now.Add(test.at)); !errors.Is(err, test.fault) {
				t.Errorf("took in %s: %v, want %v", test.name, err, test.fault)
			}
		})
	}
	p.apply(p.load().AddRenewal(p.online, good, p.now))
	if _, err := p.load().AddRenewal(p.online, good, p.now); !errors.Is(err, kit.ErrStale) {
		t.Errorf("took in the same twice: %v, want stale", err)
	}
	p.release("1.1.0")
}

func (p *place) mustKey(dir, name string) ed25519.PrivateKey {
	p.t.Helper()
	key, err := readKey(filepath.Join(dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return key
}
