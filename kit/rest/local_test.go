package rest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

func TestLargeAnswerInTheProcessIsStreamed(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	text := strings.Repeat("x", 500_000)
	for range 3 {
		if _, err := c.Admin().Create(t.Context(), "notes", "", []byte(`{"text":"`+text+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	client, err := rest.NewClient("http://any", "", rest.ClientOptions{Transport: c.Server.HTTP("users/admin").Transport})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for note, err := range kittest.Notes.All(t.Context(), client, "", "") {
		if err != nil || note.Text != text {
			t.Fatalf("%s has %d bytes, %v, want %d", note.Link, len(note.Text), err, len(text))
		}
		n++
	}
	if n != 3 {
		t.Errorf("listed %d notes, want 3", n)
	}
}

func TestKindOrMethodWithATakenNameIsRefused(t *testing.T) {
	for name, s := range map[string]kit.Service{
		"kind batch":      {Name: "a", Owns: []kit.Owned{kit.Own(kit.Define[kittest.Note]("batch"), nil)}},
		"method delete":   {Name: "a", Owns: []kit.Owned{kit.Own(kit.Define[kittest.Note]("cards"), nil, "delete")}},
		"kind of another": {Name: "a", Owns: []kit.Owned{kit.Own(kittest.Notes, nil)}},
		"service":         {Name: "notes"},
		"route of another": {Name: "a", Serves: []kit.Route{
			{Pattern: "/x", Handler: http.NotFoundHandler()}, {Pattern: "/x", Handler: http.NotFoundHandler()},
		}},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: accepted, want a panic", name)
				}
			}()
			kittest.Serve(t, kittest.NotesService(), s)
		}()
	}
}

func TestAccessDocumentsMustBeComplete(t *testing.T) {
	c := kittest.Serve(t)
	for name, body := range map[string]string{
		"a token without a hash":    `{"subject":"users/ada"}`,
		"a token of nobody":         `{"subject":"ada","hash":"` + strings.Repeat("0", 64) + `"}`,
		"a role without verbs":      `{"subjects":["users/ada"],"rules":[{"kinds":["notes"]}]}`,
		"a group with a wrong name": `{"members":["ada"]}`,
	} {
		kind := strings.Fields(name)[1] + "s"
		if _, err := c.Admin().Create(t.Context(), kind, "", []byte(body)); !errors.Is(err, kit.ErrInvalid) {
			t.Errorf("%s: %v, want invalid", name, err)
		}
	}
}

// faulty is a leader whose first writes fail with the faults, or panic for 0.
type faulty struct {
	recorder
	faults []kit.Fault
	asked  int
}

func (f *faulty) Write(ctx context.Context, p store.Proposal) ([]kit.Record, error) {
	f.asked++
	if f.asked > len(f.faults) {
		return f.recorder.Write(ctx, p)
	}
	if f.faults[f.asked-1] == 0 {
		panic("a defect")
	}
	return nil, &kit.Error{Fault: f.faults[f.asked-1], Err: errors.New("a cause")}
}

// served returns a server at the node.
func served(t *testing.T, n rest.Node, o rest.Options) *rest.Server {
	t.Helper()
	kinds := store.NewKinds()
	o.Store, o.Kinds, o.Node = store.New(kinds), kinds, n
	o.Logger = kittest.Log(t, slog.LevelInfo)
	s := rest.New(o)
	s.Add(kittest.NotesService())
	return s
}

func TestCallInTheProcessIsTriedAgain(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults []kit.Fault
		key    string
		want   kit.Fault
		asked  int
	}{
		{"nothing was done", []kit.Fault{kit.ErrUnavailable}, "", 0, 2},
		{"fenced", []kit.Fault{kit.ErrFenced}, "", 0, 2},
		{"nothing was done, then stale", []kit.Fault{kit.ErrUnavailable, kit.ErrStale}, "", kit.ErrStale, 2},
		{"unknown, without a key", []kit.Fault{kit.ErrTimeout}, "", kit.ErrTimeout, 1},
		{"unknown, with a key", []kit.Fault{kit.ErrTimeout}, "k", 0, 2},
		{"unknown, then stale", []kit.Fault{kit.ErrTimeout, kit.ErrStale}, "k", kit.ErrTimeout, 2},
		{"stale", []kit.Fault{kit.ErrStale}, "k", kit.ErrStale, 1},
		{"a defect", []kit.Fault{kit.ErrInternal}, "k", kit.ErrInternal, 1},
		{"a panic", []kit.Fault{0}, "k", kit.ErrInternal, 1},
	} {
		node := &faulty{faults: test.faults}
		c := served(t, node, rest.Options{}).Client("services/notes")
		_, err := c.Update(t.Context(), "notes/a", []byte(`{}`), 0, kit.Once(test.key))
		if kit.FaultOf(err) != test.want || node.asked != test.asked {
			t.Errorf("%s: %v after %d attempts, want %v after %d", test.name, err, node.asked, test.want, test.asked)
		}
		if err != nil && strings.Contains(err.Error(), "a cause") {
			t.Errorf("%s: the error tells its cause: %v", test.name, err)
		}
	}
}

