package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/task"
	"landfall.dev/kit/webhook"
)

type note struct {
	kit.Meta
	Text string `json:"text"`
}

var notes = kit.Define[note]("notes")

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// message is what a receiver was sent.
type message struct {
	ID, Signature, Timestamp, Fence string
	Type                            string `json:"type"`
	Data                            struct {
		Link    kit.Link `json:"link"`
		Version int64    `json:"version"`
		Text    string   `json:"text"`
	} `json:"data"`
}

// receiver answers posts as the test says, 200 by default.
type receiver struct {
	mu       sync.Mutex
	answer   func(m message) int
	hold     func() // while a post is answered
	got      []message
	refused  int
	now, max int
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	m := message{
		ID: req.Header.Get("webhook-id"), Signature: req.Header.Get("webhook-signature"),
		Timestamp: req.Header.Get("webhook-timestamp"), Fence: req.Header.Get("landfall-fence"),
	}
	if err := json.Unmarshal(body, &m); err != nil || m.ID == "" || m.Timestamp == "" || !strings.HasPrefix(m.Signature, "v1,") {
		http.Error(w, "no message", http.StatusTeapot)
		return
	}
	r.mu.Lock()
	r.now++
	r.max = max(r.max, r.now)
	answer, hold := r.answer, r.hold
	r.mu.Unlock()
	if hold != nil {
		hold()
	}
	status := http.StatusOK
	if answer != nil {
		status = answer(m)
	}
	r.mu.Lock()
	r.now--
	if status == http.StatusOK {
		r.got = append(r.got, m)
	} else {
		r.refused++
	}
	r.mu.Unlock()
	w.WriteHeader(status)
}

// RoundTrip lets a receiver be reached without a socket, inside a bubble.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if req.Context().Err() != nil {
		return nil, context.Cause(req.Context())
	}
	return w.Result(), nil
}

func (r *receiver) answers(f func(message) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = f
}

func (r *receiver) most() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.max
}

func (r *receiver) refusals() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

func (r *receiver) messages() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// bench is a cluster with a kind of notes and webhooks.
type bench struct {
	*kittest.Cluster
	t       *testing.T
	service kit.Service
	stop    func()
}

func start(t *testing.T, o webhook.Options) *bench {
	t.Helper()
	b := &bench{t: t}
	o.Client = func(subject string) kit.Client { return b.Client(subject) }
	o.Key = []byte("the cluster's key")
	o.Logger = kittest.Log(t, slog.LevelInfo)
	b.service = webhook.Service(o)
	b.Cluster = kittest.Serve(t, b.service, kit.Service{Name: "notes", Owns: []kit.Owned{kit.Own(notes, nil)}})
	b.stop = b.Run(b.service)
	return b
}

func (b *bench) restart() {
	b.stop()
	b.stop = b.Run(b.service)
}

func (b *bench) subscribe(url string) webhook.Subscription {
	b.t.Helper()
	s, err := webhook.Subscriptions.Create(b.t.Context(), b.Admin(), "s", webhook.Subscription{Of: "notes", URL: url, Secret: secret})
	if err != nil {
		b.t.Fatalf("subscribe: %v", err)
	}
	return s
}

func (b *bench) write(id, text string) {
	b.t.Helper()
	ctx := b.t.Context()
	body, _ := json.Marshal(note{Text: text})
	_, err := b.Admin().Update(ctx, notes.Link(id), body, 0)
	if errors.Is(err, kit.ErrNotFound) {
		_, err = b.Admin().Create(ctx, "notes", id, body)
	}
	if err != nil {
		b.t.Fatalf("write: %v", err)
	}
}

func (b *bench) subscription() webhook.Subscription {
	b.t.Helper()
	s, err := webhook.Subscriptions.Read(b.t.Context(), b.Admin(), "s")
	if err != nil {
		b.t.Fatalf("subscription: %v", err)
	}
	return s
}

