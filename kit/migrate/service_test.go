package migrate_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
)

var routes = []string{
	"GET /migrate/status", "GET /migrate/export", "GET /migrate/sums?side=own", "GET /migrate/quarantine",
	"GET /migrate/irreversible?schemas=notes:1", "POST /migrate/fence", "POST /migrate/pull", "POST /migrate/retry",
	"POST /migrate/repair", "POST /migrate/waive",
}

// ask sends a request and returns the answer.
func ask(t testing.TB, s *side, route, bearer, body string, header ...string) *http.Response {
	t.Helper()
	method, path, _ := strings.Cut(route, " ")
	req, err := http.NewRequestWithContext(t.Context(), method, s.url()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", bearer)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func TestWrongTokenIsRefused(t *testing.T) {
	s := newSide(t, blueService())
	for _, route := range routes {
		for _, bearer := range []string{"", "Bearer ", "Bearer wrong", "Basic " + token, token} {
			if res := ask(t, s, route, bearer, "{}"); res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%s with %q: status %d", route, bearer, res.StatusCode)
			}
		}
	}
	open := migrate.Service(s, s.store, store.NewKinds(), nil, "")
	for _, r := range open.Serves {
		if !r.Self {
			t.Errorf("%s has its callers checked by the server", r.Pattern)
		}
	}
}

func TestFenceRefusesWritesDurablyW14(t *testing.T) {
	s := newSide(t, blueService())
	s.write("create", "notes/a", `{}`)
	if status := s.fence(5); !status.Fenced || status.Epoch != 5 || status.Documents != 1 || status.Position != s.store.Position().String() {
		t.Errorf("the fence answers %+v", status)
	}
	res, err := s.server.HTTP("services/shop").Post("http://local/api/notes", "application/json", strings.NewReader("{}"))
	if err != nil || res.StatusCode != http.StatusMisdirectedRequest {
		t.Errorf("a write to a fenced cluster: %v, %v, want status 421", res, err)
	}
	for _, on := range []bool{true, false} {
		_, err := s.client.Fence(t.Context(), 4, on)
		wantError(t, err, kit.ErrConflict, "epoch 5", "epoch 4")
	}
	_, err = s.client.Fence(t.Context(), 0, true)
	wantError(t, err, kit.ErrInvalid, "epoch")
	var b bytes.Buffer
	if _, err := s.store.Snapshot().WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	again := newSide(t, blueService())
	if err := again.store.Restore(&b); err != nil {
		t.Fatal(err)
	}
	if status := again.status(); !status.Fenced || status.Epoch != 5 {
		t.Errorf("after a restart the fence is %+v", status)
	}
	if status, err := s.client.Fence(t.Context(), 5, false); err != nil || status.Fenced {
		t.Errorf("lifting the fence: %+v, %v", status, err)
	}
	s.write("create", "notes/b", `{}`)
}

func TestExportAsLinesAndInParts(t *testing.T) {
	s := newSide(t, blueService())
	s.write("create", "notes/a", `{"text":"x"}`)
	s.write("create", "secrets/s", `{}`)
	s.write("create", "notes/b", `{}`)
	s.write("delete", "notes/b", "")
	at := s.store.Position()
	lines := func(query string) string {
		t.Helper()
		res := ask(t, s, "GET /migrate/export"+query, "Bearer "+token, "", "Accept", "application/x-ndjson")
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != "application/x-ndjson" {
			t.Fatalf("export%s: status %d, %v", query, res.StatusCode, res.Header)
		}
		return readAll(t, res.Body)
	}
	note := `{"link":"notes/a","kind":"notes","schema":1,"version":1,"created":"2026-03-01T12:00:01Z","updated":"2026-03-01T12:00:01Z","text":"x"}` + "\n"
	grave := `{"link":"notes/b","version":2,"deleted":true}` + "\n"
	end := func(seq int64, documents int) string {
		return fmt.Sprintf(`{"of":"end","position":"%d.%d","documents":%d}`+"\n", at.Epoch, seq, documents)
	}
	tests := []struct{ query, want string }{
		{"", note + grave + end(4, 2)},
		{"?limit=1", note + end(1, 1)},
		{fmt.Sprintf("?after=%d.1&limit=5", at.Epoch), grave + end(4, 1)},
		{"?after=" + at.String(), end(4, 0)},
		{"?link=notes/a&link=secrets/s&link=notes/none", note + end(4, 1)},
	}
	for _, c := range tests {
		if got := lines(c.query); got != c.want {
			t.Errorf("export%s is\n%swant\n%s", c.query, got, c.want)
		}
	}
}

func TestExportIsFramesWithAHeadAndAnEnd(t *testing.T) {
	s := newSide(t, kit.Service{Name: "shop", Owns: []kit.Owned{kit.Own(notes, nil)}})
	s.write("create", "notes/a", `{"text":"x"}`)
	res := ask(t, s, "GET /migrate/export", "Bearer "+token, "")
	if got := res.Header.Get("Content-Type"); got != "application/vnd.landfall.frames" {
		t.Errorf("content type %q", got)
	}
	r := frame.NewReader(res.Body)
	var heads []string
	for {
		f, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Head != nil {
			heads = append(heads, string(f.Head))
		}
	}
	at := s.store.Position()
	want := fmt.Sprintf(`{"of":"export","format":1,"position":"%v","fenced":false,"schemas":{"groups":1,"limits":1,"notes":1,"roles":1,"tokens":1},"counts":{"groups":0,"limits":0,"notes":1,"roles":0,"tokens":0}}`+
		` {"of":"end","position":"%v","documents":1}`, at, at)
	if got := strings.Join(heads, " "); got != want {
		t.Errorf("the heads are\n%s\nwant\n%s", got, want)
	}
}