func TestCallInTheProcessEndsWithItsContext(t *testing.T) {
	node := &faulty{}
	c := served(t, node, rest.Options{}).Client("services/notes")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, err := range map[string]error{
		"read":   second(c.Read(ctx, "notes/a", kit.ReadOptions{})),
		"update": second(c.Update(ctx, "notes/a", []byte(`{}`), 0)),
	} {
		if !errors.Is(err, kit.ErrTimeout) || !errors.Is(err, context.Canceled) || node.asked > 0 {
			t.Errorf("%s that was given up: %v, %d proposals, want a timeout that was canceled and none", name, err, node.asked)
		}
	}
}

// What is wrong is told in the same words in the process and over HTTP.
func TestErrorsInTheProcessAreThoseOverHTTP(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx := t.Context()
	if _, err := c.Admin().Create(ctx, "notes", "a", []byte(`{"text":"a"}`)); err != nil {
		t.Fatal(err)
	}
	c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read", "update", "list", "star"}, Filter: "!sealed"})
	large := []byte(`{"text":"` + strings.Repeat("x", kit.MaxDocument) + `"}`)
	for _, subject := range []string{"users/admin", "users/ada", "users/eve"} {
		far, err := rest.NewClient(c.URL(), c.Token(subject), rest.ClientOptions{Patience: -1})
		if err != nil {
			t.Fatal(err)
		}
		near := c.Client(subject)
		for name, do := range map[string]func(kit.Client) error{
			"a wrong kind":             func(c kit.Client) error { return second(c.Create(ctx, "No", "", nil)) },
			"a wrong id":               func(c kit.Client) error { return second(c.Create(ctx, "notes", "a b", []byte(`{}`))) },
			"an unknown kind":          func(c kit.Client) error { return second(c.Read(ctx, "nots/a", kit.ReadOptions{})) },
			"nothing":                  func(c kit.Client) error { return second(c.Create(ctx, "notes", "x", nil)) },
			"nothing, with no id":      func(c kit.Client) error { return second(c.Create(ctx, "notes", "", nil)) },
			"broken JSON":              func(c kit.Client) error { return second(c.Update(ctx, "notes/a", []byte("{\n oops}"), 0)) },
			"broken JSON of a new one": func(c kit.Client) error { return second(c.Create(ctx, "notes", "x", []byte("{"))) },
			"too much":                 func(c kit.Client) error { return second(c.Update(ctx, "notes/a", large, 0)) },
			"another kind's link":      func(c kit.Client) error { return second(c.Create(ctx, "notes", "", []byte(`{"link":"roles/a"}`))) },
			"a wrong version":          func(c kit.Client) error { return c.Delete(ctx, "notes/a", 7) },
			"what there is":            func(c kit.Client) error { return second(c.Create(ctx, "notes", "a", []byte(`{}`))) },
			"what there is not":        func(c kit.Client) error { return second(c.Read(ctx, "notes/none", kit.ReadOptions{})) },
			"an unknown method":        func(c kit.Client) error { return second(c.Do(ctx, "notes/a", "sar", nil)) },
			"no method":                func(c kit.Client) error { return second(c.Do(ctx, "notes/a", "", nil)) },
			"a built-in method":        func(c kit.Client) error { return second(c.Do(ctx, "notes/a", "update", []byte(`{"text"`))) },
			"a reserved method":        func(c kit.Client) error { return second(c.Do(ctx, "notes/a", "~ack", []byte(`{"id":"x"}`))) },
			"a wrong durability":       func(c kit.Client) error { return c.Delete(ctx, "notes/a", 7, kit.Acknowledged("most")) },
			"a wrong key":              func(c kit.Client) error { return c.Delete(ctx, "notes/a", 7, kit.Once("a b")) },
			"an empty batch":           func(c kit.Client) error { _, err := c.Batch(ctx, nil); return err },
			"a batch with a read": func(c kit.Client) error {
				_, err := c.Batch(ctx, []kit.Write{{Verb: "read", Link: "notes/a"}})
				return err
			},
			"a wrong filter": func(c kit.Client) error {
				_, err := c.List(ctx, kit.Query{Kind: "notes", Filter: "sars > 1"})
				return err
			},
			"a wrong consistency": func(c kit.Client) error { return second(c.Read(ctx, "notes/a", kit.ReadOptions{Consistency: "good"})) },
			"a position to come": func(c kit.Client) error {
				return second(c.Read(ctx, "notes/a", kit.ReadOptions{AsOf: kit.Position{Epoch: 1, Seq: 1}}))
			},
			"more than a page":      func(c kit.Client) error { _, err := c.List(ctx, kit.Query{Kind: "notes", Limit: 1001}); return err },
			"sealing by an update":  func(c kit.Client) error { return second(c.Update(ctx, "notes/a", []byte(`{"sealed":true}`), 7)) },
			"a group for every one": func(c kit.Client) error { return second(c.Create(ctx, "groups", "g", []byte(`{"members":["x"]}`))) },
		} {
			got, want := do(near), do(far)
			if want == nil || kit.FaultOf(got) != kit.FaultOf(want) {
				t.Errorf("%s, %s: %v in the process, %v over HTTP", subject, name, got, want)
			} else if name != "more than a page" && got.Error() != want.Error() {
				t.Errorf("%s, %s: in the process %q\nover HTTP %q", subject, name, got, want)
			}
		}
	}
}

