package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/rest/calls"
	"landfall.dev/kit/store"
)

// one is a call as a request of its own.
type one struct {
	name, method, path, body string
	header                   string // "Name: value"
	status                   int
}

// together sends the calls in one request and returns the answers by the
// calls' indices.
func together(t *testing.T, url string, cs []one, headers ...string) map[int]calls.Answer {
	t.Helper()
	var body []byte
	for i, c := range cs {
		line := calls.Call{ID: i, Method: c.method, Path: c.path, Header: http.Header{}, Body: []byte(c.body)}
		if name, value, ok := strings.Cut(c.header, ": "); ok {
			line.Header.Set(name, value)
		}
		body = line.Append(body)
	}
	res, text := call(t, "POST", url+calls.Path, string(body), headers...)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != calls.ContentType {
		t.Fatalf("the request was answered by %d %s: %s", res.StatusCode, res.Header.Get("Content-Type"), text)
	}
	answers := map[int]calls.Answer{}
	for line := range strings.Lines(text) {
		a, err := calls.ReadAnswer([]byte(line))
		if err != nil {
			t.Fatalf("the answer %q: %v", line, err)
		}
		answers[a.ID] = a
	}
	if len(answers) != len(cs) {
		t.Fatalf("%d of %d calls were answered: %s", len(answers), len(cs), text)
	}
	return answers
}

// filled returns a cluster with some notes, of which ada may see the starred
// ones and star all.
func filled(t *testing.T) *kittest.Cluster {
	t.Helper()
	c := kittest.Serve(t, kittest.NotesService())
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		if _, err := c.Admin().Create(t.Context(), "notes", id, []byte(`{"text":"`+id+`"}`)); err != nil {
			t.Fatal(err)
		}
	}
	for _, do := range []string{"b:star", "e:seal"} {
		id, method, _ := strings.Cut(do, ":")
		if _, err := c.Admin().Do(t.Context(), kittest.Notes.Link(id), method, nil); err != nil {
			t.Fatal(err)
		}
	}
	c.Allow("users/ada", rest.Rule{Kinds: []string{"notes"}, Verbs: []kit.Verb{"read"}, Filter: "stars > 0"})
	return c
}

