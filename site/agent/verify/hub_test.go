package verify_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
	"landfall.dev/site/agent/verify"
)

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// hub is what a hub serves below /tuf/, with all keys at hand.
type hub struct {
	t      *testing.T
	files  map[string][]byte
	online trust.Online
	keys   string // the directory of the hub's keys
	safe   string // the directory of the people's keys
	now    time.Time
	down   error // what fetching fails with
}

// newHub returns a hub with ledger 1.0.0 signed and offered by stable.
func newHub(t *testing.T) *hub {
	h := &hub{t: t, files: map[string][]byte{}, keys: filepath.Join(t.TempDir(), "hub"), safe: filepath.Join(t.TempDir(), "safe"), now: time.Now()}
	var err error
	if h.online, err = trust.OpenOnline(h.keys); err != nil {
		t.Fatal(err)
	}
	first, err := trust.Init(h.safe, h.online.Public())
	if err != nil {
		t.Fatal(err)
	}
	h.apply(trust.Found(first, h.online, h.now))
	h.release("1.0.0")
	h.offer("1.0.0")
	return h
}

func (h *hub) apply(c trust.Changes, err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
	for name, b := range c.Metadata {
		h.files["metadata/"+name] = b
	}
	for path, b := range c.Targets {
		h.files["targets/"+path] = b
	}
}

func (h *hub) load() *trust.Repository {
	h.t.Helper()
	r, err := trust.Load(func(name string) ([]byte, error) { return h.get(h.t.Context(), "metadata/"+name) })
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *hub) get(_ context.Context, path string) ([]byte, error) {
	if h.down != nil {
		return nil, h.down
	}
	b, ok := h.files[path]
	if !ok {
		return nil, kit.Errorf(kit.ErrNotFound, "", "there is no %s", path)
	}
	return b, nil
}

func described(version string) api.ReleaseTarget {
	return api.ReleaseTarget{
		Project: "ledger", Version: version, Image: "ledger@" + digest,
		Commit: strings.Repeat("a", 40), Notes: "## ledger " + version + "\n\n- <b> & more\n",
	}
}

func (h *hub) release(version string) {
	h.t.Helper()
	r := h.load()
	signed, target, err := trust.SignRelease(filepath.Join(h.safe, trust.ReleaseKeyFile), r.Releases(), described(version))
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(r.AddRelease(h.online, signed, target, described(version), h.now))
}

func (h *hub) offer(version string) {
	h.t.Helper()
	t := api.ChannelTarget{Project: "ledger", Version: version, Target: api.ReleasePath("ledger", version)}
	h.apply(h.load().Offer(h.online, "stable", t, h.now))
}

// pass lets time go by, in which the hub signs what is due.
func (h *hub) pass(d time.Duration) {
	h.t.Helper()
	h.now = h.now.Add(d)
	h.apply(h.load().Renew(h.online, h.now))
}

// renew is people signing anew.
func (h *hub) renew() {
	h.t.Helper()
	n, err := trust.SignRenewal(h.safe, h.load(), h.now)
	if err != nil {
		h.t.Fatal(err)
	}
	h.apply(h.load().AddRenewal(h.online, n, h.now))
}

func (h *hub) copyFiles() map[string][]byte { return maps.Clone(h.files) }

func (h *hub) agent() *verify.Verifier {
	h.t.Helper()
	v := verify.New(h.t.TempDir(), trust.RootDigest(h.files["metadata/1.root.json"]), h.get)
	v.Now = func() time.Time { return h.now }
	return v
}

// key reads one of the hub's or the people's keys.
func (h *hub) key(name string) ed25519.PrivateKey {
	h.t.Helper()
	b, err := os.ReadFile(filepath.Join(h.safe, name))
	if errors.Is(err, os.ErrNotExist) {
		b, err = os.ReadFile(filepath.Join(h.keys, name))
	}
	if err != nil {
		h.t.Fatal(err)
	}
	block, _ := pem.Decode(b)
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		h.t.Fatal(err)
	}
	return k.(ed25519.PrivateKey)
}

// forge signs m with the keys of the names, and returns its file.
func forge[T metadata.Roles](h *hub, m *metadata.Metadata[T], keys ...string) []byte {
	h.t.Helper()
	m.ClearSignatures()
	for _, name := range keys {
		s, err := signature.LoadED25519Signer(h.key(name))
		if err != nil {
			h.t.Fatal(err)
		}
		if _, err := m.Sign(s); err != nil {
			h.t.Fatal(err)
		}
	}
	b, err := m.ToBytes(false)
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// read parses the metadata file name.
func read[T metadata.Roles](h *hub, name string) *metadata.Metadata[T] {
	h.t.Helper()
	m, err := new(metadata.Metadata[T]).FromBytes(h.files["metadata/"+name])
	if err != nil {
		h.t.Fatalf("%s: %v", name, err)
	}
	return m
}

// publish is what an attacker with the hub's keys does: it serves role's file
// as version, and a snapshot and timestamp that say so.
func (h *hub) publish(role, version string, file []byte) {
	h.t.Helper()
	timestamp := read[metadata.TimestampType](h, trust.TimestampFile)
	old := timestamp.Signed.Meta["snapshot.json"].Version
	snapshot := read[metadata.SnapshotType](h, itoa(old)+".snapshot.json")
	var v int64
	if err := json.Unmarshal([]byte(version), &v); err != nil {
		h.t.Fatal(err)
	}
	snapshot.Signed.Version++
	snapshot.Signed.Meta[role+".json"] = metadata.MetaFile(v)
	timestamp.Signed.Version++
	timestamp.Signed.Meta["snapshot.json"] = metadata.MetaFile(snapshot.Signed.Version)
	h.files["metadata/"+version+"."+role+".json"] = file
	h.files["metadata/"+itoa(snapshot.Signed.Version)+".snapshot.json"] = forge(h, snapshot, "snapshot.key")
	h.files["metadata/"+trust.TimestampFile] = forge(h, timestamp, "timestamp.key")
}

// target returns the description of content, which it serves at path.
func (h *hub) target(path string, content any) *metadata.TargetFiles {
	h.t.Helper()
	b, err := json.Marshal(content)
	if err != nil {
		h.t.Fatal(err)
	}
	info, err := metadata.TargetFile().FromBytes(path, b, "sha256")
	if err != nil {
		h.t.Fatal(err)
	}
	dir, name := filepath.Split(path)
	h.files["targets/"+dir+info.Hashes["sha256"].String()+"."+name] = b
	return info
}

func itoa(n int64) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// wantVersion checks which version v finds on the channel.
func wantVersion(t *testing.T, v *verify.Verifier, want string) {
	t.Helper()
	c, r, err := v.Channel(t.Context(), "ledger", "stable")
	if err != nil {
		t.Fatalf("checked the channel: %v, want version %s", err, want)
	}
	if c.Version != want || r != described(want) {
		t.Errorf("the channel offers %+v and %+v, want version %s", c, r, want)
	}
}

// wantRefusal checks that v refuses the channel for a reason.
func wantRefusal(t *testing.T, v *verify.Verifier, reason string) {
	t.Helper()
	c, r, err := v.Channel(t.Context(), "ledger", "stable")
	if !errors.Is(err, verify.ErrRefused) || !strings.Contains(err.Error(), reason) {
		t.Errorf("checked the channel: %v, want it refused: %s", err, reason)
	}
	if c != (api.ChannelTarget{}) || r != (api.ReleaseTarget{}) {
		t.Errorf("a refused check gave %+v and %+v, want nothing", c, r)
	}
}
