package verify_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
	"landfall.dev/site/agent/verify"
)

func TestWhatIsSignedIsFound(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	h.release("1.1.0")
	wantVersion(t, v, "1.0.0") // signed, and not offered
	h.offer("1.1.0")
	wantVersion(t, v, "1.1.0")
	h.offer("1.0.0")
	wantVersion(t, v, "1.0.0") // the hub may choose among signed releases
}

func TestMetadataIsRenewedUntilTheTargetsEnd(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	for range 28 * 12 {
		h.pass(12 * time.Hour)
	}
	wantVersion(t, v, "1.0.0")
	h.pass(13 * 24 * time.Hour)
	wantRefusal(t, v, "expired")
}

func TestAChannelLivesForMoreThanAYearIfPeopleSignAnewWhenToldTo(t *testing.T) {
	h := newHub(t)
	v, late := h.agent(), h.agent()
	wantVersion(t, late, "1.0.0")
	renewals := 0
	for day := range 500 {
		h.pass(24 * time.Hour)
		if slices.ContainsFunc(h.load().Roles(), func(r api.TrustRole) bool { return r.Due(h.now) }) {
			h.renew()
			renewals++
		}
		if c, _, err := v.Channel(t.Context(), "ledger", "stable"); err != nil || c.Version != "1.0.0" {
			t.Fatalf("after %d days the channel offers %+v, %v", day+1, c, err)
		}
	}
	if renewals != 3 {
		t.Errorf("people were told %d times in 500 days, want every 150 days", renewals)
	}
	wantVersion(t, late, "1.0.0")      // was away, and goes from root to root
	wantVersion(t, h.agent(), "1.0.0") // begins at the first
}

func TestWhatHasExpiredIsBelievedAgainOnceSignedAnew(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	h.pass(400 * 24 * time.Hour)
	wantRefusal(t, v, "expired")
	h.renew()
	wantVersion(t, v, "1.0.0")
}

func TestAChannelWithoutAReleaseIsNotFound(t *testing.T) {
	h := newHub(t)
	_, _, err := h.agent().Channel(t.Context(), "ledger", "beta")
	if !errors.Is(err, kit.ErrNotFound) || errors.Is(err, verify.ErrRefused) {
		t.Errorf("checked a channel that offers nothing: %v, want not found", err)
	}
}

func TestAHubWithoutTrustIsNotFound(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	clear(h.files)
	_, _, err := v.Channel(t.Context(), "ledger", "stable")
	if !errors.Is(err, kit.ErrNotFound) || !strings.Contains(err.Error(), "trust init") {
		t.Errorf("checked a hub without trust: %v, want not found and what to do", err)
	}
}

func TestAHubThatCannotBeReachedIsNotRefused(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	h.down = context.DeadlineExceeded
	_, _, err := v.Channel(t.Context(), "ledger", "stable")
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, verify.ErrRefused) {
		t.Errorf("checked a hub that is down: %v, want its error", err)
	}
	h.down = nil
	wantVersion(t, v, "1.0.0")
}

func TestAnotherRootIsRefusedOnFirstUse(t *testing.T) {
	real, false := newHub(t), newHub(t)
	v := verify.New(t.TempDir(), trust.RootDigest(real.files["metadata/1.root.json"]), false.get)
	wantRefusal(t, v, "pins")
}

func TestAReplayedTimestampIsRefused(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	old := h.files["metadata/timestamp.json"]
	h.release("1.1.0")
	h.offer("1.1.0")
	wantVersion(t, v, "1.1.0")
	h.files["metadata/timestamp.json"] = old
	wantRefusal(t, v, "older")
}

func TestANewTimestampThatNamesAnOldSnapshotIsRefused(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	h.release("1.1.0")
	wantVersion(t, v, "1.0.0")
	m := read[metadata.TimestampType](h, trust.TimestampFile)
	m.Signed.Version++
	m.Signed.Meta["snapshot.json"] = metadata.MetaFile(m.Signed.Meta["snapshot.json"].Version - 1)
	h.files["metadata/timestamp.json"] = forge(h, m, "timestamp.key")
	wantRefusal(t, v, "older")
}