func TestCallsComeToWhatRequestsOfTheirOwnComeTo(t *testing.T) {
	admins := []one{
		{"create", "POST", "/api/notes?id=new", `{"text":"new"}`, "Idempotency-Key: k1", 201},
		{"create what there is", "POST", "/api/notes?id=a", `{"text":"a"}`, "", 409},
		{"create from nothing", "POST", "/api/notes?id=x", "", "", 400},
		{"create too large a document", "POST", "/api/notes", `{"text":"` + strings.Repeat("x", kit.MaxDocument) + `"}`, "", 413},
		{"read", "GET", "/api/notes/b", "", "", 200},
		{"read what there is not", "GET", "/api/notes/none", "", "", 404},
		{"read by a wrong consistency", "GET", "/api/notes/b?consistency=good", "", "", 400},
		{"read, eventual", "GET", "/api/notes/b?consistency=eventual", "", "", 200},
		{"read from a position that is none", "GET", "/api/notes/b?consistency=eventual", "", "Landfall-Position: last week", 400},
		{"read by a wrong id", "GET", "/api/notes/b%20b", "", "", 400},
		{"update", "PATCH", "/api/notes/a", `{"text":"c"}`, `If-Match: "1"`, 200},
		{"update of another version", "PATCH", "/api/notes/b", `{"text":"d"}`, `If-Match: "1"`, 412},
		{"update by a wrong type", "PATCH", "/api/notes/b", `{"text":"d"}`, `Content-Type: text/plain`, 400},
		{"update that does not wait", "PATCH", "/api/notes/c?durability=async", `{"text":"d"}`, "", 202},
		{"update of what is sealed", "PATCH", "/api/notes/e", `{"text":"d"}`, "", 409},
		{"event", "POST", "/api/notes/d:star", `{"count":2}`, "", 200},
		{"event that there is not", "POST", "/api/notes/d:shine", "", "", 404},
		{"unknown kind", "GET", "/api/nots/a", "", "", 404},
		{"delete of another version", "DELETE", "/api/notes/b", "", `If-Match: "7"`, 412},
		{"list", "GET", "/api/notes?filter=text=='b'", "", "", 200},
	}
	adas := []one{
		{"read what passes the filter", "GET", "/api/notes/b", "", "", 200},
		{"read what does not", "GET", "/api/notes/a", "", "", 403},
		{"read what there is not", "GET", "/api/notes/none", "", "", 404},
		{"write", "PATCH", "/api/notes/b", `{"text":"mine"}`, "", 403},
		{"delete", "DELETE", "/api/notes/b", "", "", 403},
	}
	for subject, cs := range map[string][]one{"users/admin": admins, "users/ada": adas} {
		apart, joint := filled(t), filled(t)
		answers := together(t, joint.URL(), cs, "Authorization: Bearer "+joint.Token(subject))
		bearer := "Authorization: Bearer " + apart.Token(subject)
		for i, c := range cs {
			headers := []string{bearer}
			if c.header != "" {
				headers = append(headers, c.header)
			}
			res, body := call(t, c.method, apart.URL()+c.path, c.body, headers...)
			got := answers[i]
			if res.StatusCode != c.status || got.Status != c.status {
				t.Errorf("%s: alone %d %s, with others %d %s, want %d", c.name, res.StatusCode, body, got.Status, got.Body, c.status)
			}
			for _, name := range []string{"Etag", "Location", "Retry-After"} {
				if got.Header.Get(name) != res.Header.Get(name) {
					t.Errorf("%s: %s alone is %q, with others %q", c.name, name, res.Header.Get(name), got.Header.Get(name))
				}
			}
			if c.status >= 400 && string(got.Body) != strings.TrimSpace(body) {
				t.Errorf("%s: alone %s, with others %s", c.name, body, got.Body)
			}
			if got.Header.Get("Landfall-Position") == "" {
				t.Errorf("%s: the answer has no position", c.name)
			}
		}
		if subject == "users/ada" {
			told(t, joint, "users/ada update notes/b 403")
		}
	}
}

func TestRequestOfCallsIsRefusedAsAWhole(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	admin := "Authorization: Bearer " + c.Token("users/admin")
	const good = `{"id":1,"method":"DELETE","path":"/api/notes/a"}` + "\n"
	if _, err := c.Admin().Create(t.Context(), "notes", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		method, body, header, want string
		status                     int
	}{
		"nobody's":           {"POST", good, "", "token", 401},
		"with a wrong token": {"POST", good, "Authorization: Bearer lf_a_b", "token", 401},
		"read":               {"GET", "", admin, "by POST", 400},
		"with a bad line":    {"POST", good + "{", admin, "line 2 is no call", 400},
		"empty":              {"POST", "", admin, "no calls", 400},
		"too large":          {"POST", good + strings.Repeat(" ", 8<<20), admin, "more than 8388608 bytes", 413},
		"from another site":  {"POST", good, "Sec-Fetch-Site: cross-site", "another site", 403},
	} {
		var headers []string
		if test.header != "" {
			headers = append(headers, test.header)
		}
		res, body := call(t, test.method, c.URL()+calls.Path, test.body, headers...)
		if res.StatusCode != test.status || !strings.Contains(body, test.want) {
			t.Errorf("%s: %d %s, want %d with %q", name, res.StatusCode, body, test.status, test.want)
		}
	}
	if _, err := c.Admin().Read(t.Context(), "notes/a", kit.ReadOptions{}); err != nil {
		t.Errorf("a call of a request that was refused was made: %v", err)
	}
	told(t, c, " POST "+calls.Path+" 401")
}

func TestCallsCountAsRequestsOfTheirOwn(t *testing.T) {
	c := filled(t)
	url := limited(t, c, rest.Limit{Requests: 0.001, Burst: 5}, 0)
	admin := "Authorization: Bearer " + c.Token("users/admin")
	var reads []one
	for range 8 {
		reads = append(reads, one{method: "GET", path: "/api/notes/b"})
	}
	count := map[int]int{}
	for _, a := range together(t, url, reads, admin) {
		count[a.Status]++
		if a.Status == 429 && a.Header.Get("Retry-After") == "" {
			t.Errorf("the answer %s does not say when to try again", a.Body)
		}
	}
	if fmt.Sprint(count) != "map[200:5 429:3]" {
		t.Errorf("8 calls where 5 requests are allowed came to %v", count)
	}
}