func (b *bench) letters() []webhook.Letter {
	b.t.Helper()
	var all []webhook.Letter
	for l, err := range webhook.Letters.All(b.t.Context(), b.Admin(), "", "") {
		if err != nil {
			b.t.Fatalf("letters: %v", err)
		}
		all = append(all, l)
	}
	return all
}

// settle lets time pass in the bubble.
func settle(d time.Duration) {
	time.Sleep(d) // of the bubble
	synctest.Wait()
}

func TestChangesArePostedInOrderAndSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		b := start(t, webhook.Options{Transport: r})
		b.write("early", "before anybody asked")
		settle(time.Second)
		b.subscribe("http://receiver/hook")
		for _, text := range []string{"one", "two", "three"} {
			b.write("a", text)
			settle(time.Second)
		}
		if err := b.Admin().Delete(t.Context(), "notes/a", 0); err != nil {
			t.Fatal(err)
		}
		settle(5 * time.Second)
		var got []string
		for _, m := range r.messages() {
			got = append(got, fmt.Sprint(m.Type, " ", m.Data.Link, " ", m.Data.Version, " ", m.Data.Text))
		}
		want := []string{"notes.created notes/a 1 one", "notes.updated notes/a 2 two", "notes.updated notes/a 3 three", "notes.deleted notes/a 4 "}
		if !slices.Equal(got, want) {
			t.Errorf("posted %q, want %q", got, want)
		}
		s := b.subscription()
		if s.Delivered != 4 || s.Failures != 0 || s.Position == "" || s.By != "users/admin" || s.State != webhook.Active {
			t.Errorf("the subscription is %+v, want 4 delivered", s)
		}
	})
}

func TestSecretIsNeverReadable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, webhook.Options{Transport: &receiver{}})
		b.subscribe("http://receiver/hook")
		r, err := b.Admin().Read(t.Context(), "subscriptions/s", kit.ReadOptions{})
		if err != nil || bytes.Contains(r.Body, []byte("MfKQ9r8G")) {
			t.Errorf("the subscription is %s, %v; want none with the secret", r.Body, err)
		}
		var all bytes.Buffer
		if _, err := b.Store.Snapshot().WriteTo(&all); err != nil || bytes.Contains(all.Bytes(), []byte("MfKQ9r8G")) {
			t.Errorf("a snapshot has the secret, or failed: %v", err)
		}
	})
}

func TestDocumentThatFailsHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answers(func(m message) int {
			if m.Data.Link == "notes/bad" {
				return http.StatusInternalServerError
			}
			return http.StatusOK
		})
		b := start(t, webhook.Options{Transport: r})
		b.subscribe("http://receiver/hook")
		b.write("bad", "one")
		for i := range 300 {
			b.write(fmt.Sprint("good", i), "x")
		}
		settle(time.Minute)
		if n := len(r.messages()); n != 300 {
			t.Errorf("%d other documents were posted, want 300", n)
		}
		l := b.letters()
		if len(l) != 1 || l[0].State != webhook.Retrying || l[0].Of != "notes/bad" || l[0].Error != "the receiver answered 500 Internal Server Error" {
			t.Fatalf("the letters are %+v, want one that is retried", l)
		}
		b.write("bad", "two")
		settle(time.Second)
		b.restart()
		r.answers(nil)
		settle(time.Hour)
		got := r.messages()[300:]
		if len(got) != 1 || got[0].Data.Text != "two" {
			t.Errorf("afterwards %+v was posted, want the latest version of the bad one", got)
		}
		if l := b.letters(); len(l) != 0 {
			t.Errorf("afterwards there are letters: %+v", l)
		}
	})
}

