package rest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// recorder is a node that remembers what was proposed.
type recorder struct {
	rest.Node
	mu   sync.Mutex
	last store.Proposal
}

func (r *recorder) Write(_ context.Context, p store.Proposal) ([]kit.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = p
	if p.Durability == kit.Async {
		return nil, nil
	}
	records := make([]kit.Record, len(p.Writes))
	for i, w := range p.Writes {
		records[i].Link = w.Link
	}
	return records, nil
}

func (*recorder) Leader() (string, bool)        { return "", true }
func (*recorder) CatchUp(context.Context) error { return nil }

func TestWritesSayWhenTheyAreAcknowledgedAndThatTheyHappenOnce(t *testing.T) {
	node := &recorder{}
	kinds := store.NewKinds()
	s := rest.New(rest.Options{Store: store.New(kinds), Kinds: kinds, Node: node})
	s.Add(kittest.NotesService())
	c := s.Client("services/notes")
	ctx := t.Context()
	for _, test := range []struct {
		name       string
		do         func(o ...kit.WriteOption) error
		durability kit.Durability
		key        string
	}{
		{"create", func(o ...kit.WriteOption) error {
			_, err := c.Create(ctx, "notes", "a", []byte(`{}`), o...)
			return err
		}, kit.All, "k1"},
		{"update", func(o ...kit.WriteOption) error {
			_, err := c.Update(ctx, "notes/a", []byte(`{}`), 0, o...)
			return err
		}, kit.Quorum, "k-2.~_"},
		{"delete", func(o ...kit.WriteOption) error { return c.Delete(ctx, "notes/a", 0, o...) }, kit.All, ""},
		{"delete, not waiting", func(o ...kit.WriteOption) error { return c.Delete(ctx, "notes/a", 0, o...) }, kit.Async, ""},
		{"method, not waiting", func(o ...kit.WriteOption) error {
			r, err := c.Do(ctx, "notes/a", "star", nil, o...)
			if r.Link != "notes/a" || r.Version != 0 {
				t.Errorf("a method that is not waited for gave %+v, want its link only", r)
			}
			return err
		}, kit.Async, "k3"},
		{"batch", func(o ...kit.WriteOption) error {
			_, err := c.Batch(ctx, []kit.Write{{Verb: "star", Link: "notes/a"}}, o...)
			return err
		}, kit.All, "k4"},
		{"batch, not waiting", func(o ...kit.WriteOption) error {
			_, err := c.Batch(ctx, []kit.Write{{Verb: "star", Link: "notes/a"}}, o...)
			return err
		}, kit.Async, "k5"},
	} {
		err := test.do(kit.Acknowledged(test.durability), kit.Once(test.key))
		if err != nil || node.last.Durability != test.durability || node.last.Key != test.key {
			t.Errorf("%s: proposed with %q and key %q, %v, want %q and %q", test.name, node.last.Durability, node.last.Key, err, test.durability, test.key)
		}
	}
	if _, err := c.Create(ctx, "notes", "", []byte(`{}`)); err != nil || len(node.last.Key) < 16 {
		t.Errorf("a create that allocates an id was proposed with key %q, %v, want one of the client's making", node.last.Key, err)
	}
	if _, err := c.Create(ctx, "notes", "b", []byte(`{}`)); err != nil || node.last.Key != "" {
		t.Errorf("a create of an id was proposed with key %q, %v, want none", node.last.Key, err)
	}
	for name, o := range map[string]kit.WriteOption{
		"a key with a space": kit.Once("a b"), "a long key": kit.Once(strings.Repeat("k", 101)), "an unknown durability": kit.Acknowledged("most"),
	} {
		if _, err := c.Create(ctx, "notes", "b", []byte(`{}`), o); !errors.Is(err, kit.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

func TestWriteThatIsNotWaitedForIsAccepted(t *testing.T) {
	kinds := store.NewKinds()
	s := rest.New(rest.Options{Store: store.New(kinds), Kinds: kinds, Node: &recorder{}})
	s.Add(kittest.NotesService())
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://x/api/notes?id=a&durability=async", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res, err := s.HTTP("services/notes").Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		t.Errorf("an async write: %d, want 202", res.StatusCode)
	}
}

// nearby is a kind that is read from any node unless the reader says otherwise.
var nearby = kit.Define[kittest.Note]("nearby", kit.Reads(kit.Eventual))

// laggard returns a leader and a node that has nothing of its log until caught up.
func laggard(t *testing.T) (leader *kittest.Cluster, behind *rest.Server, url string, catchUp func()) {
	t.Helper()
	owner := kit.Service{Name: "nearby", Owns: []kit.Owned{kit.Own(nearby, nil)}}
	leader = kittest.Serve(t, owner)
	kinds := store.NewKinds()
	own := store.New(kinds)
	to := leader.URL()
	f := &follower{}
	f.url.Store(&to)
	behind = rest.New(rest.Options{Store: own, Kinds: kinds, Node: f})
	behind.Add(owner)
	server := httptest.NewServer(behind)
	t.Cleanup(server.Close)
	return leader, behind, server.URL, func() {
		var b strings.Builder
		_, err := leader.Store.Snapshot().WriteTo(&b)
		if err == nil {
			err = own.Restore(strings.NewReader(b.String()))
		}
		if err != nil {
			t.Error(err)
		}
	}
}

// towards sends each request to the node that is chosen.
type towards struct{ host string }

func (w *towards) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Host = strings.TrimPrefix(w.host, "http://")
	return http.DefaultTransport.RoundTrip(req)
}

func TestEventualReadsOfAClientNeverGoBack(t *testing.T) {
	leader, _, url, catchUp := laggard(t)
	ctx := t.Context()
	via := &towards{host: leader.URL()}
	client, err := rest.NewClient("http://any", leader.Token("users/admin"), rest.ClientOptions{Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(ctx, "nearby", "a", []byte(`{"text":"old"}`)); err != nil {
		t.Fatal(err)
	}
	catchUp()
	via.host = url
	read := func(c kit.Client, want string) {
		t.Helper()
		r, err := c.Read(ctx, "nearby/a", kit.ReadOptions{})
		if err != nil || string(r.Body) != want {
			t.Errorf("read %s, %v, want %s", r.Body, err, want)
		}
	}
	read(client, `{"text":"old"}`)
	if _, err := leader.Admin().Update(ctx, "nearby/a", []byte(`{"text":"new"}`), 0); err != nil {
		t.Fatal(err)
	}
	read(client, `{"text":"old"}`) // it has not seen more
	via.host = leader.URL()
	read(client, `{"text":"new"}`)
	via.host = url
	read(client, `{"text":"new"}`) // from the leader, for this node is behind
	p, err := client.List(ctx, kit.Query{Kind: "nearby"})
	if err != nil || len(p.Items) != 1 || string(p.Items[0].Body) != `{"text":"new"}` {
		t.Errorf("listed %+v, %v, want what was read", p.Items, err)
	}
}

func TestEventualReadWaitsForTheNode(t *testing.T) {
	leader, behind, _, catchUp := laggard(t)
	catchUp()
	if _, err := leader.Admin().Create(t.Context(), "nearby", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://x/api/nearby/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Landfall-Position", leader.Store.Position().String())
	req.Header.Set("Landfall-Forwarded", "1") // so the leader cannot answer in its place
	get := func() int {
		res, err := behind.HTTP("services/nearby").Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	if got := get(); got != http.StatusServiceUnavailable {
		t.Errorf("a node that is behind answered %d, want 503", got)
	}
	// The read below waits at most a moment; it is tried again if this machine is
	// too slow for that.
	go catchUp()
	for end := time.Now().Add(10 * time.Second); get() != http.StatusOK; {
		if time.Now().After(end) {
			t.Fatal("a node that has caught up does not answer")
		}
	}
	req.Header.Set("Landfall-Position", "last week")
	if got := get(); got != http.StatusBadRequest {
		t.Errorf("a position that is none: %d, want 400", got)
	}
}

func TestEventualReadOfWhoComesFromAnotherClusterIsTheLeaders(t *testing.T) {
	leader, _, url, catchUp := laggard(t)
	token := leader.Token("users/admin")
	catchUp()
	if _, err := leader.Admin().Create(t.Context(), "nearby", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	here := leader.Store.Position()
	for _, c := range []struct {
		name string
		at   kit.Position
	}{
		{"one that began later", kit.Position{Epoch: here.Epoch + 1, Seq: 9}},
		{"one that began earlier", kit.Position{Epoch: here.Epoch - 1, Seq: 9}},
	} {
		for _, node := range []string{leader.URL(), url} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", node+"/api/nearby/a", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			req.Header.Set("Landfall-Position", c.at.String())
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if at := res.Header.Get("Landfall-Position"); res.StatusCode != http.StatusOK || at != here.String() {
				t.Errorf("from %s: status %d at %s, want what the leader has at %s", c.name, res.StatusCode, at, here)
			}
		}
	}
}
