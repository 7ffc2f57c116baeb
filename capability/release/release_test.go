package release

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// lab is a hub with this service, a log of commits, and a release manager.
type lab struct {
	t       *testing.T
	cluster *kittest.Cluster
	client  kit.Client // the administrator's
	repo    *repository
	safe    string // the directory of the people's keys
	now     time.Time
}

// history stands in for source: the log of ledger.
type history struct{}

func (history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	span := r.PathValue("range")
	if strings.HasSuffix(span, strings.Repeat("f", 40)) {
		handler(func(http.ResponseWriter, *http.Request) error {
			return kit.Errorf(kit.ErrNotFound, "", "there is no commit %s", span)
		}).ServeHTTP(w, r)
		return
	}
	_ = json.NewEncoder(w).Encode([]api.Commit{{SHA: commit, Subject: "feat: log of " + span}})
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, safe: filepath.Join(t.TempDir(), "safe"), now: time.Now()}
	l.cluster = kittest.Start(t, kit.Service{
		Name: "source",
		Owns: []kit.Owned{
			kit.Own[api.Project](api.Projects, nil), kit.Own[api.Deployment](api.Deployments, nil), kit.Own[api.Environment](api.Environments, nil),
			kit.Own[api.Inventory](api.Inventories, nil), kit.Own[api.Policy](api.Policies, nil),
		},
		Serves: []kit.Route{{Pattern: "GET /source/{project}/log/{range}", Handler: history{}}},
	})
	l.client = l.cluster.Admin()
	keys, err := trust.OpenOnline(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := l.cluster.Client("services/release")
	l.repo = &repository{client: c, keys: keys, now: func() time.Time { return l.now }, log: slog.New(slog.DiscardHandler)}
	s := service(l.repo, notes{client: c, http: &http.Client{Transport: bearer(l.cluster.Token("users/admin"))}, base: l.cluster.URL()})
	s.Runs = nil // tests renew by themselves
	l.cluster.Server.Add(s)
	l.cluster.Run(s)
	l.environment("staging", api.BlueGreen)
	l.deployed("staging", image, api.DeploymentPassed)
	return l
}

func (l *lab) environment(name string, s api.Strategy) {
	l.t.Helper()
	if _, err := api.Environments.Create(l.t.Context(), l.client, name, api.Environment{Strategy: s}); err != nil {
		l.t.Fatal(err)
	}
}

// deployed says what became of an image in an environment.
func (l *lab) deployed(environment, image string, state api.DeploymentState) {
	l.t.Helper()
	d := api.Deployment{Environment: environment, Project: "ledger", Image: image, State: state}
	if _, err := api.Deployments.Create(l.t.Context(), l.client, "", d); err != nil {
		l.t.Fatal(err)
	}
}

// bearer adds a token to requests.
type bearer string

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+string(b))
	return http.DefaultTransport.RoundTrip(r)
}

// call sends a request to a raw route as subject.
func (l *lab) call(subject, method, path string, body any) ([]byte, error) {
	l.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.cluster.URL()+path, bytes.NewReader(b))
	if err != nil {
		l.t.Fatal(err)
	}
	res, err := bearer(l.cluster.Token(subject)).RoundTrip(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	if res.StatusCode >= 300 {
		return nil, kit.DecodeProblem(res.StatusCode, answer)
	}
	return answer, nil
}