func TestCallsAreFencedOneByOne(t *testing.T) {
	c := filled(t)
	token := c.Token("users/admin")
	if _, err := c.Write(t.Context(), store.Proposal{Fence: &store.Fence{On: true}}); err != nil {
		t.Fatal(err)
	}
	answers := together(t, c.URL(), []one{{method: "GET", path: "/api/notes/b"}, {method: "DELETE", path: "/api/notes/b"}}, "Authorization: Bearer "+token)
	if answers[0].Status != 200 || answers[1].Status != 421 {
		t.Errorf("behind a fence a read came to %d and a write to %d, want 200 and 421", answers[0].Status, answers[1].Status)
	}
	// A front door sees it if nothing can have been done, and sends them on.
	write := string(calls.Call{Method: "DELETE", Path: "/api/notes/b"}.Append(nil))
	if res, body := call(t, "POST", c.URL()+calls.Path, write, "Authorization: Bearer "+token); res.StatusCode != 421 {
		t.Errorf("writes only: %d %s, want 421 for the whole request", res.StatusCode, body)
	}
}

func TestCallsBelongToTheTraceOfTheirCaller(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	kinds := store.NewKinds()
	own := store.New(kinds)
	s := rest.New(rest.Options{Store: own, Kinds: kinds, Node: &leaderNode{store: own}, Tracer: trace.NewTracerProvider(trace.WithSyncer(spans))})
	s.Add(kittest.NotesService())
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	token, err := rest.Bootstrap(t.Context(), s.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	spans.Reset()
	const caller = "4bf92f3577b34da6a3ce929d0e0e4736"
	together(t, server.URL, []one{
		{method: "POST", path: "/api/notes", body: `{}`, header: "Traceparent: 00-" + caller + "-00f067aa0ba902b7-01"},
		{method: "POST", path: "/api/notes", body: `{}`},
	}, "Authorization: Bearer "+token)
	writes := map[bool]int{}
	for _, s := range spans.GetSpans() {
		if s.Name == "write" {
			writes[s.SpanContext.TraceID().String() == caller]++
		}
	}
	if writes[true] != 1 || writes[false] != 1 {
		t.Errorf("%d writes are in the caller's trace and %d are not, want one each", writes[true], writes[false])
	}
}

func TestFollowerPassesCallsOnTogether(t *testing.T) {
	lead, f, s, token := pair(t, "between us")
	var requests atomic.Int32
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		lead.Config.Handler.ServeHTTP(w, r)
	}))
	t.Cleanup(between.Close)
	f.url.Store(&between.URL)
	front := httptest.NewServer(s)
	t.Cleanup(front.Close)
	bearer := "Authorization: Bearer " + token
	// The follower's store is empty: it does not even know the token.
	mixed := []one{
		{"create", "POST", "/api/notes?id=a", `{"text":"a"}`, "", 201},
		{"create another", "POST", "/api/notes?id=b", `{"text":"b"}`, "", 201},
		{"read", "GET", "/api/notes/none", "", "", 404},
	}
	for i, a := range together(t, front.URL, mixed, bearer) {
		if a.Status != mixed[i].status {
			t.Errorf("%s by a token that the follower does not know: %d %s, want %d", mixed[i].name, a.Status, a.Body, mixed[i].status)
		}
	}
	// A service of the process is known, and sees here what is here: nothing.
	service := s.HTTP("services/notes")
	ask := func(want string) {
		t.Helper()
		var body []byte
		for i, c := range []one{
			{method: "GET", path: "/api/notes/a"}, {method: "GET", path: "/api/notes/a?consistency=eventual"},
			{method: "PATCH", path: "/api/notes/a", body: `{"text":"c"}`}, {method: "GET", path: "/api/notes?consistency=good"},
		} {
			body = calls.Call{ID: i, Method: c.method, Path: c.path, Body: []byte(c.body)}.Append(body)
		}
		res, err := service.Post("http://any"+calls.Path, calls.ContentType, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		statuses := map[int]int{}
		for line := range bytes.Lines(text) {
			a, err := calls.ReadAnswer(line)
			if err != nil {
				t.Errorf("the answer %q: %v", line, err)
			}
			statuses[a.ID] = a.Status
		}
		if got := fmt.Sprint(statuses); got != want {
			t.Errorf("a service's calls were answered by %s, want %s: %s", got, want, text)
		}
	}
	before := requests.Load()
	ask("map[0:200 1:404 2:200 3:400]")
	if got := requests.Load() - before; got != 1 {
		t.Errorf("the leader got %d requests, want one", got)
	}
	res, err := service.Get("http://any/stats?kind=notes")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var told rest.Stats
	if err := json.NewDecoder(res.Body).Decode(&told); err != nil || len(told.Kinds) != 1 {
		t.Fatalf("stats: %+v, %v", told, err)
	}
	counts := map[string]uint64{}
	for _, v := range told.Kinds[0].Verbs {
		counts[v.Verb] = v.Count
	}
	if fmt.Sprint(counts) != "map[list:1 read:2 update:1]" {
		t.Errorf("the follower has counted %v, want each call", counts)
	}
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(cut.Close)
	f.url.Store(&cut.URL)
	ask("map[0:503 1:404 2:504 3:400]")
	none := ""
	f.url.Store(&none)
	ask("map[0:503 1:404 2:503 3:400]")
}

