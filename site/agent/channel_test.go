package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
)

// signer plays the hub's release capability and the release manager.
type signer struct {
	*testHub
	online trust.Online
	safe   string // the directory of the people's keys
}

// newSigner founds a trust in h and makes the channel, and an agent's token
// that pins the root.
func newSigner(t *testing.T, h *testHub) *signer {
	t.Helper()
	s := &signer{testHub: h, safe: filepath.Join(t.TempDir(), "safe")}
	var err error
	if s.online, err = trust.OpenOnline(filepath.Join(t.TempDir(), "hub")); err != nil {
		t.Fatal(err)
	}
	first, err := trust.Init(s.safe, s.online.Public())
	if err != nil {
		t.Fatal(err)
	}
	s.apply(trust.Found(first, s.online, time.Now()))
	h.token += "~" + trust.RootDigest(h.files["metadata/1.root.json"])
	if _, err := api.Channels.Create(t.Context(), h.Admin(), "program-stable", api.Channel{Project: "program", Name: "stable"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *signer) apply(c trust.Changes, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, b := range c.Metadata {
		s.files["metadata/"+name] = b
	}
	for path, b := range c.Targets {
		s.files["targets/"+path] = b
	}
}

func (s *signer) repository() *trust.Repository {
	s.t.Helper()
	r, err := trust.Load(func(name string) ([]byte, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if b, ok := s.files["metadata/"+name]; ok {
			return b, nil
		}
		return nil, kit.ErrNotFound
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// sign makes a release of the image.
func (s *signer) sign(version, image string) {
	s.t.Helper()
	d := api.ReleaseTarget{Project: "program", Version: version, Image: image, Commit: strings.Repeat("a", 40)}
	r := s.repository()
	signed, target, err := trust.SignRelease(filepath.Join(s.safe, trust.ReleaseKeyFile), r.Releases(), d)
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(r.AddRelease(s.online, signed, target, d, time.Now()))
}

// offer promotes a version, first in the metadata, then in the document.
func (s *signer) offer(version string) {
	s.t.Helper()
	s.vouch(version)
	s.announce(version)
}

// vouch promotes a version in the metadata alone.
func (s *signer) vouch(version string) {
	s.t.Helper()
	target := api.ChannelTarget{Project: "program", Version: version, Target: api.ReleasePath("program", version)}
	s.apply(s.repository().Offer(s.online, "stable", target, time.Now()))
}

// announce promotes a version in the document alone.
func (s *signer) announce(version string) {
	s.t.Helper()
	_, err := api.Channels.Modify(s.t.Context(), s.Admin(), "program-stable", func(c *api.Channel) error {
		c.Release = api.Releases.Link("program-" + version)
		c.History = append(c.History, api.Offered{Release: c.Release})
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
}

func TestAChannelIsFollowedBySignature(t *testing.T) {
	h := newTestHub(t)
	trusted := newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen, Channel: "channels/program-stable"})
	s := newSite(t, h)
	s.start()
	one, two := h.push(programImage(t, "one")), h.push(programImage(t, "two"))
	trusted.sign("1.0.0", one)
	trusted.offer("1.0.0")
	first := h.passes("program-1.0.0")
	if first.Release != "releases/program-1.0.0" || first.Image != one {
		t.Errorf("the status is %+v", first)
	}
	s.shows("one")
	trusted.sign("2.0.0", two)
	trusted.offer("2.0.0")
	h.passes("program-2.0.0")
	s.shows("two")
	trusted.offer("1.0.0")
	s.shows("one")
}

func TestAReleaseThatFailedIsTakenOnAgainOnlyIfItIsPromotedAgain(t *testing.T) {
	h := newTestHub(t)
	trusted := newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen, Channel: "channels/program-stable"})
	s := newSite(t, h)
	s.start()
	trusted.sign("1.0.0", h.push(programImage(t, "one")))
	trusted.offer("1.0.0")
	h.passes("program-1.0.0")

	// The metadata come first, and the agent looks in between.
	trusted.sign("2.0.0", h.push(programImage(t, "broken")))
	trusted.vouch("2.0.0")
	attempts := func() int {
		t.Helper()
		if err := s.agent.follow.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		o, err := orders.Read(t.Context(), s.agent.Client("users/admin"), "program-2.0.0")
		if err != nil {
			t.Fatal(err)
		}
		return o.Attempt
	}
	attempts()
	h.await("program-2.0.0", ended)
	trusted.announce("2.0.0")
	if n := attempts(); n != 1 {
		t.Errorf("after the document has followed the metadata, %d attempts; want 1", n)
	}
	trusted.offer("2.0.0")
	if n := attempts(); n != 2 {
		t.Errorf("after it was promoted again, %d attempts; want 2", n)
	}
	s.shows("one")
}

func TestWhatIsNotSignedIsRefused(t *testing.T) {
	h := newTestHub(t)
	trusted := newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen, Channel: "channels/program-stable"})
	s := newSite(t, h)
	s.start()
	trusted.sign("1.0.0", h.push(programImage(t, "one")))
	trusted.offer("1.0.0")
	h.passes("program-1.0.0")

	// A taken-over hub has all keys but that of the releases.
	rogue := newTestHub(t)
	other := newSigner(t, rogue)
	other.sign("2.0.0", h.push(programImage(t, "two")))
	other.offer("2.0.0")
	h.mu.Lock()
	good := h.files
	h.files = rogue.files
	h.mu.Unlock()
	trusted.announce("2.0.0")
	refused := h.await("program-2.0.0", ended)
	if refused.State != api.DeploymentFailed || !strings.Contains(refused.Error, "refused") {
		t.Errorf("the status of what is not signed is %s, %q; want it refused", refused.State, refused.Error)
	}
	s.shows("one")

	h.mu.Lock()
	h.files = good
	h.mu.Unlock()
	trusted.sign("2.0.0", h.push(programImage(t, "two")))
	trusted.offer("2.0.0")
	h.await("program-2.0.0", func(s api.Status) bool { return s.State == api.DeploymentPassed })
	s.shows("two")
}

func TestAHubThatTakesTheChannelAwayIsNotBelieved(t *testing.T) {
	h := newTestHub(t)
	trusted := newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen, Channel: "channels/program-stable"})
	s := newSite(t, h)
	s.start()
	trusted.sign("1.0.0", h.push(programImage(t, "one")))
	trusted.offer("1.0.0")
	h.passes("program-1.0.0")
	_, err := api.Environments.Modify(t.Context(), h.Admin(), environmentName, func(e *api.Environment) error {
		e.Channel = ""
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	h.deploy("rogue", h.push(programImage(t, "two")))
	refuses := func(when string) {
		t.Helper()
		if err := s.agent.follow.look(t.Context()); !errors.Is(err, kit.ErrForbidden) || !strings.Contains(err.Error(), "signed releases only") {
			t.Errorf("%s, a deployment without a channel: %v, want it refused", when, err)
		}
		if _, err := orders.Read(t.Context(), s.agent.Client("users/admin"), "rogue"); !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("%s, what nobody signed was taken on: %v", when, err)
		}
		s.shows("one")
	}
	refuses("with the token that pins the root")

	// The hub makes tokens too.
	s.stop()
	pinning := h.token
	h.token, _, _ = strings.Cut(h.token, "~")
	s.start()
	s.shows("one")
	refuses("with a token that pins nothing")
	s.stop()

	h.token += "~" + strings.Repeat("0", 64)
	if _, err := New(s.config()); err == nil || !strings.Contains(err.Error(), "has believed a channel by "+pinning[strings.Index(pinning, "~")+1:]) {
		t.Errorf("started with a token that pins another root: %v, want it refused", err)
	}
}