// found makes the keys and sets up the trust.
func (l *lab) found() {
	l.t.Helper()
	b, err := l.call("users/admin", "GET", "/tuf/keys", nil)
	if err != nil {
		l.t.Fatal(err)
	}
	var keys trust.Keys
	if err := json.Unmarshal(b, &keys); err != nil {
		l.t.Fatal(err)
	}
	first, err := trust.Init(l.safe, keys)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.call("users/admin", "POST", "/tuf/init", first); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) load() *trust.Repository {
	l.t.Helper()
	r, err := trust.Load(func(name string) ([]byte, error) { return l.call("users/admin", "GET", "/tuf/metadata/"+name, nil) })
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

// make creates a release and waits for its notes.
func (l *lab) make(version string) api.Release {
	l.t.Helper()
	_, err := api.Releases.Create(l.t.Context(), l.client, "ledger-"+version, api.Release{Project: "ledger", Version: version, Image: image, Commit: commit})
	if err != nil {
		l.t.Fatal(err)
	}
	return l.await(version, api.ReleaseUnsigned)
}

func (l *lab) await(version string, state api.ReleaseState) api.Release {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	r, err := api.Releases.Await(ctx, l.client, "ledger-"+version, func(r api.Release) bool { return r.State == state })
	if err != nil {
		l.t.Fatalf("waited until %s is %s: %v", version, state, err)
	}
	return r
}

// signature returns what the release manager posts for r.
func (l *lab) signature(r api.Release) Signed {
	l.t.Helper()
	signed, target, err := trust.SignRelease(filepath.Join(l.safe, trust.ReleaseKeyFile), l.load().Releases(), trust.TargetOf(r))
	if err != nil {
		l.t.Fatal(err)
	}
	return Signed{Metadata: string(signed), Target: string(target), Release: r.Link}
}

func (l *lab) sign(r api.Release) {
	l.t.Helper()
	if _, err := l.call("users/admin", "POST", "/tuf/releases", l.signature(r)); err != nil {
		l.t.Fatal(err)
	}
}

// promote orders a promotion and waits for its end.
func (l *lab) promote(version string) api.Channel {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 30*time.Second)
	defer cancel()
	before, err := api.Channels.Send(ctx, l.client, "ledger-stable", "promote", api.PromoteArgs{Release: api.Releases.Link("ledger-" + version), Comment: "go"})
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := api.Channels.Await(ctx, l.client, "ledger-stable", func(c api.Channel) bool {
		return len(c.Pending) == 0 && c.Version > before.Version
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

func (l *lab) channel() {
	l.t.Helper()
	if _, err := api.Channels.Create(l.t.Context(), l.client, "ledger-stable", api.Channel{Project: "ledger", Name: "stable"}); err != nil {
		l.t.Fatal(err)
	}
}

func TestAReleaseGoesFromNotesToAChannel(t *testing.T) {
	l := newLab(t)
	l.found()
	l.channel()
	one := l.make("1.0.0")
	if !strings.Contains(one.Notes, "log of .."+commit) || one.Since != "" || one.Target != "releases/ledger/1.0.0" {
		t.Errorf("the first release is %+v, want notes from the beginning", one)
	}
	l.sign(one)
	l.await("1.0.0", api.ReleaseSigned)
	c := l.promote("1.0.0")
	if c.Release != one.Link || len(c.History) != 1 || c.History[0].By != "users/admin" || c.History[0].Comment != "go" || c.History[0].At.IsZero() {
		t.Errorf("the channel is %+v, want it to offer %s", c, one.Link)
	}

	two := l.make("1.1.0")
	if !strings.Contains(two.Notes, "log of "+commit+".."+commit) || two.Since != commit || !strings.Contains(two.Notes, "Changes since 1.0.0.") {
		t.Errorf("the second release is %+v, want notes since the first", two)
	}
	if c := l.promote("1.1.0"); !strings.Contains(c.Error, "unsigned, not signed") || c.Release != one.Link {
		t.Errorf("promoted an unsigned release: %+v, want an error, and the first still offered", c)
	}
	l.sign(two)
	for _, version := range []string{"1.1.0", "1.0.0", "1.1.0"} { // back, and forth again
		if c := l.promote(version); c.Error != "" || c.Release != api.Releases.Link("ledger-"+version) {
			t.Errorf("promoted %s: %+v", version, c)
		}
	}
}

func TestAReleaseOfAnUnknownCommitFails(t *testing.T) {
	l := newLab(t)
	_, err := api.Releases.Create(t.Context(), l.client, "ledger-1.0.0", api.Release{Project: "ledger", Version: "1.0.0", Image: image, Commit: strings.Repeat("f", 40)})
	if err != nil {
		t.Fatal(err)
	}
	if r := l.await("1.0.0", api.ReleaseFailed); !strings.Contains(r.Error, "there is no commit") {
		t.Errorf("the release says %q, want why it failed", r.Error)
	}
}

func TestAnImageIsReleasedAfterItsStages(t *testing.T) {
	at := func(hex string) string { return "ledger@sha256:" + strings.Repeat(hex, 64) }
	l := newLab(t)
	l.environment("automation", api.Throwaway)
	l.environment("production", api.BlueGreen)
	l.deployed("automation", at("1"), api.DeploymentPassed)
	l.deployed("staging", at("2"), api.DeploymentFailed)
	l.deployed("staging", at("3"), api.DeploymentPassed)
	l.deployed("staging", at("4"), api.DeploymentPassed)
	l.deployed("production", at("4"), api.DeploymentPassed)
	l.deployed("gone", at("5"), api.DeploymentPassed)
	check := func(after []string, want map[string]string) {
		t.Helper()
		n := notes{client: l.cluster.Client("services/release"), after: after}
		for hex, reason := range want {
			err := n.checkDeployed(t.Context(), api.Release{Image: at(hex)})
			if reason == "" && err != nil || reason != "" && (!errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), reason)) {
				t.Errorf("released image %s after %v: %v, want %q", hex, after, err, reason)
			}
		}
	}
	const live = "has passed in any bluegreen environment"
	check(nil, map[string]string{"0": live, "1": live, "2": live, "3": "", "4": "", "5": live})
	both := []string{"staging", "production"}
	check(both, map[string]string{"1": "in staging, nor in production", "3": "has passed in production", "4": ""})
	check([]string{"automation"}, map[string]string{"1": "", "4": "has passed in automation"})

	_, err := api.Releases.Create(t.Context(), l.client, "ledger-1.0.0", api.Release{Project: "ledger", Version: "1.0.0", Image: at("2"), Commit: commit})
	if err != nil {
		t.Fatal(err)
	}
	if r := l.await("1.0.0", api.ReleaseFailed); !strings.Contains(r.Error, "no deployment of "+at("2")) || !strings.Contains(r.Error, "deploy this image there before") {
		t.Errorf("the release says %q, want why it failed", r.Error)
	}
}

func TestAnImageIsNotReleasedWithWhatIsDenied(t *testing.T) {
	l := newLab(t)
	n := notes{client: l.cluster.Client("services/release")}
	for id, i := range map[string]api.Inventory{
		"passed": {Image: "ledger@1", State: api.InventoryPassed}, "judging": {Image: "ledger@2", State: api.InventoryJudging},
		"denied": {Image: "ledger@3", State: api.InventoryDenied, Conditions: []api.Condition{{Name: "components", State: api.ConditionFailed, Text: "1 denied"}}},
	} {
		if _, err := api.Inventories.Create(t.Context(), l.client, id, i); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.Policies.Create(t.Context(), l.client, "strict", api.Policy{PolicyRules: api.PolicyRules{Required: true}}); err != nil {
		t.Fatal(err)
	}
	if err := n.checkContents(t.Context(), api.Release{Project: "strict", Image: "ledger@0"}); !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "the policy of strict requires an inventory, and there is none of ledger@0") {
		t.Errorf("released what there is no inventory of: %v, want it refused", err)
	}
	for image, want := range map[string]struct {
		fault  kit.Fault
		reason string
	}{
		"ledger@0": {}, "ledger@1": {}, "ledger@2": {kit.ErrUnavailable, "is being judged"},
		"ledger@3": {kit.ErrConflict, "the policy denies what ledger@3 contains: components: 1 denied"},
	} {
		err := n.checkContents(t.Context(), api.Release{Project: "ledger", Image: image})
		if want.fault == 0 && err != nil || want.fault != 0 && (!errors.Is(err, want.fault) || !strings.Contains(err.Error(), want.reason)) {
			t.Errorf("released %s: %v, want %q", image, err, want.reason)
		}
	}
}

func TestPeopleSignAnewThroughTheHub(t *testing.T) {
	l := newLab(t)
	if _, err := l.call("users/eve", "GET", "/tuf/roles", nil); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("the roles before there is any trust: %v, want not found", err)
	}
	l.found()
	l.sign(l.make("1.0.0"))
	l.now = l.now.Add(340 * 24 * time.Hour)
	if err := l.repo.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	n, err := trust.SignRenewal(l.safe, l.load(), l.now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.call("users/eve", "POST", "/tuf/renewal", n); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("eve posted a renewal: %v, want forbidden", err)
	}
	forged := n
	forged.Root = strings.Replace(n.Root, `"sig":"`, `"sig":"00`, 2)
	if _, err := l.call("users/admin", "POST", "/tuf/renewal", forged); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("posted a root with broken signatures: %v, want forbidden", err)
	}
	l.cluster.Allow("users/rita", rest.Rule{Kinds: []string{"releases"}, Verbs: []kit.Verb{"sign"}})
	b, err := l.call("users/rita", "POST", "/tuf/renewal", n)
	var roles []api.TrustRole
	if err == nil {
		err = json.Unmarshal(b, &roles)
	}
	if err != nil || len(roles) != 6 {
		t.Fatalf("posted a renewal: %s, %v, want six roles", b, err)
	}
	for _, r := range roles {
		if r.Expires.Before(l.now) || r.Due(l.now) {
			t.Errorf("%s ends at %s, %s after it was signed anew", r.Role, r.Expires, r.Expires.Sub(l.now))
		}
	}
	if _, err := l.call("users/rita", "POST", "/tuf/renewal", n); !errors.Is(err, kit.ErrStale) {
		t.Errorf("posted a renewal twice: %v, want stale", err)
	}
	l.sign(l.make("1.1.0"))
	if _, err := api.TrustMetadata.Read(t.Context(), l.client, "1.root.json"); err != nil {
		t.Errorf("the first root: %v, want it for new agents", err)
	}
	if root, err := api.TrustMetadata.Read(t.Context(), l.client, "2.root.json"); err != nil || !root.Expires.IsZero() {
		t.Errorf("the second root: %v, kept until %s, want it for ever", err, root.Expires)
	}
}