func TestCallsNeverReadWhatIsOlderThanTheirSenderHasSeen(t *testing.T) {
	leader, behind, _, catchUp := laggard(t)
	catchUp()
	if _, err := leader.Admin().Create(t.Context(), "nearby", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	seen := leader.Store.Position().String()
	for name, header := range map[string]http.Header{
		"a call's own": {"Landfall-Position": {seen}}, "that of the request": {},
	} {
		line := calls.Call{Method: "GET", Path: "/api/nearby/a", Header: header}.Append(nil)
		r, err := http.NewRequestWithContext(t.Context(), "POST", "http://any"+calls.Path, bytes.NewReader(line))
		if err != nil {
			t.Fatal(err)
		}
		if len(header) == 0 {
			r.Header.Set("Landfall-Position", seen)
		}
		r.Header.Set("Landfall-Forwarded", "1") // so the leader cannot answer in its place
		res, err := behind.HTTP("services/nearby").Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if a, _ := calls.ReadAnswer(body); err != nil || a.Status != 503 {
			t.Errorf("%s: a node that is behind answered %s, %v, want 503", name, body, err)
		}
	}
}

// meddler answers requests of several calls itself.
type meddler struct {
	several atomic.Int32
	answer  func(r *http.Request) (*http.Response, error)
}

func (m *meddler) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path != calls.Path {
		return http.DefaultTransport.RoundTrip(r)
	}
	m.several.Add(1)
	return m.answer(r)
}

func TestClientThatCoalescesKeepsTheContract(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	client, err := rest.NewClient(c.URL(), c.Token("users/admin"), rest.ClientOptions{Coalesce: true})
	if err != nil {
		t.Fatal(err)
	}
	kittest.ClientContract(t, client)
}

func TestManyCallersShareRequests(t *testing.T) {
	for name, answer := range map[string]func(r *http.Request) (*http.Response, error){
		"by a server that knows calls": http.DefaultTransport.RoundTrip,
		"by one from before": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 404, Body: http.NoBody, Header: http.Header{}}, nil
		},
	} {
		c := kittest.Serve(t, kittest.NotesService())
		via := &meddler{answer: answer}
		client, err := rest.NewClient(c.URL(), c.Token("users/admin"), rest.ClientOptions{Coalesce: true, Transport: via})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var users sync.WaitGroup
		for n := range 32 {
			users.Go(func() {
				for round := 0; round < 3 || via.several.Load() == 0; round++ {
					if err := useNotes(ctx, client, fmt.Sprintf("n%d-%d", n, round)); err != nil {
						t.Errorf("%s: user %d: %v", name, n, err)
						return
					}
				}
			})
		}
		users.Wait()
	}
}

