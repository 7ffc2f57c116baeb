package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/platform"
)

// instance is a platform of one node on the disk.
type instance struct {
	client *migrate.Client
	node   *platform.Node
}

// started starts a platform with the service, and returns when it is ready.
func started(t testing.TB, standby bool, service kit.Service) instance {
	t.Helper()
	n, err := platform.New(platform.Config{
		Data: t.TempDir(), Listen: "127.0.0.1:0", Token: token, Standby: standby, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.Add(service)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	i := instance{&migrate.Client{URLs: []string{n.URL()}, Token: token}, n}
	until(t, "the node is ready", func() bool {
		s, err := i.client.Status(t.Context())
		return err == nil && s.Fenced == standby
	})
	return i
}

// until returns once done says so.
func until(t testing.TB, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// outside is what two sides do to the world.
type outside struct {
	lifted atomic.Bool
	mu     sync.Mutex
	charge map[string][]string // ids of operations, by side
	posts  map[string]int      // by id of the message, those that were acknowledged
	early  []string            // what green did before its fence was lifted
}

func (o *outside) note(side, what, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if side == "green" && !o.lifted.Load() {
		o.early = append(o.early, what+" "+id)
	}
	if what == "charge" {
		o.charge[side] = append(o.charge[side], id)
	}
}

func (o *outside) charged(side string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.charge[side])
}

// paying is a platform whose orders are charged for by the action.
func (o *outside) paying(side string, charge func(ctx context.Context) error) kit.Service {
	pay := func(d order1, e kit.Event, _ time.Time) (order1, []kit.Op) {
		switch e.Name {
		case "pay":
			return d, []kit.Op{kit.Call("charge", "once", nil)}
		case "charge.done":
			d.Note = "paid at " + side
		}
		return d, nil
	}
	return kit.Service{
		Name: "shop", Owns: []kit.Owned{kit.Own(orders1, pay, "pay"), kit.Own(notes, nil)},
		Does: kit.Does{"charge": func(ctx context.Context, r kit.Record, op kit.Op) (any, error) {
			o.note(side, "charge", string(r.Link)+" "+op.ID)
			return nil, charge(ctx)
		}},
	}
}

// Blue is fenced while an action is under way, a document is about to expire,
// and a webhook's receiver is down. None of it is lost, and none of it happens
// on green before green is in charge.
func TestWhatActsStopsWithTheFenceAndGoesOnAtTheOtherSide(t *testing.T) {
	world := &outside{charge: map[string][]string{}, posts: map[string]int{}}
	var stopped atomic.Bool
	blue := started(t, false, world.paying("blue", func(ctx context.Context) error {
		<-ctx.Done()
		stopped.Store(true)
		return nil // it is done, but that cannot be acknowledged any more
	}))
	green := started(t, true, world.paying("green", func(context.Context) error { return nil }))
	var down atomic.Bool
	var refused atomic.Int64
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if down.Load() {
			refused.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		var m struct {
			Data struct {
				Link    kit.Link `json:"link"`
				Version int64    `json:"version"`
			} `json:"data"`
		}
		_ = json.Unmarshal(body, &m)
		world.mu.Lock()
		world.posts[r.Header.Get("Webhook-Id")+" "+fmt.Sprint(m.Data.Link, m.Data.Version)]++
		world.mu.Unlock()
	}))
	t.Cleanup(receiver.Close)

	ctx := t.Context()
	c := blue.node.Client("services/shop")
	hook := json.RawMessage(`{"of":"notes","url":"` + receiver.URL + `","secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`)
	var err error
	until(t, "a new node has made its administrator", func() bool {
		_, err = blue.node.Client("users/admin").Create(ctx, "subscriptions", "hook", hook)
		return !errors.Is(err, kit.ErrForbidden)
	})
	if err != nil {
		t.Fatal(err)
	}
	create := func(kind, id, body string) {
		t.Helper()
		if _, err := c.Create(ctx, kind, id, json.RawMessage(body)); err != nil {
			t.Fatalf("creating %s/%s: %v", kind, id, err)
		}
	}
	create("notes", "first", `{}`)
	posted := func() int {
		world.mu.Lock()
		defer world.mu.Unlock()
		return len(world.posts)
	}
	until(t, "blue posts", func() bool { return posted() == 1 })
	down.Store(true)
	create("notes", "second", `{}`)
	until(t, "the receiver refuses", func() bool { return refused.Load() > 0 })
	expires := time.Now().Add(3 * time.Second).UTC()
	create("notes", "brief", fmt.Sprintf(`{"expires":%q}`, expires.Format(time.RFC3339Nano)))
	create("orders", "", `{"name":"tea","amount":"1"}`)
	if _, err := c.Do(ctx, "orders/1", "pay", nil); err != nil {
		t.Fatal(err)
	}
	until(t, "blue charges", func() bool { return world.charged("blue") == 1 })

	fenced, err := blue.client.Fence(ctx, 7, true)
	if err != nil {
		t.Fatal(err)
	}
	until(t, "blue's action is ended", stopped.Load)
	pull := migrate.PullRequest{Source: blue.client.URLs[0], Token: token, Final: true}
	if _, err := green.client.Pull(ctx, pull); err != nil {
		t.Fatal(err)
	}
	until(t, "the document should have expired", func() bool { return time.Now().After(expires.Add(time.Second)) })
	s, err := blue.client.Status(ctx)
	if err != nil || s.Position != fenced.Position || s.Counts["notes"] != 3 {
		t.Errorf("fenced at %s, blue has come to %s with %d notes, %v", fenced.Position, s.Position, s.Counts["notes"], err)
	}
	if p, err := green.client.Pull(ctx, pull); err != nil || p.Documents+p.Deletions != 0 {
		t.Errorf("another last pull took %+v, %v", p, err)
	}
	if s, err := green.client.Status(ctx); err != nil || s.Counts["notes"] != 3 {
		t.Errorf("green in standby has %d notes, %v", s.Counts["notes"], err)
	}
	before := posted()
	down.Store(false)
	world.lifted.Store(true)
	if _, err := green.client.Fence(ctx, 7, false); err != nil {
		t.Fatal(err)
	}
	until(t, "green charges", func() bool { return world.charged("green") == 1 })
	until(t, "the order is paid, the note gone, and the rest posted", func() bool {
		s, err := green.client.Status(ctx)
		r, read := green.node.Client("services/shop").Read(ctx, "orders/1", kit.ReadOptions{})
		return err == nil && s.Counts["notes"] == 2 && read == nil && len(r.Pending) == 0 && posted() > before
	})
	world.mu.Lock()
	defer world.mu.Unlock()
	if a, b := world.charge["blue"], world.charge["green"]; len(a) != 1 || a[0] != b[0] {
		t.Errorf("blue charged under the ids %q, green under %q; want each once, under the same", a, b)
	}
	if len(world.early) > 0 {
		t.Errorf("before its fence was lifted green did %q", world.early)
	}
	if s, err := blue.client.Status(ctx); err != nil || s.Position != fenced.Position {
		t.Errorf("blue has come from %s to %s, %v", fenced.Position, s.Position, err)
	}
}