func TestTheHubWarnsOfWhatOnlyPeopleCanSign(t *testing.T) {
	l := newLab(t)
	var out strings.Builder
	l.repo.log = slog.New(slog.NewTextHandler(&out, nil))
	warn := func(want bool) {
		t.Helper()
		if err := l.repo.warn(t.Context(), l.now); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(out.String(), "role=targets"); got != want || strings.Contains(out.String(), "role=root") {
			t.Errorf("the log says %q, want a warning of targets: %t", out.String(), want)
		}
	}
	warn(false)
	l.found()
	warn(false)
	l.now = l.now.Add(155 * 24 * time.Hour)
	warn(true)
}

func TestNotesGoBackToTheVersionBelow(t *testing.T) {
	l := newLab(t)
	for _, version := range []string{"1.0.0", "2.0.0", "1.0.1", "2.1.0-rc.1"} {
		l.make(version)
	}
	for version, want := range map[string]string{"1.0.2": "since 1.0.1.", "2.0.1": "since 2.0.0.", "2.1.0-rc.2": "since 2.1.0-rc.1.", "2.1.0": "since 2.0."} {
		if r := l.make(version); !strings.Contains(r.Notes, want) {
			t.Errorf("the notes of %s are %q, want those %s", version, r.Notes, want)
		}
	}
}

