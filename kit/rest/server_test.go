package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
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
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// call makes one HTTP request; headers are "Name: value".
func call(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res, string(b)
}

func TestRequestsAreAnsweredOverHTTP(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	bearer := "Authorization: Bearer " + c.Token("users/admin")
	large := `{"text":"` + strings.Repeat("x", kit.MaxDocument) + `"}`
	for _, test := range []struct {
		name         string
		method, path string
		body         string
		header       string
		status       int
		want         string // is in the body
	}{
		{"create with an id in the query", "POST", "/api/notes?id=a", `{"text":"a"}`, "", 201, `"link":"notes/a"`},
		{"create with an id in the body", "POST", "/api/notes", `{"link":"notes/b","text":"b"}`, "", 201, `"link":"notes/b"`},
		{"create in a kind that is not the link's", "POST", "/api/notes", `{"link":"roles/b"}`, "", 400, "not of the kind notes"},
		{"create from nothing", "POST", "/api/notes?id=x", "", "", 400, ""},
		{"create from broken JSON", "POST", "/api/notes", "{\n\"text\":\n oops}", "", 400, "line 3"},
		{"create from another type", "POST", "/api/notes", "text=a", "Content-Type: application/x-www-form-urlencoded", 400, "application/json"},
		{"create too large a document", "POST", "/api/notes", large, "", 413, "1048576 bytes"},
		{"update by a merge patch", "PATCH", "/api/notes/a", `{"text":"c"}`, "Content-Type: application/merge-patch+json", 200, `"text":"c"`},
		{"update of another version", "PATCH", "/api/notes/a", `{"text":"d"}`, `If-Match: "1"`, 412, "version 2"},
		{"update with a broken version", "PATCH", "/api/notes/a", `{"text":"d"}`, `If-Match: W/"1"`, 400, "If-Match"},
		{"update by broken JSON", "PATCH", "/api/notes/a", "{\n", "", 400, "line 2"},
		{"custom method", "POST", "/api/notes/a:star", `{"count":2}`, "", 200, `"stars":2`},
		{"custom method with broken arguments", "POST", "/api/notes/a:star", `{"count"`, "", 400, "line 1"},
		{"custom method with wrong arguments", "POST", "/api/notes/a:star", `{"count":"many"}`, "", 400, "do not fit"},
		{"batch", "POST", "/api/batch", `{"writes":[{"verb":"star","link":"notes/a"}]}`, "", 200, `"stars":3`},
		{"batch of nothing", "POST", "/api/batch", `{}`, "", 400, "no writes"},
		{"batch with a read", "POST", "/api/batch", `{"writes":[{"verb":"read","link":"notes/a"}]}`, "", 400, "is no write"},
		{"list", "GET", "/api/notes?limit=1", "", "", 200, `"next":`},
		{"list with a wrong limit", "GET", "/api/notes?limit=lots", "", "", 400, "1 to 1000"},
		{"read with a wrong consistency", "GET", "/api/notes/a?consistency=good", "", "", 400, "eventual"},
		{"a wrong method", "PUT", "/api/notes/a", "{}", "", 400, "/api/openapi.json"},
		{"the kinds", "GET", "/api/", "", "", 200, `{"kind":"notes","schema":1,"count":2}`},
		{"watch from a broken position", "GET", "/api/notes?from=x", "", "Accept: text/event-stream", 400, "no position"},
		{"watch from another epoch", "GET", "/api/notes?from=1.1", "", "Accept: text/event-stream", 410, ""},
		{"delete", "DELETE", "/api/notes/a", "", "", 204, ""},
		{"health", "GET", "/healthz", "", "", 200, "ok"},
		{"nothing there", "GET", "/elsewhere", "", "", 404, ""},
	} {
		headers := []string{bearer}
		if test.header != "" {
			headers = append(headers, test.header)
		}
		res, body := call(t, test.method, c.URL()+test.path, test.body, headers...)
		if res.StatusCode != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %q", test.name, res.StatusCode, body, test.status, test.want)
		}
		if strings.HasPrefix(test.path, "/api/") && res.StatusCode >= 400 && res.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: the error's type is %q", test.name, res.Header.Get("Content-Type"))
		}
	}
}