func TestLetterIsGivenUpAndCanBeRetriedOrDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		bad := func(message) int { return http.StatusBadRequest }
		r.answers(bad)
		b := start(t, webhook.Options{Transport: r, Retry: kit.Retry{Attempts: 6}})
		b.subscribe("http://receiver/hook")
		for _, id := range []string{"a", "b", "c"} {
			b.write(id, "one")
		}
		settle(time.Hour)
		l := b.letters()
		if len(l) != 3 || l[0].State != webhook.Dead || l[0].Attempts != 6 || r.refusals() != 18 {
			t.Fatalf("the letters are %+v after %d posts, want three dead after 6 each", l, r.refusals())
		}
		r.answers(nil)
		ctx, admin := t.Context(), b.Admin()
		if _, err := webhook.Letters.Send(ctx, admin, l[0].Link.ID(), "retry", nil); err != nil {
			t.Fatal(err)
		}
		settle(time.Second)
		if got := r.messages(); len(got) != 1 || got[0].Data.Link != l[0].Of {
			t.Errorf("after a retry %+v was posted, want %s", got, l[0].Of)
		}
		r.answers(bad)
		if _, err := webhook.Letters.Send(ctx, admin, l[1].Link.ID(), "retry", nil); err != nil {
			t.Fatal(err)
		}
		settle(3 * time.Second)
		refused := r.refusals()
		if err := admin.Delete(ctx, l[1].Link, 0); err != nil {
			t.Fatal(err)
		}
		settle(time.Hour)
		if r.refusals() != refused {
			t.Errorf("after it was dropped it was posted %d times", r.refusals()-refused)
		}
		if _, err := admin.Update(ctx, l[2].Link, []byte(`{"state":"retrying"}`), 0); !errors.Is(err, kit.ErrConflict) {
			t.Errorf("changing a letter gave %v, want that it is refused", err)
		}
		r.answers(nil)
		b.write("c", "two") // a dead letter does not keep newer versions back
		settle(time.Second)
		if got := r.messages(); len(got) != 2 || got[1].Data.Text != "two" {
			t.Errorf("posted %+v, want the new version", got)
		}
	})
}

func TestNoOlderVersionFollowsANewerOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		var calls atomic.Int64
		r.answers(func(message) int {
			if calls.Add(1)%3 != 0 {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		})
		b := start(t, webhook.Options{Transport: r})
		b.subscribe("http://receiver/hook")
		for i := range 200 {
			b.write(fmt.Sprint("n", i%3), fmt.Sprint(i))
			settle(time.Duration(i%7) * 300 * time.Millisecond)
			if i%50 == 0 {
				b.restart()
			}
		}
		settle(time.Hour)
		checkOrder(t, r.messages(), 67, 3)
	})
}

// checkOrder checks that each of n documents was posted in order, up to its
// version last or the one before.
func checkOrder(t *testing.T, got []message, last int64, n int) {
	t.Helper()
	newest, ids := map[kit.Link]int64{}, map[string]string{}
	for _, m := range got {
		if m.Data.Version < newest[m.Data.Link] {
			t.Errorf("%s was posted at version %d after %d", m.Data.Link, m.Data.Version, newest[m.Data.Link])
		}
		newest[m.Data.Link] = m.Data.Version
		what := fmt.Sprint(m.Data.Link, " ", m.Data.Version)
		if old, ok := ids[m.ID]; ok && old != what {
			t.Errorf("%s and %s have the id %s", old, what, m.ID)
		}
		ids[m.ID] = what
	}
	for link, v := range newest {
		if v < last-1 {
			t.Errorf("%s was posted up to version %d, want %d", link, v, last)
		}
	}
	if len(newest) != n {
		t.Errorf("%d documents were posted, want %d", len(newest), n)
	}
}

func TestGoneReceiverEndsItsSubscriptionAndResumingLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		r.answers(func(message) int { return http.StatusGone })
		b := start(t, webhook.Options{Transport: r})
		b.subscribe("http://receiver/hook")
		b.write("a", "one")
		settle(time.Minute)
		if s := b.subscription(); s.State != webhook.Disabled || s.Why != "the receiver answered 410 Gone" {
			t.Errorf("the subscription is %s because %q, want disabled", s.State, s.Why)
		}
		refused := r.refusals()
		b.write("b", "one")
		settle(time.Hour)
		if r.refusals() != refused {
			t.Errorf("while it is disabled %d were posted", r.refusals()-refused)
		}
		r.answers(nil)
		if _, err := webhook.Subscriptions.Send(t.Context(), b.Admin(), "s", "resume", nil); err != nil {
			t.Fatal(err)
		}
		settle(time.Minute)
		checkOrder(t, r.messages(), 1, 2)
	})
}

