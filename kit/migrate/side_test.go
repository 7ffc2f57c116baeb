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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// side is a cluster of one node in memory.
type side struct {
	t      testing.TB
	store  *store.Store
	server *rest.Server
	client *migrate.Client
	blobs  *shared.Blobs // nil but for newGallery

	// admit, if set, sees each write before it is decided.
	admit func(store.Proposal) error
	// meddle, if set, sees each request first, and tells whether it has answered.
	meddle func(http.ResponseWriter, *http.Request) bool
	// leader, if set, is the URL of the node that leads.
	leader atomic.Pointer[string]
	// deposed tells that it leads no more, and has not heard of it yet.
	deposed atomic.Bool

	mu  sync.Mutex
	now time.Time
}

const token = "the cluster's secret"

var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newSide(t testing.TB, services ...kit.Service) *side {
	t.Helper()
	return (&side{t: t, now: epoch}).serve(services...)
}

// serve makes s serve the services, and its clients reach it.
func (s *side) serve(services ...kit.Service) *side {
	t := s.t
	t.Helper()
	kinds := store.NewKinds()
	s.store = store.New(kinds)
	s.server = rest.New(rest.Options{Store: s.store, Kinds: kinds, Node: s, Logger: kittest.Log(t, slog.LevelInfo)})
	for _, v := range services {
		s.server.Add(v)
	}
	s.server.Add(migrate.Service(s, s.store, kinds, s.blobs, token))
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.meddle == nil || !s.meddle(w, r) {
			s.server.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(h.Close)
	s.client = &migrate.Client{URLs: []string{h.URL}, Token: token}
	return s
}

func (s *side) Write(ctx context.Context, p store.Proposal) ([]kit.Record, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if s.admit != nil {
		if err := s.admit(p); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Second)
	entry, results := s.store.Decide([]store.Proposal{p}, s.now)
	if entry != nil {
		if err := s.store.Apply(entry); err != nil {
			return nil, err
		}
	}
	return results[0].Records, results[0].Err
}

func (s *side) Leader() (string, bool) {
	if l := s.leader.Load(); l != nil {
		return *l, false
	}
	return "", true
}

func (s *side) Barrier(ctx context.Context) error {
	if s.deposed.Load() {
		return kit.Errorf(kit.ErrUnavailable, "", "another node leads")
	}
	return ctx.Err()
}
func (s *side) CatchUp(ctx context.Context) error { return ctx.Err() }

func (s *side) url() string { return s.client.URLs[0] }

// write does one write as a service of the kind's owner would.
func (s *side) write(verb kit.Verb, link kit.Link, body string) kit.Record {
	s.t.Helper()
	r, err := s.try(verb, link, body)
	if err != nil {
		s.t.Fatalf("%s %s %s: %v", verb, link, body, err)
	}
	return r
}

func (s *side) try(verb kit.Verb, link kit.Link, body string) (kit.Record, error) {
	w := kit.Write{Verb: verb, Link: link}
	if body != "" {
		w.Body = json.RawMessage(body)
	}
	records, err := s.Write(context.Background(), store.Proposal{Writes: []kit.Write{w}, By: "users/ada"})
	if err != nil {
		return kit.Record{}, err
	}
	return records[0], nil
}

func (s *side) propose(p store.Proposal) {
	s.t.Helper()
	if _, err := s.Write(context.Background(), p); err != nil {
		s.t.Fatalf("proposing %+v: %v", p, err)
	}
}

func (s *side) read(link kit.Link) kit.Record {
	s.t.Helper()
	r, err := s.store.Read(link)
	if err != nil {
		s.t.Fatalf("reading %s: %v", link, err)
	}
	return r
}

func (s *side) has(link kit.Link) bool {
	_, err := s.store.Read(link)
	return err == nil
}

func (s *side) fence(epoch int64) migrate.Status {
	s.t.Helper()
	status, err := s.client.Fence(s.t.Context(), epoch, true)
	if err != nil {
		s.t.Fatalf("fence %d: %v", epoch, err)
	}
	return status
}

// pull fills s from blue by one cycle.
func (s *side) pull(blue *side) migrate.Pulled {
	s.t.Helper()
	p, err := s.tryPull(blue, false)
	if err != nil {
		s.t.Fatalf("pull: %v", err)
	}
	return p
}

func (s *side) tryPull(blue *side, final bool) (migrate.Pulled, error) {
	return s.client.Pull(s.t.Context(), migrate.PullRequest{Source: blue.url(), Token: token, Final: final})
}

// cutOver fences blue, takes the rest and compares.
func (s *side) cutOver(blue *side) {
	s.t.Helper()
	blue.fence(7)
	p, err := s.tryPull(blue, true)
	if err != nil || p.Left != 0 {
		s.t.Fatalf("final pull: %+v, %v", p, err)
	}
	if different := s.compare(blue); len(different) > 0 {
		s.t.Errorf("%d buckets differ after the final pull", len(different))
	}
}

func (s *side) compare(blue *side) (different []int) {
	s.t.Helper()
	own, err := blue.client.Sums(s.t.Context(), "own")
	if err != nil {
		s.t.Fatal(err)
	}
	origin, err := s.client.Sums(s.t.Context(), "origin")
	if err != nil {
		s.t.Fatal(err)
	}
	documents, different := migrate.Compare(own, origin)
	if status := blue.status(); documents != status.Documents {
		s.t.Errorf("compared %d documents, blue has %d", documents, status.Documents)
	}
	return different
}

func (s *side) status() migrate.Status {
	s.t.Helper()
	status, err := s.client.Status(s.t.Context())
	if err != nil {
		s.t.Fatalf("status: %v", err)
	}
	return status
}

type order1 struct {
	kit.Meta
	Name   string `json:"name"`
	Amount string `json:"amount"`
	Note   string `json:"note,omitempty"`
}

type order2 struct {
	kit.Meta
	Title    string `json:"title"`
	Amount   int    `json:"amount"`
	Currency string `json:"currency"`
}

type plain struct {
	kit.Meta
	Text string `json:"text,omitempty"`
}

var (
	orders1 = kit.Define[order1]("orders", kit.Counted())
	notes   = kit.Define[plain]("notes")
	secrets = kit.Define[plain]("secrets", kit.Local())
	toOrder = []kit.Transform{
		kit.Rename("name", "title"), kit.Default("currency", "EUR"), kit.Convert("amount", number, nil), kit.Drop("note"),
	}
	orders2 = kit.Define[order2]("orders", kit.Counted(), kit.Schema(2, toOrder))
)

// number makes a number of a string of digits.
func number(v json.RawMessage) (json.RawMessage, error) {
	digits := strings.Trim(string(v), `"`)
	if _, err := strconv.Atoi(digits); err != nil {
		return nil, fmt.Errorf("%s is no number", v)
	}
	return json.RawMessage(digits), nil
}

// blueService is the platform of schema 1. An order wishes for a note when it
// is paid.
func blueService() kit.Service {
	pay := func(o order1, e kit.Event, _ time.Time) (order1, []kit.Op) {
		if e.Name == "pay" {
			return o, []kit.Op{kit.Call("charge", "1", nil), kit.Create(orders1, "next", order1{Name: "after " + o.Name, Amount: "1"})}
		}
		return o, nil
	}
	return kit.Service{Name: "shop", Owns: []kit.Owned{
		kit.Own(orders1, pay, "pay"), kit.Own(notes, nil), kit.Own(secrets, nil),
	}}
}

// greenService is the one of schema 2. Its lives refuse everything, so what
// passes them shows.
func greenService() kit.Service {
	return kit.Service{Name: "shop", Owns: []kit.Owned{
		kit.Own(orders2, func(o order2, _ kit.Event, _ time.Time) (order2, []kit.Op) {
			return o, kit.Refuse(kit.ErrConflict, "no")
		}),
		kit.Own(notes, nil), kit.Own(secrets, nil),
	}}
}

// pair returns a blue cluster and an empty green one that is fenced.
func pair(t testing.TB) (blue, green *side) {
	t.Helper()
	blue, green = newSide(t, blueService()), newSide(t, greenService())
	green.fence(1)
	return blue, green
}

// wantError checks that err has the fault and says all of words.
func wantError(t testing.TB, err error, fault kit.Fault, words ...string) {
	t.Helper()
	if !errors.Is(err, fault) {
		t.Errorf("error %v, want one of %v", err, fault)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func readAll(t testing.TB, r io.ReadCloser) string {
	t.Helper()
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
