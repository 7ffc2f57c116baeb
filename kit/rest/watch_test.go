package rest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

var retry = regexp.MustCompile(`^retry: [1-9][0-9]{2,3}$`)

// lines returns the next n lines of an event stream.
func lines(t *testing.T, in *bufio.Reader, n int) []string {
	t.Helper()
	var got []string
	for range n {
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", got, err)
		}
		got = append(got, strings.TrimSuffix(line, "\n"))
	}
	return got
}

// stream opens a watch over HTTP.
func stream(t *testing.T, c *kittest.Cluster, query string, headers ...string) *bufio.Reader {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", c.URL()+"/api/notes"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Authorization", "Bearer "+c.Token("users/admin"))
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("watch: %d %s", res.StatusCode, res.Header.Get("Content-Type"))
	}
	return events(t, res)
}

// events returns the events of the answer, after what they begin with: when to
// come back, in milliseconds.
func events(t *testing.T, res *http.Response) *bufio.Reader {
	t.Helper()
	in := bufio.NewReader(res.Body)
	if first := lines(t, in, 2); !retry.MatchString(first[0]) || first[1] != "" {
		t.Fatalf("the stream begins with %q, want when to come back", first)
	}
	return in
}

func TestEventsHaveTheFormOfTheStandard(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx := t.Context()
	for _, id := range []string{"a", "gone", "b"} {
		if _, err := c.Admin().Create(ctx, "notes", id, []byte("{\n\t\"text\": \"two\\r\\nlines\"\r\n}")); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Admin().Delete(ctx, "notes/gone", 0); err != nil {
		t.Fatal(err)
	}
	in := stream(t, c, "")
	first := lines(t, in, 4)
	if !strings.HasPrefix(first[0], "id: ") || first[1] != "event: put" || !strings.HasPrefix(first[2], `data: {"link":"notes/a"`) || first[3] != "" {
		t.Errorf("the first event is %q", first)
	}
	if second := lines(t, in, 4); !strings.HasPrefix(second[2], `data: {"link":"notes/b"`) {
		t.Errorf("the second event is %q, want notes/b: what was deleted before is not told", second)
	}
	if live := lines(t, in, 4); live[1] != "event: live" {
		t.Errorf("then comes %q, want live", live)
	}
	if err := c.Admin().Delete(ctx, "notes/b", 0); err != nil {
		t.Fatal(err)
	}
	if gone := lines(t, in, 4); gone[1] != "event: delete" || !strings.HasPrefix(gone[2], `data: {"link":"notes/b"`) {
		t.Errorf("the deletion is %q", gone)
	}
	// Last-Event-ID is what a browser resumes with; it wins over the address.
	again := stream(t, c, "?from=9999999999.1", "Last-Event-ID: "+strings.TrimPrefix(first[0], "id: "))
	if next := lines(t, again, 4); next[1] != "event: delete" || !strings.Contains(next[2], "notes/gone") && !strings.Contains(next[2], "notes/b") {
		t.Errorf("resumed with %q, want a deletion after notes/a", next)
	}
}

// cutting is a transport that ends each event stream after a number of bytes.
type cutting struct {
	http.RoundTripper
	after int64
	cuts  atomic.Int64
}

func (c *cutting) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := c.RoundTripper.RoundTrip(req)
	if err == nil && res.Header.Get("Content-Type") == "text/event-stream" {
		c.cuts.Add(1)
		body := res.Body
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, c.after), body}
	}
	return res, err
}

func TestWatchThatIsCutAnywhereMissesAndRepeatsNothing(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var want []string
	write := func(n int) {
		for range n {
			r, err := c.Admin().Create(ctx, "notes", "", []byte(`{"text":"a"}`))
			if err != nil {
				t.Error(err)
			}
			want = append(want, string(r.Link))
		}
	}
	write(10)
	cut := &cutting{RoundTripper: http.DefaultTransport, after: 700}
	client, err := rest.NewClient(c.URL(), c.Token("users/admin"), rest.ClientOptions{Transport: cut})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for ch, err := range client.Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(ch.Record.Link))
		if len(got) == 10 {
			write(10)
		}
		if len(got) == 20 {
			break
		}
	}
	if !slices.Equal(got, want) || cut.cuts.Load() < 3 {
		t.Errorf("over %d connections the watch told of\n%v, want\n%v", cut.cuts.Load(), got, want)
	}
}