func TestFilesOfDifferentStatesAreRefused(t *testing.T) {
	h := newHub(t)
	old := h.copyFiles()
	h.release("1.1.0")
	v := h.agent()
	h.files["metadata/3.releases.json"] = old["metadata/2.releases.json"]
	wantRefusal(t, v, "not what was signed")
}

func TestAFrozenHubIsRefusedAfterADay(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	h.now = h.now.Add(23 * time.Hour)
	wantVersion(t, v, "1.0.0")
	h.now = h.now.Add(2 * time.Hour)
	wantRefusal(t, v, "withheld")
}

func TestAClockBeforeWhatSignaturesProveIsNotBelieved(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	v.Now = func() time.Time { return time.Unix(0, 0) }
	h.pass(170 * 24 * time.Hour)
	wantVersion(t, v, "1.0.0")
	h.pass(11 * 24 * time.Hour) // past the end of the targets
	wantVersion(t, v, "1.0.0")  // nothing seen before this check proves it
	wantRefusal(t, v, "expired")
}

func TestAClockThatIsBehindDoesNotStopANewRelease(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	h.release("1.1.0")
	h.offer("1.1.0")
	h.now = time.Unix(0, 0)
	wantVersion(t, v, "1.1.0")
}

func TestAChangedReleaseIsRefused(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	changed := 0
	for path, b := range h.files {
		if strings.HasPrefix(path, "targets/releases/") {
			h.files[path] = []byte(strings.Replace(string(b), "0123456789", "1023456789", 1))
			changed++
		}
	}
	if changed != 1 {
		t.Fatalf("changed %d releases, want 1", changed)
	}
	wantRefusal(t, v, "not what was signed")
}

func TestTheHubsKeysCannotSignTheListOfReleases(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	m := read[metadata.TargetsType](h, "2.releases.json")
	m.Signed.Version = 3
	m.Signed.Targets["releases/ledger/6.6.6"] = h.target("releases/ledger/6.6.6", described("6.6.6"))
	h.publish("releases", "3", forge(h, m, "channels.key"))
	wantRefusal(t, v, "not signed by enough of the keys")
}

func TestTheHubsKeysCannotListAReleaseAmongChannels(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	m := read[metadata.TargetsType](h, "2.channels.json")
	m.Signed.Version = 3
	m.Signed.Targets["releases/ledger/6.6.6"] = h.target("releases/ledger/6.6.6", described("6.6.6"))
	m.Signed.Targets["channels/ledger/stable"] = h.target("channels/ledger/stable",
		api.ChannelTarget{Project: "ledger", Version: "6.6.6", Target: "releases/ledger/6.6.6"})
	h.publish("channels", "3", forge(h, m, "channels.key"))
	wantRefusal(t, v, "releases/ledger/6.6.6 is not signed by the release key")
}

func TestAChannelNamesOnlyReleasesOfItsProject(t *testing.T) {
	h := newHub(t)
	for name, target := range map[string]api.ChannelTarget{
		"a channel":       {Project: "ledger", Version: "1.0.0", Target: "channels/ledger/stable"},
		"another project": {Project: "till", Version: "1.0.0", Target: "releases/till/1.0.0"},
		"another version": {Project: "ledger", Version: "2.0.0", Target: "releases/ledger/1.0.0"},
		"nothing":         {},
		"another name":    {Project: "till", Version: "1.0.0", Target: "releases/ledger/1.0.0"},
	} {
		t.Run(name, func(t *testing.T) {
			m := read[metadata.TargetsType](h, "2.channels.json")
			m.Signed.Version = 3
			m.Signed.Targets["channels/ledger/stable"] = h.target("channels/ledger/stable", target)
			files := h.copyFiles()
			defer func() { h.files = files }()
			h.publish("channels", "3", forge(h, m, "channels.key"))
			wantRefusal(t, h.agent(), "the channel of ledger names")
		})
	}
}