func TestSlowReceiverBoundsWhatIsAtWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{hold: func() { time.Sleep(time.Second) }} // of the bubble
		b := start(t, webhook.Options{Transport: r})
		b.subscribe("http://receiver/hook")
		for i := range 600 {
			b.write(fmt.Sprint("n", i), "x")
		}
		settle(10 * time.Second)
		if n := len(r.messages()); n < 64 || n > 88 {
			t.Errorf("after 10 s %d were posted, want 8 a second", n)
		}
		settle(90 * time.Second)
		checkOrder(t, r.messages(), 1, 600)
		if most := r.most(); most != 8 {
			t.Errorf("%d posts were made at once, want 8", most)
		}
	})
}

func TestReceiverThatHangsIsGivenUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{hold: func() { time.Sleep(time.Minute) }} // of the bubble
		b := start(t, webhook.Options{Transport: r})
		b.subscribe("http://receiver/hook")
		b.write("a", "x")
		settle(90 * time.Second)
		if s := b.subscription(); s.Failures == 0 || s.LastError != "the receiver took more than 20s" {
			t.Errorf("the subscription is %+v, want a failure that says so", s)
		}
	})
}

func TestSubscriberSeesNoMoreThanItsRolesAllow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		b := start(t, webhook.Options{Transport: r})
		b.Allow("users/eve", rest.Rule{Kinds: []string{"subscriptions"}, Verbs: []kit.Verb{"create", "read"}})
		_, err := webhook.Subscriptions.Create(t.Context(), b.Client("users/eve"), "s", webhook.Subscription{Of: "notes", URL: "http://receiver/", Secret: secret})
		if err != nil {
			t.Fatal(err)
		}
		b.write("a", "not for eve")
		settle(time.Minute)
		if s := b.subscription(); s.State != webhook.Disabled || !strings.HasPrefix(s.Why, "users/eve cannot watch notes: ") {
			t.Errorf("the subscription is %s because %q, want disabled", s.State, s.Why)
		}
		if got := r.messages(); len(got) != 0 {
			t.Errorf("posted %+v to eve", got)
		}
	})
}

func TestFilterThatIsWrongSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, webhook.Options{Transport: &receiver{}})
		b.subscribe("http://receiver/hook")
		if _, err := b.Admin().Update(t.Context(), "subscriptions/s", []byte(`{"filter":"txt == 'a'"}`), 0); err != nil {
			t.Fatal(err)
		}
		settle(time.Minute)
		if s := b.subscription(); s.State != webhook.Disabled || !strings.Contains(s.Why, "txt") {
			t.Errorf("the subscription is %s because %q, want the wrong name", s.State, s.Why)
		}
	})
}

func TestAnotherLogRepeatsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		b := start(t, webhook.Options{Transport: r})
		b.subscribe("http://receiver/hook")
		for i := range 10 {
			b.write(fmt.Sprint("n", i), "x")
			settle(time.Second)
		}
		b.stop()
		if _, err := b.Write(t.Context(), store.Proposal{NewEpoch: true}); err != nil {
			t.Fatal(err)
		}
		b.write("new", "x")
		b.restart()
		settle(time.Minute)
		got := r.messages()
		if n := len(got); n > 12 { // the last one before may be repeated
			t.Errorf("%d messages were posted, want 11", n)
		}
		checkOrder(t, got, 1, 11)
	})
}