func TestASignatureThatDoesNotFitChangesNothing(t *testing.T) {
	l := newLab(t)
	l.found()
	one, two := l.make("1.0.0"), l.make("2.0.0")
	good := l.signature(one)
	other := good
	other.Release = two.Link
	body := good
	body.Target = strings.Replace(body.Target, "0123", "4567", 1)
	nobody := good
	nobody.Metadata = strings.Replace(nobody.Metadata, `"sig":"`, `"sig":"00`, 1)
	for _, test := range []struct {
		name, subject string
		signed        Signed
		fault         kit.Fault
	}{
		{"by who may not sign", "users/eve", good, kit.ErrForbidden},
		{"of another release", "users/admin", other, kit.ErrInvalid},
		{"of other bytes", "users/admin", body, kit.ErrInvalid},
		{"that is broken", "users/admin", nobody, kit.ErrForbidden},
		{"of a build", "users/admin", Signed{Release: "builds/1"}, kit.ErrInvalid},
		{"of nothing", "users/admin", Signed{Release: "releases/ledger-9.0.0"}, kit.ErrNotFound},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := l.call(test.subject, "POST", "/tuf/releases", test.signed); !errors.Is(err, test.fault) {
				t.Errorf("posted a signature %s: %v, want %v", test.name, err, test.fault)
			}
		})
	}
	l.cluster.Allow("users/rita", rest.Rule{Kinds: []string{"releases"}, Verbs: []kit.Verb{"sign"}})
	if _, err := l.call("users/rita", "POST", "/tuf/releases", good); err != nil {
		t.Errorf("posted a signature that fits: %v", err)
	}
	if _, err := l.call("users/rita", "POST", "/tuf/releases", good); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("posted a signature twice: %v, want a conflict", err)
	}
	if r := l.await("2.0.0", api.ReleaseUnsigned); r.State != api.ReleaseUnsigned {
		t.Errorf("the other release is %s", r.State)
	}
}