func TestTheTargetsKeyCannotSignARelease(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	m := read[metadata.TargetsType](h, "1.targets.json")
	m.Signed.Version = 2
	m.Signed.Targets = map[string]*metadata.TargetFiles{
		"releases/ledger/1.0.0": h.target("releases/ledger/1.0.0", described("1.0.0")),
	}
	h.publish("targets", "2", forge(h, m, "targets.key"))
	wantRefusal(t, v, "releases/ledger/1.0.0 is not signed by the keys of releases")
}

// rotate makes the second root: another timestamp key in the place of the old
// one, signed with the keys of the names.
func rotate(h *hub, signers ...string) {
	h.t.Helper()
	root := read[metadata.RootType](h, "1.root.json")
	root.Signed.Version = 2
	if err := root.Signed.RevokeKey(root.Signed.Roles["timestamp"].KeyIDs[0], "timestamp"); err != nil {
		h.t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(h.keys, "timestamp.key"), filepath.Join(h.keys, "revoked.key")); err != nil {
		h.t.Fatal(err)
	}
	var err error
	if h.online, err = trust.OpenOnline(h.keys); err != nil {
		h.t.Fatal(err)
	}
	key, err := metadata.KeyFromPublicKey(ed25519.PublicKey(h.online.Public().Timestamp))
	if err != nil {
		h.t.Fatal(err)
	}
	if err := root.Signed.AddKey(key, "timestamp"); err != nil {
		h.t.Fatal(err)
	}
	h.files["metadata/2.root.json"] = forge(h, root, signers...)
}

func TestAnOldAgentFollowsANewRoot(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	rotate(h, "root1.key", "root3.key")
	h.release("1.1.0")
	h.offer("1.1.0")
	wantVersion(t, v, "1.1.0")
	wantVersion(t, h.agent(), "1.1.0") // from the pinned root
}

func TestANewRootWithOneSignatureIsRefused(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	rotate(h, "root1.key")
	wantRefusal(t, v, "not signed by enough of the keys")
	wantRefusal(t, h.agent(), "not signed by enough of the keys")
}

func TestARevokedKeyIsRefused(t *testing.T) {
	h := newHub(t)
	v := h.agent()
	wantVersion(t, v, "1.0.0")
	m := read[metadata.TimestampType](h, trust.TimestampFile)
	m.Signed.Version++
	rotate(h, "root1.key", "root2.key")
	h.files["metadata/timestamp.json"] = forge(h, m, "revoked.key")
	wantRefusal(t, v, "not signed by enough of the keys")
}

func TestMalformedMetadataIsRefused(t *testing.T) {
	h := newHub(t)
	m := read[metadata.TimestampType](h, trust.TimestampFile)
	m.Signed.Version++
	m.Signed.Meta = map[string]*metadata.MetaFiles{}
	for name, file := range map[string][]byte{
		"no JSON": []byte("<html>please sign in</html>"), "no snapshot": forge(h, m, "timestamp.key"), "nothing": {},
		"too much": append(bytes.Clone(h.files["metadata/timestamp.json"]), bytes.Repeat([]byte(" "), verify.MaxFile)...),
	} {
		t.Run(name, func(t *testing.T) {
			v := h.agent()
			good := h.files["metadata/timestamp.json"]
			wantVersion(t, v, "1.0.0")
			h.files["metadata/timestamp.json"] = file
			wantRefusal(t, v, "")
			h.files["metadata/timestamp.json"] = good
			wantVersion(t, v, "1.0.0")
		})
	}
}

func TestFilesThatACrashLeftIncompleteDoNotStopAnAgent(t *testing.T) {
	h := newHub(t)
	dir := t.TempDir()
	v := verify.New(dir, trust.RootDigest(h.files["metadata/1.root.json"]), h.get)
	wantVersion(t, v, "1.0.0")
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.json"))
	if err != nil || len(files) < 6 {
		t.Fatalf("the agent keeps %v, %v, want the metadata", files, err)
	}
	for _, file := range files {
		if err := os.Truncate(file, 10); err != nil {
			t.Fatal(err)
		}
	}
	wantVersion(t, v, "1.0.0")
}
