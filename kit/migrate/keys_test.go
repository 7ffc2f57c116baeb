package migrate_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// post sends a create with the idempotency key and returns what it came to.
func (s *side) post(kind, key, body string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://local/api/"+kind, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := s.server.HTTP("services/shop").Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return fmt.Sprintf("%d %s %s %s", res.StatusCode, res.Header.Get("Location"), res.Header.Get("Etag"), b)
}

// pass lets the time of s go on, with something written every minute.
func (s *side) pass(d time.Duration) {
	s.t.Helper()
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(min(time.Minute, end.Sub(s.now)) - time.Second)
		s.propose(store.Proposal{PassFence: true, Cursor: &store.Cursor{Name: "clock", Position: s.now.String()}})
	}
}

func (s *side) count(kind string) int { return s.store.Count(kind) }

// bytes returns the whole state of s.
func (s *side) bytes() []byte {
	s.t.Helper()
	var b bytes.Buffer
	if _, err := s.store.Snapshot().WriteTo(&b); err != nil {
		s.t.Fatal(err)
	}
	return b.Bytes()
}

func TestRequestsAreExecutedOnceOverASwitchAndBack(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	sent := func(key string) string { return `{"text":"sent with ` + key + `"}` }
	answers := map[string]string{}
	post := func(s *side, key string) { answers[key] = s.post("notes", key, sent(key)) }
	repeated := func(s *side, name string) {
		t.Helper()
		n := s.count("notes")
		for key, want := range answers {
			if got := s.post("notes", key, sent(key)); got != want {
				t.Errorf("%s answers the repeated request %s by %s, want %s", name, key, got, want)
			}
		}
		if s.count("notes") != n {
			t.Errorf("%s has %d notes after all requests were repeated, want %d", name, s.count("notes"), n)
		}
	}
	post(blue, "before-the-first-cycle")
	blue.post("secrets", "local", `{"text":"stays"}`)
	green.pull(blue)
	post(blue, "before-the-second")
	green.pull(blue)
	post(blue, "before-the-last")
	base := green.handOver(blue, 7)
	repeated(green, "green")
	if got := green.post("notes", "before-the-last", `{"text":"another"}`); !strings.HasPrefix(got, "409") {
		t.Errorf("green takes the key for another write: %s", got)
	}
	if green.post("secrets", "local", `{"text":"stays"}`); green.count("secrets") != 1 {
		t.Error("green does not execute a request whose document has stayed at blue")
	}
	post(green, "at-green")
	blue.takeBack(green, base, false)
	post(green, "at-green-later")
	blue.goBack(green, base, 8)
	repeated(blue, "blue")
	post(blue, "at-blue-again")

	next := successorAt(t, blue.now)
	next.pull(blue)
	next.handOver(blue, 9)
	repeated(next, "the next green")
}

func TestPullWithoutChangesWritesNoKeys(t *testing.T) {
	blue, green := pair(t)
	blue.post("notes", "k1", `{"text":"x"}`)
	green.pull(blue)
	before := green.bytes()
	green.pull(blue)
	if !bytes.Equal(green.bytes(), before) {
		t.Error("a cycle without changes has changed green")
	}
}

func TestKeysSurviveAPullThatBreaksOff(t *testing.T) {
	blue, green := pair(t)
	const keys = 2000 // in several batches, all used at the same time
	create := make([]store.Proposal, keys)
	for i := range create {
		create[i] = store.Proposal{
			By: "users/ada", Key: fmt.Sprintf("k%d", i),
			Writes: []kit.Write{{Verb: "create", Link: "notes/", Body: []byte(`{"text":"x"}`)}},
		}
	}
	decide := func(s *side) []store.Result {
		entry, results := s.store.Decide(create, s.now)
		if entry != nil {
			if err := s.store.Apply(entry); err != nil {
				t.Fatal(err)
			}
		}
		return results
	}
	want := decide(blue)
	batches := 0
	green.admit = func(p store.Proposal) error {
		if len(p.Keys) > 0 {
			batches++
		}
		if batches == 2 {
			return kit.Errorf(kit.ErrUnavailable, "", "the leader was killed")
		}
		return nil
	}
	_, err := green.tryPull(blue, false)
	wantError(t, err, kit.ErrUnavailable, "killed")
	green.cutOver(blue)
	if batches < 4 {
		t.Fatalf("the keys came in %d batches, want several of each pull", batches)
	}
	green.lift(7)
	for i, r := range decide(green) {
		if r.Err != nil || r.Records[0].Link != want[i].Records[0].Link {
			t.Fatalf("repeated, %s comes to %+v, want %s", create[i].Key, r, want[i].Records[0].Link)
		}
	}
	if n := green.count("notes"); n != keys {
		t.Errorf("green has %d notes after all requests were repeated, want %d", n, keys)
	}
}

func TestKeysKeepTheirAge(t *testing.T) {
	for name, ahead := range map[string]time.Duration{"ahead": 5 * time.Hour, "behind": -5 * time.Hour} {
		t.Run("green's clock is "+name, func(t *testing.T) {
			blue, green := pair(t)
			green.now = green.now.Add(max(ahead, 0))
			blue.now = blue.now.Add(max(-ahead, 0))
			blue.post("notes", "old", `{"text":"x"}`)
			blue.pass(5 * time.Minute)
			blue.post("notes", "new", `{"text":"x"}`)
			blue.pass(5 * time.Minute)
			green.pull(blue)
			green.cutOver(blue)
			green.lift(7)
			green.pass(4 * time.Minute)
			for _, key := range []string{"old", "new"} {
				if green.post("notes", key, `{"text":"x"}`); green.count("notes") != 2 {
					t.Errorf("the request %q is executed again before its key is %s old", key, kit.OnceAge)
				}
			}
			green.pass(2 * time.Minute)
			if green.post("notes", "new", `{"text":"x"}`); green.count("notes") != 2 {
				t.Error("the later key has expired with the earlier one")
			}
			if green.post("notes", "old", `{"text":"x"}`); green.count("notes") != 3 {
				t.Error("a pull has made a key younger")
			}
		})
	}
}

// withoutKeys has s serve exports as binaries did that did not know of keys.
func withoutKeys(s *side) {
	s.meddle = func(_ http.ResponseWriter, r *http.Request) bool {
		q := r.URL.Query()
		q.Del("keys")
		r.URL.RawQuery = q.Encode()
		return false
	}
}

func TestSourceWithoutKeysIsPulled(t *testing.T) {
	blue, green := pair(t)
	withoutKeys(blue)
	blue.post("notes", "k1", `{"text":"x"}`)
	green.pull(blue)
	green.cutOver(blue)
	green.lift(7)
	if green.post("notes", "k1", `{"text":"x"}`); green.count("notes") != 2 {
		t.Errorf("green has %d notes, want that it executes what it knows nothing of", green.count("notes"))
	}
}

func TestTimeOfKeysIsChecked(t *testing.T) {
	blue, _ := pair(t)
	res := ask(t, blue, "GET /migrate/export?keys=yesterday", "Bearer "+token, "")
	if b := readAll(t, res.Body); res.StatusCode != http.StatusBadRequest || !strings.Contains(b, "yesterday") {
		t.Errorf("keys=yesterday: %d %s", res.StatusCode, b)
	}
}