func TestATokenWithARootIsForAChannel(t *testing.T) {
	h := newTestHub(t)
	newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	a, err := New(newSite(t, h).config())
	if err == nil {
		err = a.Run(t.Context())
	}
	if !errors.Is(err, kit.ErrForbidden) || !strings.Contains(err.Error(), "names no channel") {
		t.Errorf("started for an environment without a channel: %v, want it refused", err)
	}
}

func TestAChannelNeedsAPinnedRoot(t *testing.T) {
	h := newTestHub(t)
	newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen, Channel: "channels/program-stable"})
	s := newSite(t, h)
	c := s.config()
	c.Token, _, _ = strings.Cut(c.Token, "~")
	a, err := New(c)
	if err == nil {
		err = a.Run(t.Context())
	}
	if !errors.Is(err, errNoRoot) {
		t.Errorf("followed a channel without a root: %v, want %v", err, errNoRoot)
	}
}

func TestTheSiteWorksWithoutTheHub(t *testing.T) {
	h := newTestHub(t)
	h.environment(api.Environment{Strategy: api.BlueGreen})
	s := newSite(t, h)
	s.start()
	h.deploy("first", h.push(programImage(t, "one")))
	h.passes("first")
	s.stop()

	c := s.config()
	c.Hub = "http://127.0.0.1:1"
	a, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	s.shows("one")
	res, err := a.node.HTTP("users/admin").Get("http://agent/front")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var state struct{ Side string }
	if err := json.NewDecoder(res.Body).Decode(&state); err != nil || state.Side != "program-1" {
		t.Errorf("GET /front says %+v, %v; want program-1", state, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the agent ended: %v", err)
	}
}

func TestASignedReleaseIsRehearsedWhereAChannelIsFollowed(t *testing.T) {
	h := newTestHub(t)
	trusted := newSigner(t, h)
	h.environment(api.Environment{Strategy: api.BlueGreen, Channel: "channels/program-stable"})
	s := newSite(t, h)
	s.start()
	one, two := h.push(imageOf(t, "platform", "one")), h.push(imageOf(t, "platform", "two"))
	trusted.sign("1.0.0", one)
	trusted.offer("1.0.0")
	h.passes("program-1.0.0")
	trusted.sign("2.0.0", two)
	rehearse := func(id, image string, release kit.Link) {
		t.Helper()
		d := api.Deployment{Environment: environmentName, Project: "program", Image: image, Release: release, Rehearse: true, State: api.DeploymentQueued}
		if _, err := api.Deployments.Create(t.Context(), h.Admin(), id, d); err != nil {
			t.Fatal(err)
		}
	}
	h.deploy("order", two) // which stays one that nobody takes
	for i, refused := range []struct {
		image   string
		release kit.Link
		why     string
	}{
		{two, "", "rehearse a release, like program-2.0.0"},
		{two, "releases/program-3.0.0", "is not signed"},
		{two, "releases/program-1.0.0", "is signed for the image"},
	} {
		id := fmt.Sprint("refused-", i)
		rehearse(id, refused.image, refused.release)
		if d := h.await(id, ended); d.State != api.DeploymentFailed || !strings.Contains(d.Error, refused.why) {
			t.Errorf("%s of %q is %s, %q; want %q", refused.image, refused.release, d.State, d.Error, refused.why)
		}
	}
	rehearse("signed", two, "releases/program-2.0.0")
	if d := h.passes("signed"); !strings.Contains(d.Output, "the upgrade would succeed") {
		t.Errorf("the report is %q", d.Output)
	}
	s.nothingLeft("program-1")
	if d, err := api.Deployments.Read(t.Context(), h.Admin(), "order"); err != nil || d.State != api.DeploymentQueued {
		t.Errorf("the deployment that is not signed is %s, %v", d.State, err)
	}
}