func TestAnswersNameVersionAndPlace(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	res, _ := call(t, "POST", c.URL()+"/api/notes", `{"text":"a"}`, "Authorization: Bearer "+c.Token("users/admin"))
	if got := res.Header.Get("ETag"); got != `"1"` {
		t.Errorf("the ETag is %s, want the version", got)
	}
	if got := res.Header.Get("Location"); got != "/api/notes/1" {
		t.Errorf("the Location is %q, want /api/notes/1", got)
	}
}

// brokenNode fails as fault says.
type brokenNode struct{ err error }

func (n brokenNode) Write(context.Context, store.Proposal) ([]kit.Record, error) { return nil, n.err }
func (n brokenNode) Leader() (string, bool)                                      { return "", true }
func (n brokenNode) Barrier(context.Context) error                               { return n.err }
func (n brokenNode) CatchUp(context.Context) error                               { return n.err }

func TestCausesOfInternalErrorsGoToTheLogOnly(t *testing.T) {
	var log bytes.Buffer
	kinds := store.NewKinds()
	s := rest.New(rest.Options{
		Store: store.New(kinds), Kinds: kinds, Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Node: brokenNode{errors.New("disk sda is on fire")},
	})
	s.Add(kittest.NotesService())
	_, err := s.Client("services/notes").Create(t.Context(), "notes", "a", []byte(`{"text":"a"}`))
	if !errors.Is(err, kit.ErrInternal) || strings.Contains(err.Error(), "sda") {
		t.Errorf("create: %v, want an internal error without its cause", err)
	}
	if !strings.Contains(log.String(), "disk sda is on fire") {
		t.Errorf("the log is %q, want the cause", log.String())
	}
}

func TestServerWithoutLeaderAsksToTryAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kinds := store.NewKinds()
		s := rest.New(rest.Options{Store: store.New(kinds), Kinds: kinds, Logger: kittest.Log(t, slog.LevelInfo)})
		for _, path := range []string{"/healthz", "/api/tokens/a"} {
			w := httptest.NewRecorder()
			s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
			if w.Code != 503 || w.Header().Get("Retry-After") == "" {
				t.Errorf("%s: %d, Retry-After %q, want 503 with a time", path, w.Code, w.Header().Get("Retry-After"))
			}
		}
	})
}