func TestRecordsInTheProcessAreTheCallersOwn(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx, client := t.Context(), c.Client("services/notes")
	body := []byte(`{"text":"abc"}`)
	created, err := client.Create(ctx, "notes", "a", body)
	if err != nil {
		t.Fatal(err)
	}
	clear(body)
	clear(created.Body)
	for range 2 {
		r, err := client.Read(ctx, "notes/a", kit.ReadOptions{})
		if err != nil || string(r.Body) != `{"text":"abc"}` {
			t.Fatalf("read %s, %v, want what was written", r.Body, err)
		}
		clear(r.Body)
		p, err := client.List(ctx, kit.Query{Kind: "notes"})
		if err != nil || string(p.Items[0].Body) != `{"text":"abc"}` {
			t.Fatalf("listed %s, %v, want what was written", p.Items[0].Body, err)
		}
		clear(p.Items[0].Body)
	}
	// A write that is not waited for is decided on later.
	node := &recorder{}
	late := []byte(`{"text":"late"}`)
	if _, err := served(t, node, rest.Options{}).Client("services/notes").Update(ctx, "notes/a", late, 0, kit.Acknowledged(kit.Async)); err != nil {
		t.Fatal(err)
	}
	clear(late)
	if got := string(node.last.Writes[0].Body); got != `{"text":"late"}` {
		t.Errorf("after the call its body became %q", got)
	}
}

func TestCallsInTheProcessAreCountedTracedAndRecorded(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx, admin := t.Context(), c.Admin()
	if _, err := admin.Create(ctx, "notes", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(ctx, "notes/a", 0); err != nil {
		t.Fatal(err)
	}
	_, _ = admin.Read(ctx, "notes/a", kit.ReadOptions{Consistency: kit.Eventual})
	_, _ = c.Client("users/eve").List(ctx, kit.Query{Kind: "notes"})
	if r := told(t, c, "users/eve list notes/ 403"); r.Remote != "localhost" || r.Request == "" || !strings.Contains(r.Reason, "may not list") {
		t.Errorf("recorded %+v, want where the call came from, its id and the reason", r)
	}
	_, metrics := call(t, "GET", c.URL()+"/metrics", "", "Authorization: Bearer "+c.Token("users/admin"))
	told(t, c, "users/admin create tokens/"+tokenID(c.Token("users/admin"))+" 201")
	for _, want := range []string{
		`landfall_requests_total{code="201",kind="notes",verb="create"} 1`,
		`landfall_requests_total{code="204",kind="notes",verb="delete"} 1`,
		`landfall_requests_total{code="404",kind="notes",verb="read"} 1`,
		`landfall_requests_total{code="403",kind="notes",verb="list"} 1`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}

	spans := tracetest.NewInMemoryExporter()
	s := served(t, &recorder{}, rest.Options{Tracer: trace.NewTracerProvider(trace.WithSyncer(spans))})
	if _, err := s.Client("services/notes").Create(ctx, "notes", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	got := spans.GetSpans()
	if len(got) != 2 || got[0].Name != "write" || got[1].Name != "create" || got[0].Parent.SpanID() != got[1].SpanContext.SpanID() {
		t.Errorf("a call has the spans %v, want a write in a create", got)
	}
}