// forgetting is a transport that cuts the first event stream before it is live,
// and then behaves as a server whose tombstones do not go back so far.
type forgetting struct {
	http.RoundTripper
	streams   atomic.Int64
	meanwhile func()
}

func (f *forgetting) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Header.Get("Accept") != "text/event-stream" {
		return f.RoundTripper.RoundTrip(req)
	}
	n := f.streams.Add(1)
	if n == 2 {
		f.meanwhile()
		return &http.Response{StatusCode: http.StatusGone, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
	}
	res, err := f.RoundTripper.RoundTrip(req)
	if n > 1 || err != nil {
		return res, err
	}
	defer res.Body.Close()
	var begun strings.Builder
	for in := bufio.NewReader(res.Body); ; {
		line, err := in.ReadString('\n')
		if err != nil || line == "event: live\n" {
			res.Body = io.NopCloser(strings.NewReader(begun.String()))
			return res, err
		}
		begun.WriteString(line)
	}
}

func TestWatchThatBeginsAnewTellsWhatWasDeletedMeanwhile(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, id := range []string{"deleted", "renewed", "same", "changed", "left"} {
		if _, err := c.Admin().Create(ctx, "notes", id, []byte(`{"stars":1}`)); err != nil {
			t.Fatal(err)
		}
	}
	via := &forgetting{RoundTripper: http.DefaultTransport, meanwhile: func() {
		_, changed := c.Admin().Update(ctx, "notes/changed", []byte(`{"stars":2}`), 0)
		_, left := c.Admin().Update(ctx, "notes/left", []byte(`{"stars":0}`), 0)
		deleted, renewed := c.Admin().Delete(ctx, "notes/deleted", 0), c.Admin().Delete(ctx, "notes/renewed", 0)
		_, again := c.Admin().Create(ctx, "notes", "renewed", []byte(`{"stars":3}`))
		if err := errors.Join(changed, left, deleted, renewed, again); err != nil {
			t.Error(err)
		}
	}}
	client, err := rest.NewClient(c.URL(), c.Token("users/admin"), rest.ClientOptions{Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"notes/deleted", "notes/renewed", "notes/same", "notes/changed", "notes/left",
		"notes/changed", "notes/renewed", "notes/deleted is gone", "notes/last",
	}
	var got []string
	for ch, err := range client.Watch(ctx, kit.WatchQuery{Kind: "notes", Filter: "stars > 0"}) {
		if err != nil {
			t.Fatal(err)
		}
		text := string(ch.Record.Link)
		if ch.Record.Deleted {
			text += " is gone"
			if _, err := c.Admin().Create(ctx, "notes", "last", []byte(`{"stars":1}`)); err != nil {
				t.Fatal(err)
			}
		}
		if got = append(got, text); len(got) == len(want) {
			break
		}
	}
	if !slices.Equal(got, want) || via.streams.Load() != 3 {
		t.Errorf("over %d connections the watch told of\n%q, want\n%q", via.streams.Load(), got, want)
	}
}

func TestSilentWatchIsKeptAliveAndItsPositionMovesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, kittest.NotesService())
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		changes := make(chan kit.Change)
		go func() {
			defer close(changes)
			for ch, err := range c.Admin().Watch(ctx, kit.WatchQuery{Kind: "notes", Filter: "stars > 0"}) {
				if err != nil {
					t.Error(err)
				}
				changes <- ch
			}
		}()
		for i := range 100 {
			if _, err := c.Admin().Create(ctx, "notes", "", []byte(`{"text":"filtered out"}`)); err != nil {
				t.Fatal(i, err)
			}
			time.Sleep(time.Minute) // of the bubble
		}
		if _, err := c.Admin().Create(ctx, "notes", "last", []byte(`{"stars":1}`)); err != nil {
			t.Fatal(err)
		}
		if ch := <-changes; ch.Record.Link != "notes/last" {
			t.Errorf("the watch told of %s, want notes/last", ch.Record.Link)
		}
		cancel()
		<-changes
	})
}

func TestSlowReaderIsCutOffAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := kittest.Serve(t, kittest.NotesService())
		for i := range 50 {
			if _, err := c.Admin().Create(t.Context(), "notes", fmt.Sprint(i+1), []byte(`{"text":"`+strings.Repeat("x", 10_000)+`"}`)); err != nil {
				t.Fatal(err)
			}
		}
		n := 0
		for ch, err := range c.Admin().Watch(t.Context(), kit.WatchQuery{Kind: "notes"}) {
			if err != nil {
				t.Fatal(err)
			}
			if n++; ch.Record.Link != kittest.Notes.Link(fmt.Sprint(n)) {
				t.Fatalf("change %d is of %s", n, ch.Record.Link)
			}
			time.Sleep(20 * time.Second) // of the bubble; a reader has 10 s
			if n == 50 {
				break
			}
		}
		synctest.Wait()
	})
}

// refusing fails the first requests as it is told, then passes them on.
type refusing struct {
	http.RoundTripper
	left   atomic.Int64
	status int // 0: the connection breaks after the request was sent
}

func (f *refusing) RoundTrip(req *http.Request) (*http.Response, error) {
	if f.left.Add(-1) < 0 {
		return f.RoundTripper.RoundTrip(req)
	}
	if f.status == 0 {
		return nil, errors.New("connection reset")
	}
	return &http.Response{StatusCode: f.status, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

func TestClientTriesAgainWhatCannotHaveBeenApplied(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	token := c.Token("users/admin")
	if _, err := c.Admin().Create(t.Context(), "notes", "a", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		status int
		write  bool
		want   error
		o      []kit.WriteOption
	}{
		{"a read, cut", 0, false, nil, nil},
		{"a read, unavailable", 503, false, nil, nil},
		{"a read, timeout of a proxy", 504, false, nil, nil},
		{"a write, cut", 0, true, kit.ErrTimeout, nil},
		{"a write, unavailable", 503, true, nil, nil},
		{"a write, fenced", 421, true, nil, nil},
		{"a write, too many", 429, true, nil, nil},
		{"a write, timeout", 504, true, kit.ErrTimeout, nil},
		{"a write, internal", 500, true, kit.ErrInternal, nil},
		{"a write with a key, cut", 0, true, nil, []kit.WriteOption{kit.Once("k1")}},
		{"a write with a key, timeout", 504, true, nil, []kit.WriteOption{kit.Once("k2")}},
	} {
		via := &refusing{RoundTripper: http.DefaultTransport, status: test.status}
		via.left.Store(2)
		client, err := rest.NewClient(c.URL(), token, rest.ClientOptions{Transport: via})
		if err != nil {
			t.Fatal(err)
		}
		if test.write {
			_, err = client.Do(t.Context(), "notes/a", "star", nil, test.o...)
		} else {
			_, err = client.List(t.Context(), kit.Query{Kind: "notes"})
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestClientGoesOnToAnotherNode(t *testing.T) {
	c := kittest.Serve(t, kittest.NotesService())
	dead := "http://127.0.0.1:1"
	client, err := rest.NewClient(dead+", "+c.URL(), c.Token("users/admin"), rest.ClientOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), "notes", "", []byte(`{}`)); err != nil {
		t.Errorf("create: %v", err)
	}
	alone, err := rest.NewClient(dead, "", rest.ClientOptions{Patience: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Create(t.Context(), "notes", "", []byte(`{}`)); !errors.Is(err, kit.ErrUnavailable) || !strings.Contains(err.Error(), dead) {
		t.Errorf("create where nothing answers: %v, want unavailable with the address", err)
	}
	for _, wrong := range []string{"", "localhost:7700", "ftp://x", "http://a,,http://b"} {
		if _, err := rest.NewClient(wrong, "", rest.ClientOptions{}); !errors.Is(err, kit.ErrInvalid) {
			t.Errorf("the address %q: %v, want invalid", wrong, err)
		}
	}
}

func TestWatchesThatWereCutDoNotAllComeBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		opened := make(chan time.Time, 1)
		streams := func(r *http.Request) (*http.Response, error) {
			opened <- time.Now()
			body := io.NopCloser(strings.NewReader("retry: 7000\n\n"))
			return &http.Response{StatusCode: 200, Header: http.Header{}, Body: body, Request: r}, nil
		}
		client, err := rest.NewClient("http://node", "", rest.ClientOptions{Transport: transport(streams)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			for range client.Watch(ctx, kit.WatchQuery{Kind: "notes"}) {
			}
		}()
		first, second := <-opened, <-opened
		if d := second.Sub(first); d < 7*time.Second {
			t.Errorf("the client came back after %v, and was told to wait for 7 s", d)
		}
		cancel()
		synctest.Wait()
	})
}

// transport makes a transport of a function.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