func TestTheTrustIsSetUpOnceByAnAdministrator(t *testing.T) {
	l := newLab(t)
	first, err := trust.Init(l.safe, l.repo.keys.Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.call("users/eve", "POST", "/tuf/init", first); !errors.Is(err, kit.ErrForbidden) {
		t.Errorf("eve set up the trust: %v, want forbidden", err)
	}
	if _, err := l.call("users/eve", "GET", "/tuf/keys", nil); !errors.Is(err, kit.ErrForbidden) || !strings.Contains(err.Error(), "an administrator's act") {
		t.Errorf("eve asked for what the ceremony begins with: %v, want forbidden and whom to ask", err)
	}
	if _, err := l.call("users/admin", "POST", "/tuf/init", map[string]string{"root": first.Root, "extra": ""}); !errors.Is(err, kit.ErrInvalid) {
		t.Errorf("set up the trust with a misspelt body: %v, want it refused", err)
	}
	if _, err := l.call("users/admin", "POST", "/tuf/init", first); err != nil {
		t.Fatal(err)
	}
	if _, err := l.call("users/admin", "POST", "/tuf/init", first); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("set up the trust twice: %v, want a conflict", err)
	}
	root, err := l.call("users/admin", "GET", "/tuf/metadata/1.root.json", nil)
	if err != nil || string(root) != first.Root {
		t.Errorf("the root is served as %q, %v, want its bytes", root, err)
	}
}