func TestPanickingRouteIsAnInternalError(t *testing.T) {
	s := kittest.NotesService()
	s.Serves = []kit.Route{{Pattern: "GET /boom", Anonymous: true, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") })}}
	c := kittest.Serve(t, s)
	if res, body := call(t, "GET", c.URL()+"/boom", ""); res.StatusCode != 500 || strings.Contains(body, "boom") {
		t.Errorf("a panic gave %d %s, want 500 without the reason", res.StatusCode, body)
	}
}

// follower is a node that does not lead, with an empty store of its own.
type follower struct{ url atomic.Pointer[string] }

func (*follower) Write(context.Context, store.Proposal) ([]kit.Record, error) {
	return nil, errors.New("written to a follower")
}
func (f *follower) Leader() (string, bool)      { return *f.url.Load(), false }
func (*follower) Barrier(context.Context) error { return errors.New("barrier on a follower") }
func (*follower) CatchUp(context.Context) error { return kit.ErrUnavailable }

// pair returns a leading cluster and a follower of it with its own server.
func pair(t *testing.T, secret string) (leader *httptest.Server, f *follower, s *rest.Server, token string) {
	t.Helper()
	log := kittest.Log(t, slog.LevelInfo)
	kinds := store.NewKinds()
	main := store.New(kinds)
	lead := rest.New(rest.Options{Store: main, Kinds: kinds, Node: &leaderNode{store: main}, Logger: log, Secret: []byte("between us")})
	lead.Add(kittest.NotesService())
	leader = httptest.NewServer(lead)
	t.Cleanup(func() {
		leader.CloseClientConnections()
		leader.Close()
	})
	f = &follower{}
	f.url.Store(&leader.URL)
	others := store.NewKinds()
	s = rest.New(rest.Options{Store: store.New(others), Kinds: others, Node: f, Logger: log, Secret: []byte(secret)})
	s.Add(kittest.NotesService())
	token, err := rest.Bootstrap(t.Context(), lead.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	return leader, f, s, token
}

// leaderNode leads a store.
type leaderNode struct {
	mu    sync.Mutex
	store *store.Store
}

func (n *leaderNode) Write(_ context.Context, p store.Proposal) ([]kit.Record, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	entry, results := n.store.Decide([]store.Proposal{p}, time.Now())
	if entry != nil {
		if err := n.store.Apply(entry); err != nil {
			return nil, err
		}
	}
	return results[0].Records, results[0].Err
}
func (*leaderNode) Leader() (string, bool)        { return "", true }
func (*leaderNode) Barrier(context.Context) error { return nil }
func (*leaderNode) CatchUp(context.Context) error { return nil }

func TestFollowerPassesRequestsOnToTheLeader(t *testing.T) {
	_, _, s, token := pair(t, "between us")
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	outside, err := rest.NewClient(front.URL, token, rest.ClientOptions{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]kit.Client{"by-token": outside, "in-process": s.Client("services/notes")} {
		if _, err := c.Create(t.Context(), "notes", name, []byte(`{"text":"a"}`)); err != nil {
			t.Errorf("%s: create: %v", name, err)
		}
		if r, err := c.Read(t.Context(), kittest.Notes.Link(name), kit.ReadOptions{}); err != nil || r.Version != 1 {
			t.Errorf("%s: read version %d, %v, want what the leader has", name, r.Version, err)
		}
		if _, err := c.Read(t.Context(), "notes/none", kit.ReadOptions{Consistency: kit.Linearizable}); !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("%s: read what there is not: %v, want not found", name, err)
		}
	}
	_, err = s.Client("services/notes").Read(t.Context(), "notes/in-process", kit.ReadOptions{Consistency: kit.Eventual})
	if !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("eventual read: %v, want what the follower has: nothing", err)
	}
}

func TestFollowerWithAnotherSecretIsRefused(t *testing.T) {
	_, _, s, _ := pair(t, "something else")
	_, err := s.Client("services/notes").Create(t.Context(), "notes", "a", []byte(`{"text":"a"}`))
	if !errors.Is(err, kit.ErrUnauthenticated) {
		t.Errorf("create: %v, want unauthenticated", err)
	}
}

func TestRequestIsPassedOnOnlyOnce(t *testing.T) {
	_, f, s, token := pair(t, "between us")
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	f.url.Store(&front.URL) // the follower believes to follow itself
	c, err := rest.NewClient(front.URL, token, rest.ClientOptions{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Create(t.Context(), "notes", "a", []byte(`{"text":"a"}`)); !errors.Is(err, kit.ErrUnavailable) {
		t.Errorf("create: %v, want unavailable", err)
	}
}

func TestLostAnswerOfTheLeaderIsAnUnknownOutcome(t *testing.T) {
	_, f, s, _ := pair(t, "between us")
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	f.url.Store(&cut.URL)
	_, err := s.Client("services/notes").Create(t.Context(), "notes", "a", []byte(`{"text":"a"}`))
	if !errors.Is(err, kit.ErrTimeout) {
		t.Errorf("create: %v, want a timeout", err)
	}
}

func TestOpenAPIDescribesEachKind(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	res, body := call(t, "GET", c.URL()+"/api/openapi.json", "", "Authorization: Bearer "+c.Token("users/admin"))
	var doc struct {
		OpenAPI    string                               `json:"openapi"`
		Paths      map[string]map[string]map[string]any `json:"paths"`
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
			SecuritySchemes map[string]any `json:"securitySchemes"`
		} `json:"components"`
	}
	if err := json.Unmarshal([]byte(body), &doc); err != nil || res.StatusCode != 200 {
		t.Fatalf("%d, %v", res.StatusCode, err)
	}
	if doc.OpenAPI != "3.1.0" || doc.Components.SecuritySchemes["token"] == nil {
		t.Errorf("openapi %q with schemes %v, want 3.1.0 with a token", doc.OpenAPI, doc.Components.SecuritySchemes)
	}
	for path, methods := range map[string][]string{
		"/api/notes":           {"get", "post"},
		"/api/notes/{id}":      {"get", "patch", "delete"},
		"/api/notes/{id}:star": {"post"},
		"/api/batch":           {"post"},
		"/api/~calls":          {"post"},
		"/api/tokens/{id}":     {"get"},
	} {
		for _, m := range methods {
			op := doc.Paths[path][m]
			if op == nil || op["responses"] == nil || op["operationId"] == nil {
				t.Errorf("%s %s is described as %v, want an operation", m, path, op)
			}
		}
	}
	note := doc.Components.Schemas["Note"].Properties
	if note["text"] == nil || note["link"] == nil || note["pending"] == nil {
		t.Errorf("a note has the properties %v, want its own and the envelope's", note)
	}
	if doc.Components.Schemas["Problem"].Properties["hint"] == nil {
		t.Error("problems are not described")
	}
}

func TestOpenAPIDescribesOnlyWhatTheCallerMayTouch(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	for name, test := range map[string]struct {
		rules []rest.Rule
		kinds []string
	}{
		"nothing":               {},
		"reading some notes":    {[]rest.Rule{{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read"}, IDs: []string{"a*"}}}, []string{"notes"}},
		"an event only":         {[]rest.Rule{{Kinds: []string{"notes"}, Verbs: []kit.Verb{"star"}}}, []string{"notes"}},
		"two kinds":             {[]rest.Rule{{Kinds: []string{"notes", "roles"}, Verbs: []kit.Verb{"list"}}}, []string{"notes", "roles"}},
		"the numbers of kinds":  {[]rest.Rule{{Kinds: []string{"*"}, Verbs: []kit.Verb{"metrics"}}}, nil},
		"an event of no kind":   {[]rest.Rule{{Kinds: []string{"*"}, Verbs: []kit.Verb{"invented"}}}, nil},
		"what no role can give": {[]rest.Rule{{Kinds: []string{"audit"}, Verbs: []kit.Verb{"create"}}}, nil},
	} {
		subject := "users/" + strings.ReplaceAll(name, " ", "-")
		if test.rules != nil {
			c.Allow(subject, test.rules...)
		}
		res, body := call(t, "GET", c.URL()+"/api/openapi.json", "", "Authorization: Bearer "+c.Token(subject))
		var doc struct {
			Tags  []struct{ Name string }
			Paths map[string]any
		}
		if err := json.Unmarshal([]byte(body), &doc); err != nil || res.StatusCode != 200 {
			t.Fatalf("%s: %d, %v", name, res.StatusCode, err)
		}
		var kinds []string
		for _, tag := range doc.Tags {
			kinds = append(kinds, tag.Name)
		}
		if !slices.Equal(kinds, test.kinds) || doc.Paths["/api/batch"] == nil {
			t.Errorf("%s: the kinds are %q and the paths %v, want %q, and batches", name, kinds, slices.Sorted(maps.Keys(doc.Paths)), test.kinds)
		}
		if len(test.kinds) == 0 && strings.Contains(body, "notes") {
			t.Errorf("%s: notes are in %s", name, body)
		}
	}
}

func TestMetricsCountRequestsAndDocuments(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	bearer := "Authorization: Bearer " + c.Token("users/admin")
	call(t, "POST", c.URL()+"/api/notes", `{"text":"a"}`, bearer)
	call(t, "GET", c.URL()+"/api/notes/none", "", bearer)
	call(t, "GET", c.URL()+"/api/invented", "", bearer)
	call(t, "POST", c.URL()+"/api/notes/1:invented", "", bearer)
	_, body := call(t, "GET", c.URL()+"/metrics", "", bearer)
	for _, want := range []string{
		`landfall_requests_total{code="201",kind="notes",verb="create"} 1`,
		`landfall_requests_total{code="404",kind="notes",verb="read"} 1`,
		`landfall_requests_total{code="404",kind="unknown",verb="unknown"} 1`,
		`landfall_requests_total{code="404",kind="notes",verb="unknown"} 1`,
		`landfall_documents{kind="notes"} 1`,
		`landfall_request_seconds_count{kind="notes",verb="create"} 1`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(body, "invented") {
		t.Error("the metrics have labels that a client made up")
	}
}
