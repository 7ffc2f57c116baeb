package rest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

func TestTraceGoesThroughAllNodes(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	provider := trace.NewTracerProvider(trace.WithSyncer(spans))
	kinds := store.NewKinds()
	main := store.New(kinds)
	lead := rest.New(rest.Options{Store: main, Kinds: kinds, Node: &leaderNode{store: main}, Secret: []byte("s"), Tracer: provider})
	lead.Add(kittest.NotesService())
	leader := httptest.NewServer(lead)
	t.Cleanup(leader.Close)
	token, err := rest.Bootstrap(t.Context(), lead.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{}
	f.url.Store(&leader.URL)
	behind := rest.New(rest.Options{Store: main, Kinds: store.NewKinds(), Node: f, Secret: []byte("s"), Tracer: provider})
	front := httptest.NewServer(behind)
	t.Cleanup(front.Close)
	spans.Reset()

	const caller = "4bf92f3577b34da6a3ce929d0e0e4736"
	call(t, "POST", front.URL+"/api/notes?id=a", "{}", "Authorization: Bearer "+token, "traceparent: 00-"+caller+"-00f067aa0ba902b7-01")
	byName := map[string][]tracetest.SpanStub{}
	parents := map[string]string{} // of each span
	for _, s := range spans.GetSpans() {
		if s.SpanContext.TraceID().String() == caller {
			byName[s.Name] = append(byName[s.Name], s)
			parents[s.SpanContext.SpanID().String()] = s.Parent.SpanID().String()
		}
	}
	if len(byName["POST"]) != 2 || len(byName["forward"]) != 1 || len(byName["write"]) != 1 {
		t.Fatalf("the caller's trace has %d requests, %d forwarded, %d writes, want 2, 1 and 1", len(byName["POST"]), len(byName["forward"]), len(byName["write"]))
	}
	depth := 0
	for at := byName["write"][0].SpanContext.SpanID().String(); at != "00f067aa0ba902b7"; at = parents[at] {
		if depth++; depth > 4 {
			t.Fatalf("the write's span is not inside of the caller's: %v", parents)
		}
	}
	if depth != 4 {
		t.Errorf("the write's span is %d deep, want 4: write, request, forward, request", depth)
	}
	// A server without a tracer passes the trace on: here from a service's
	// context to the request that its client makes.
	plain := kittest.Serve(t, kittest.NotesService())
	spans.Reset()
	ctx, span := provider.Tracer("test").Start(t.Context(), "outside")
	via := &headers{}
	client, err := rest.NewClient(plain.URL(), plain.Token("users/admin"), rest.ClientOptions{Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(ctx, "notes", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	span.End()
	if got := via.last.Get("traceparent"); !strings.Contains(got, span.SpanContext().TraceID().String()) {
		t.Errorf("the client sent traceparent %q, want that of its context", got)
	}
}

func TestStatsTellHowOftenAndHowFast(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	bearer := "Authorization: Bearer " + c.Token("users/admin")
	call(t, "POST", c.URL()+"/api/notes", `{"text":"a"}`, bearer)
	call(t, "GET", c.URL()+"/api/notes/none", "", bearer)
	for _, path := range []string{"/stats?kind=notes", "/api/notes:stats", "/stats"} {
		_, body := call(t, "GET", c.URL()+path, "", bearer)
		var s rest.Stats
		if err := json.Unmarshal([]byte(body), &s); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		found := false
		for _, k := range s.Kinds {
			if k.Kind != "notes" {
				continue
			}
			found = true
			if k.Documents != 1 || len(k.Verbs) != 2 || k.Verbs[0].Verb != "create" || k.Verbs[0].Seconds == nil || k.Verbs[1].Codes["404"] != 1 {
				t.Errorf("%s: got %+v, want a document, a create with its time, and a read of nothing", path, k)
			}
		}
		if !found || path != "/stats" && len(s.Kinds) != 1 {
			t.Errorf("%s tells of %d kinds", path, len(s.Kinds))
		}
	}
	if res, body := call(t, "GET", c.URL()+"/stats?kind=nots", "", bearer); res.StatusCode != 404 || !strings.Contains(body, "nots") {
		t.Errorf("stats of an unknown kind: %d %s, want 404", res.StatusCode, body)
	}
	if res, _ := call(t, "GET", c.URL()+"/stats", ""); res.StatusCode != 401 {
		t.Errorf("stats without a token: %d, want 401", res.StatusCode)
	}
}

func TestStatisticsAreOfTheKindsThatTheCallerMayList(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	if _, err := kittest.Notes.Create(t.Context(), c.Admin(), "a", kittest.Note{}); err != nil {
		t.Fatal(err)
	}
	rule := func(v kit.Verb, filter string, kinds ...string) rest.Rule {
		return rest.Rule{Kinds: kinds, Verbs: []kit.Verb{v}, Filter: filter}
	}
	for _, test := range []struct {
		name               string
		rules              []rest.Rule
		index, stats       string // the kinds and the numbers of their documents
		metrics            int
		counted, uncounted []string
	}{
		{"no role", nil, "", "", 403, nil, []string{"landfall_"}},
		{"a role that lists nothing", []rest.Rule{rule("create", "", "*")}, "", "", 403, nil, []string{"landfall_"}},
		{"a role for the notes", []rest.Rule{rule("list", "", "notes", "groups")}, "groups 0 notes 1 ", "groups 0 notes 1 ", 200, []string{"documents{kind=\"notes\"} 1", "verb=\"create\""}, []string{"tokens", "roles"}},
		{"a role for some notes", []rest.Rule{rule("list", "!sealed", "notes")}, "notes -1 ", "notes -1 ", 403, nil, []string{"landfall_"}},
		{"a role that scrapes", []rest.Rule{rule("metrics", "", "*")}, "", "", 200, []string{"documents{kind=\"notes\"} 1", "documents{kind=\"tokens\"}", "go_goroutines"}, nil},
	} {
		subject := "users/" + strings.ReplaceAll(test.name, " ", "-")
		if test.rules != nil {
			c.Allow(subject, test.rules...)
		}
		bearer := "Authorization: Bearer " + c.Token(subject)
		var index struct {
			Subject string
			Kinds   []struct {
				Kind  string
				Count int
			}
		}
		var told rest.Stats
		for path, to := range map[string]any{"/api/": &index, "/stats": &told} {
			res, body := call(t, "GET", c.URL()+path, "", bearer)
			if err := json.Unmarshal([]byte(body), to); err != nil || res.StatusCode != 200 {
				t.Fatalf("%s: %s: %d %s", test.name, path, res.StatusCode, body)
			}
		}
		var kinds, counts string
		for _, k := range index.Kinds {
			kinds += fmt.Sprintf("%s %d ", k.Kind, k.Count)
		}
		for _, k := range told.Kinds {
			counts += fmt.Sprintf("%s %d ", k.Kind, k.Documents)
		}
		if index.Subject != subject || kinds != test.index || counts != test.stats {
			t.Errorf("%s: %s is told of %q and %q, want %q and %q", test.name, index.Subject, kinds, counts, test.index, test.stats)
		}
		want := map[bool]int{true: 200, false: 403}[strings.Contains(test.stats, "notes")]
		if res, body := call(t, "GET", c.URL()+"/stats?kind=notes", "", bearer); res.StatusCode != want {
			t.Errorf("%s: the statistics of the notes: %d %s, want %d", test.name, res.StatusCode, body, want)
		}
		res, body := call(t, "GET", c.URL()+"/metrics", "", bearer)
		if res.StatusCode != test.metrics {
			t.Errorf("%s: the metrics: %d %s, want %d", test.name, res.StatusCode, body, test.metrics)
		}
		for _, want := range test.counted {
			if !strings.Contains(body, want) {
				t.Errorf("%s: the metrics lack %s", test.name, want)
			}
		}
		for _, not := range test.uncounted {
			if strings.Contains(body, not) {
				t.Errorf("%s: the metrics have %s", test.name, not)
			}
		}
	}
}

// headers remembers those of the last request.
type headers struct{ last http.Header }

func (h *headers) RoundTrip(r *http.Request) (*http.Response, error) {
	h.last = r.Header.Clone()
	return http.DefaultTransport.RoundTrip(r)
}