func TestDispatcherStopsOnceAnotherNodeHasTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{}
		b := start(t, webhook.Options{Transport: r})
		b.stop()
		claim := func(node string) elect.Term {
			term, err := elect.Claim(elect.Tasks, node, func(writes ...kit.Write) ([]kit.Record, error) {
				return b.Write(t.Context(), store.Proposal{Writes: writes, By: "services/task", Internal: true})
			})
			if err != nil {
				t.Fatal(err)
			}
			return term
		}
		term := claim("one")
		ctx, cancel := context.WithCancel(t.Context())
		terms, done := make(chan elect.Term, 1), make(chan error, 1)
		terms <- term
		go func() {
			done <- task.New(b.Client("services/webhook"), b.service, slog.New(slog.DiscardHandler)).Run(ctx, terms)
		}()
		b.subscribe("http://receiver/hook")
		b.write("a", "x")
		settle(time.Minute)
		got := r.messages()
		if len(got) != 1 || got[0].Fence != fmt.Sprint(term.Fence) {
			t.Fatalf("posted %+v, want one with the fencing number %d", got, term.Fence)
		}
		claim("two")
		b.write("b", "x")
		settle(time.Minute)
		b.write("c", "x")
		settle(time.Minute)
		for _, m := range r.messages() {
			if m.Data.Link == "notes/c" {
				t.Error("the first node still posts, though its progress was refused")
			}
		}
		if s := b.subscription(); s.Delivered != 1 {
			t.Errorf("the subscription says that %d were delivered, want what was before the second node took over", s.Delivered)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestWrongSubscriptionsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, webhook.Options{Transport: &receiver{}})
		good := func() map[string]any {
			return map[string]any{"of": "notes", "url": "https://example.com/hook", "secret": secret}
		}
		for field, values := range map[string][]string{
			"of":     {"", "No Kind"},
			"url":    {"", "example.com/hook", "ftp://example.com/", "http:///hook", "http://ada:pw@example.com/", "http://example.com/#a", "http://%zz/"},
			"secret": {"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_short", "whsec_????????????????????????????????"},
		} {
			for _, v := range values {
				doc := good()
				doc[field] = v
				body, _ := json.Marshal(doc)
				_, err := b.Admin().Create(t.Context(), "subscriptions", "", body)
				if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), fmt.Sprintf("field %q", field)) {
					t.Errorf("%s %q gave %v, want an error that names the field", field, v, err)
				}
			}
		}
		b.subscribe("https://example.com/hook")
		_, err := b.Admin().Update(t.Context(), "subscriptions/s", []byte(`{"position":"1.1"}`), 0)
		if !errors.Is(err, kit.ErrInvalid) {
			t.Errorf("setting the position gave %v, want that it is refused", err)
		}
	})
}

// TestRealReceiver has a receiver at a socket that is slow, fails and is away
// for a while, and the service stopped and started in between.
func TestRealReceiver(t *testing.T) {
	r := &receiver{}
	var calls atomic.Int64
	r.answers(func(message) int {
		if calls.Add(1)%5 == 0 {
			return http.StatusServiceUnavailable
		}
		return http.StatusOK
	})
	server := httptest.NewServer(r)
	defer func() { server.Close() }()
	address := server.Listener.Addr().String()
	b := start(t, webhook.Options{Retry: kit.Retry{Attempts: 1000, First: 2 * time.Millisecond, Longest: 50 * time.Millisecond}})
	b.subscribe("http://" + address + "/hook")
	const documents, versions = 40, 10
	for v := range versions {
		for d := range documents {
			b.write(fmt.Sprint("n", d), fmt.Sprint(v))
		}
		switch v {
		case 3, 8:
			b.restart()
		case 5:
			server.CloseClientConnections()
			server.Close()
		case 6:
			server = restartAt(t, r, address)
		}
	}
	limit, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := webhook.Subscriptions.Await(limit, b.Admin(), "s", func(webhook.Subscription) bool {
		newest := map[kit.Link]int64{}
		for _, m := range r.messages() {
			newest[m.Data.Link] = m.Data.Version
		}
		for d := range documents {
			if newest[notes.Link(fmt.Sprint("n", d))] != versions {
				return false
			}
		}
		return true
	})
	if err != nil {
		t.Fatalf("awaiting the last versions: %v", err)
	}
	checkOrder(t, r.messages(), versions, documents)
}

// restartAt serves r at the address again.
func restartAt(t *testing.T, r *receiver, address string) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(r)
	l, err := listen(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	return s
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var c net.ListenConfig
	return c.Listen(ctx, "tcp", address)
}