// useNotes makes calls of each kind whose outcome is known.
func useNotes(ctx context.Context, c kit.Client, id string) error {
	link := kittest.Notes.Link(id)
	made, err := c.Create(ctx, "notes", id, []byte("{\n\"text\": \"a\"\n}"))
	if err != nil {
		return err
	}
	if _, err := c.Create(ctx, "notes", id, []byte(`{}`)); !errors.Is(err, kit.ErrConflict) {
		return fmt.Errorf("created what there is: %w", err)
	}
	now, err := c.Update(ctx, link, fmt.Appendf(nil, `{"text":"%s"}`, id), made.Version)
	if err != nil {
		return err
	}
	if _, err := c.Update(ctx, link, []byte(`{"text":`), 0); !errors.Is(err, kit.ErrInvalid) {
		return fmt.Errorf("updated by what is no JSON: %w", err)
	}
	if _, err := c.Update(ctx, link, []byte(`{}`), made.Version); !errors.Is(err, kit.ErrStale) {
		return fmt.Errorf("updated another version: %w", err)
	}
	for _, how := range []kit.Consistency{kit.KindDefault, kit.Eventual, kit.Linearizable} {
		r, err := c.Read(ctx, link, kit.ReadOptions{Consistency: how})
		if err != nil || r.Link != link || r.Version != now.Version || string(r.Body) != string(now.Body) {
			return fmt.Errorf("read %s at %d %s, %w, want %d %s", r.Link, r.Version, r.Body, err, now.Version, now.Body)
		}
	}
	if _, err := c.Do(ctx, link, "star", []byte(`{"count":3}`)); err != nil {
		return err
	}
	if err := c.Delete(ctx, link, 0, kit.Once("delete-"+id)); err != nil {
		return err
	}
	if _, err := c.Read(ctx, link, kit.ReadOptions{}); !errors.Is(err, kit.ErrNotFound) {
		return fmt.Errorf("read what is deleted: %w", err)
	}
	return nil
}

// held is a transport whose requests wait, and break if they have several
// calls.
type held struct {
	wait    chan struct{}
	several atomic.Int32
	alone   atomic.Int32
}

func (h *held) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == calls.Path {
		h.several.Add(1)
		return nil, io.ErrUnexpectedEOF
	}
	h.alone.Add(1)
	<-h.wait
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"link":"notes/a","kind":"notes","version":1}`))}, nil
}

func TestCallWhoseRequestBrokeIsRepeatedAsOneOfItsOwnWouldBe(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(ctx context.Context, c kit.Client) error
		want kit.Fault
	}{
		"a write":            {func(ctx context.Context, c kit.Client) error { return c.Delete(ctx, "notes/a", 0) }, kit.ErrTimeout},
		"a write with a key": {func(ctx context.Context, c kit.Client) error { return c.Delete(ctx, "notes/a", 0, kit.Once("k")) }, 0},
		"a read": {func(ctx context.Context, c kit.Client) error {
			_, err := c.Read(ctx, "notes/a", kit.ReadOptions{})
			return err
		}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			via := &held{wait: make(chan struct{})}
			c, err := rest.NewClient("http://there", "", rest.ClientOptions{Transport: via, Coalesce: true})
			if err != nil {
				t.Fatal(err)
			}
			results := make(chan error, 5)
			for range 4 {
				go func() { results <- test.do(t.Context(), c) }()
			}
			synctest.Wait()
			close(via.wait)
			counts := map[kit.Fault]int{}
			for range 4 {
				counts[kit.FaultOf(<-results)]++
			}
			// Two went alone, two together, and these again if they may.
			repeated := 2 - counts[kit.ErrTimeout]
			if counts[0]+counts[test.want] < 4 || counts[test.want] < 2 || int(via.several.Load()) != 1 || int(via.alone.Load()) != 2+repeated {
				t.Errorf("%s: came to %v by %d requests of several calls and %d of one", name, counts, via.several.Load(), via.alone.Load())
			}
		})
	}
}
