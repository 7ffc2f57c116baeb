package rest_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

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
	others := store.NewKinds()
	behind := rest.New(rest.Options{Store: store.New(others), Kinds: others, Node: f, Secret: []byte("s"), Tracer: provider})
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

// headers remembers those of the last request.
type headers struct{ last http.Header }

func (h *headers) RoundTrip(r *http.Request) (*http.Response, error) {
	h.last = r.Header.Clone()
	return http.DefaultTransport.RoundTrip(r)
}