func TestMetadataIsForWhoMayReadIt(t *testing.T) {
	l := newLab(t)
	l.found()
	one := l.make("1.0.0")
	l.sign(one)
	target := l.signature(l.make("1.1.0"))
	var signed struct {
		Signed struct {
			Targets map[string]struct{ Hashes struct{ SHA256 string } }
		}
	}
	if err := json.Unmarshal([]byte(target.Metadata), &signed); err != nil {
		t.Fatal(err)
	}
	path := "/tuf/targets/releases/ledger/" + signed.Signed.Targets[one.Target].Hashes.SHA256 + ".1.0.0"
	l.cluster.Allow("accounts/acme", rest.Rule{Kinds: []string{"metadata"}, Verbs: []kit.Verb{kit.VerbRead}})
	for _, p := range []string{"/tuf/metadata/timestamp.json", "/tuf/metadata/1.root.json", path} {
		if b, err := l.call("accounts/acme", "GET", p, nil); err != nil || !json.Valid(b) {
			t.Errorf("an agent read %s: %s, %v", p, b, err)
		}
		if _, err := l.call("users/eve", "GET", p, nil); !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("eve read %s: %v, want forbidden", p, err)
		}
	}
	for _, p := range []string{"/tuf/metadata/9.root.json", "/tuf/targets/releases/ledger/1.0.0"} {
		if _, err := l.call("accounts/acme", "GET", p, nil); !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("an agent read %s: %v, want not found", p, err)
		}
	}
}

func TestMetadataIsSignedAnewInTime(t *testing.T) {
	l := newLab(t)
	if err := l.repo.renew(t.Context()); err != nil {
		t.Fatalf("renewed before the trust was set up: %v, want nothing done", err)
	}
	l.found()
	version := func() int64 {
		m, err := api.TrustMetadata.Read(t.Context(), l.client, trust.TimestampFile)
		if err != nil {
			t.Fatal(err)
		}
		return m.Version
	}
	for _, step := range []struct {
		after time.Duration
		want  int64
	}{{time.Hour, 1}, {6 * time.Hour, 2}, {4 * 24 * time.Hour, 3}, {20 * 24 * time.Hour, 4}} {
		l.now = l.now.Add(step.after)
		if err := l.repo.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := version(); got != step.want {
			t.Errorf("after %s more the timestamp has version %d, want %d", step.after, got, step.want)
		}
	}
	old, err := api.TrustMetadata.Read(t.Context(), l.client, "1.snapshot.json")
	if err != nil || old.Expires.IsZero() {
		t.Errorf("the first snapshot ends at %s, %v, want a time", old.Expires, err)
	}
	current, err := api.TrustMetadata.Read(t.Context(), l.client, "3.snapshot.json")
	if err != nil || !current.Expires.IsZero() {
		t.Errorf("the current snapshot ends at %s, %v, want it kept", current.Expires, err)
	}
}

func TestTwoNodesDoNotSignOverEachOther(t *testing.T) {
	l := newLab(t)
	l.found()
	l.now = l.now.Add(7 * time.Hour)
	other := &repository{client: l.repo.client, keys: l.repo.keys, now: l.repo.now}
	err := l.repo.change(t.Context(), func(r *trust.Repository, now time.Time) (trust.Changes, error) {
		if err := other.renew(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r.Renew(l.repo.keys, now)
	})
	if !errors.Is(err, kit.ErrStale) {
		t.Errorf("signed over another node: %v, want stale", err)
	}
	if err := l.repo.renew(t.Context()); err != nil {
		t.Errorf("renewed again: %v", err)
	}
}

func TestANodeWithOtherKeysSaysSo(t *testing.T) {
	l := newLab(t)
	l.found()
	var err error
	if l.repo.keys, err = trust.OpenOnline(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	l.now = l.now.Add(7 * time.Hour)
	if err := l.repo.renew(t.Context()); !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "copy snapshot.key") {
		t.Errorf("signed with other keys: %v, want it refused and what to do", err)
	}
}

func TestTheLoopEndsWithItsContext(t *testing.T) {
	l := newLab(t)
	l.found()
	l.now = l.now.Add(7 * time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.repo.keepFresh(ctx) }()
	_, err := api.TrustMetadata.Await(t.Context(), l.client, trust.TimestampFile, func(m api.Metadata) bool { return m.Version > 1 })
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the loop ended with %v, want nothing", err)
	}
}