func TestBadRequestsAreRefused(t *testing.T) {
	s := newSide(t, blueService())
	s.write("create", "notes/a", `{}`)
	tests := []struct {
		route, body string
		status      int
		words       string
	}{
		{"GET /migrate/export?after=here", "", 400, "is no position"},
		{"GET /migrate/export?limit=0", "", 400, "limit"},
		{"GET /migrate/export?link=NO", "", 400, "is no kind"},
		{"GET /migrate/export?after=1.1", "", 410, "list again"},
		{"GET /migrate/export?final=1", "", 409, "needs a fence"},
		{"GET /migrate/status?after=1.1", "", 410, "list again"},
		{"GET /migrate/sums", "", 400, "own, origin, copied or returned"},
		{"GET /migrate/sums?side=own&bucket=4096", "", 400, "a number from 0 to 4095"},
		{"GET /migrate/sums?side=copied&schemas=orders", "", 400, "accounts:1,users:3"},
		{"GET /migrate/export?schemas=orders:0", "", 400, "accounts:1,users:3"},
		{"GET /migrate/irreversible", "", 400, "accounts:1,users:3"},
		{"POST /migrate/waive", `{"links":["notes/a"]}`, 400, "has the form"},
		{"POST /migrate/retry", `{"source":"nowhere"}`, 400, "is a URL like"},
		{"POST /migrate/repair", `{"source":"http://127.0.0.1:1","rate":-1}`, 400, "documents a second"},
		{"POST /migrate/pull", `{"source":"http://127.0.0.1:1","base":"x"}`, 400, "is no position"},
		{"POST /migrate/fence", "{", 400, "body"},
		{"POST /migrate/pull", "[]", 400, "body"},
		{"POST /migrate/pull", `{"source":"` + strings.Repeat("x", 70<<10) + `"}`, 400, "too large"},
	}
	for _, c := range tests {
		res := ask(t, s, c.route, "Bearer "+token, c.body)
		if body := readAll(t, res.Body); res.StatusCode != c.status || !strings.Contains(body, c.words) {
			t.Errorf("%s %.40s: status %d, %s; want %d with %q", c.route, c.body, res.StatusCode, body, c.status, c.words)
		}
	}
}

func TestALeaderThatIsNoneAnyMoreAnswersNothing(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/a", `{}`)
	green.pull(blue)
	blue.deposed.Store(true)
	ctx := t.Context()
	_, status := blue.client.Status(ctx)
	_, sums := blue.client.Sums(ctx, "own")
	_, fence := blue.client.Fence(ctx, 7, true)
	_, quarantine := blue.client.Quarantine(ctx)
	_, export := green.tryPull(blue, false)
	for name, err := range map[string]error{"status": status, "sums": sums, "fence": fence, "quarantine": quarantine, "export": export} {
		if !errors.Is(err, kit.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if _, on := blue.store.Fenced(); on {
		t.Error("it is fenced")
	}
}

func TestClientFindsTheLeader(t *testing.T) {
	leader, follower, lost := newSide(t, blueService()), newSide(t, blueService()), newSide(t, blueService())
	to, none := leader.url(), ""
	follower.leader.Store(&to)
	lost.leader.Store(&none)
	leader.write("create", "notes/a", `{}`)

	c := &migrate.Client{URLs: []string{"http://127.0.0.1:1", lost.url(), follower.url()}, Token: token}
	if s, err := c.Fence(t.Context(), 3, true); err != nil || !s.Fenced || s.Documents != 1 {
		t.Errorf("a fence by way of a follower: %+v, %v", s, err)
	}
	if _, on := leader.store.Fenced(); !on {
		t.Error("the leader is not fenced")
	}
	green := newSide(t, greenService())
	green.fence(1)
	if p, err := green.client.Pull(t.Context(), migrate.PullRequest{Source: follower.url(), Token: token, Final: true}); err != nil || p.Documents != 1 {
		t.Errorf("a pull from a follower: %+v, %v", p, err)
	}
	_, err := lost.client.Status(t.Context())
	wantError(t, err, kit.ErrUnavailable, "no leader")
	back := follower.url()
	leader.leader.Store(&back)
	_, err = follower.client.Status(t.Context())
	wantError(t, err, kit.ErrUnavailable, "do not agree on who leads")
	_, err = (&migrate.Client{}).Status(t.Context())
	wantError(t, err, kit.ErrInvalid, "no URL")
	_, err = (&migrate.Client{URLs: []string{"nowhere"}}).Status(t.Context())
	wantError(t, err, kit.ErrInvalid, "is no URL")
}

func TestSumsTellWhatDiffersW4(t *testing.T) {
	blue, green := pair(t)
	for i := range 50 {
		blue.write("create", kit.NewLink("notes", fmt.Sprint(i)), `{}`)
	}
	green.pull(blue)
	if d := green.compare(blue); len(d) > 0 {
		t.Fatalf("%d buckets of a complete copy differ", len(d))
	}
	if _, err := green.client.Fence(t.Context(), 2, false); err != nil {
		t.Fatal(err)
	}
	bucket := digest.BucketOf("notes/7")
	change := map[string]func(){
		"changed": func() { green.write("update", "notes/7", `{"text":"other"}`) },
		"deleted": func() { green.write("delete", "notes/7", "") },
		"added":   func() { green.write("create", "notes/7", `{}`) },
	}
	for _, name := range []string{"changed", "deleted", "added"} {
		change[name]()
		if d := green.compare(blue); len(d) != 1 || d[0] != bucket {
			t.Errorf("after a note was %s at green, buckets %v differ, want %d", name, d, bucket)
		}
	}
}
