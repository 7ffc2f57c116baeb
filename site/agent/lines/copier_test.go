package lines_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/agent/lines"
)

// load gives the service so many notes at once, in one import.
func (n *notes) load(count int) {
	n.t.Helper()
	n.fence(1, true)
	n.must("POST", "/migrate/begin", `{"base": ""}`)
	var all strings.Builder
	for i := range count {
		fmt.Fprintf(&all, `{"link": "notes/n%d", "position": "%d", "body": {"text": "title %d", "version": 1}}`+"\n", i, i+1, i)
	}
	n.must("POST", "/migrate/import?after=&schema=1", all.String()+`{"end": "1"}`)
	n.fence(1, false)
}

// verified fails unless green has what blue has.
func verified(t *testing.T, c *lines.Copier, documents int64) {
	t.Helper()
	v, err := c.Verify(t.Context(), blue, green)
	if err != nil || v.Different != 0 || v.Documents != documents {
		t.Errorf("verified %+v, %v; want %d documents and no difference", v, err, documents)
	}
}

func TestCyclesCopyWhatHasChanged(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	b.putText("tea", "Tea\ngreen \u2028 \u00fc")
	b.putText("milk", "Milk")
	first, err := c.Cycle(t.Context(), blue, green, 0, false)
	if err != nil || first.Documents != 2 || first.Left != 0 || first.Bytes == 0 {
		t.Errorf("the first cycle %+v, %v", first, err)
	}
	b.putText("tea", "Tea\nblack")
	b.must("DELETE", "/notes/milk", "")
	b.putText("new", "New")
	second, err := c.Cycle(t.Context(), blue, green, 0, false)
	if err != nil || second.Documents != 3 || second.Deletions != 1 {
		t.Errorf("the second cycle %+v, %v", second, err)
	}
	if _, err := c.Cycle(t.Context(), blue, green, 0, true); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("the last cycle from a side that takes writes: %v", err)
	}
	b.putText("last", "Last")
	b.fence(2, true)
	last, err := c.Cycle(t.Context(), blue, green, 0, true)
	if err != nil || last.Documents != 1 || last.Left != 0 {
		t.Errorf("the last cycle %+v, %v", last, err)
	}
	verified(t, c, 3)
	tea := g.read("tea")
	if tea["title"] != "Tea" || tea["body"] != "black" || tea["version"] != 2.0 || g.read("milk") != nil {
		t.Errorf("green has %v, and milk %v", tea, g.read("milk"))
	}
	g.fence(2, false)
	if _, err := c.Cycle(t.Context(), blue, green, 0, false); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("a copy over a side that takes writes: %v", err)
	}
}

// cut is a way to a service that breaks at the nth import, which arrives, but
// whose answer does not; broken is called then. It keeps the queries of exports.
func (n *notes) cut(nth int, broken func()) {
	n.t.Helper()
	to, err := url.Parse(n.url)
	if err != nil {
		n.t.Fatal(err)
	}
	var mu sync.Mutex
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = func(res *http.Response) error {
		if !strings.HasSuffix(res.Request.URL.Path, "/import") {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if nth--; nth != 0 {
			return nil
		}
		broken()
		return errors.New("cut")
	}
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	h := httptest.NewServer(proxy)
	n.t.Cleanup(h.Close)
	n.via = h.URL
}

func TestACopyGoesOnWhereItWasKilled(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	b.load(4500)
	ctx, kill := context.WithCancel(t.Context())
	g.cut(3, kill)
	if c, err := between(b, g).Cycle(ctx, blue, green, 0, false); err == nil {
		t.Fatalf("the cycle that was cut came to %+v", c)
	}
	g.kill()
	g.via = ""
	b.putText("n7", "changed")
	b.must("DELETE", "/notes/n8", "")
	g.run()
	c := between(b, g)
	rest, err := c.Cycle(t.Context(), blue, green, 0, false)
	if err != nil || rest.Documents != 1500+2 {
		t.Errorf("after the kill %+v, %v; want what was not imported yet, and what has changed", rest, err)
	}
	b.kill()
	b.run()
	if again, err := c.Cycle(t.Context(), blue, green, 0, false); err != nil || again.Documents != 0 {
		t.Errorf("once more %+v, %v; want nothing", again, err)
	}
	verified(t, c, 4499)
}

func TestALineThatIsRefusedIsNamedAndTriedAgain(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	b.putText("good", "Good")
	b.putText("bad", "\nno title")
	b.putText("more", "More")
	for range 2 {
		copied, err := c.Cycle(t.Context(), blue, green, 0, false)
		if err != nil || len(copied.Failed) != 1 || !strings.HasPrefix(copied.Failed[0], "notes/bad: text: its first line") {
			t.Errorf("failed %q, %v; want notes/bad with its field", copied.Failed, err)
		}
	}
	if g.read("good") == nil || g.read("more") == nil {
		t.Error("the documents before and after the one that was refused are not there")
	}
	b.putText("bad", "Corrected")
	copied, err := c.Cycle(t.Context(), blue, green, 0, false)
	if err != nil || len(copied.Failed) != 0 || g.read("bad")["title"] != "Corrected" {
		t.Errorf("after the correction %+v, %v", copied, err)
	}
	if again, err := c.Cycle(t.Context(), blue, green, 0, false); err != nil || again.Documents != 0 {
		t.Errorf("once more %+v, %v; want that the cursor has moved on", again, err)
	}
	verified(t, c, 3)
}

func TestALineThatMakesNoSenseIsNamed(t *testing.T) {
	g := start(t, "v2", true)
	g.must("POST", "/migrate/begin", `{"base": ""}`)
	status, text := g.send("POST", "/migrate/import?after=&schema=1", `{"link": "notes/a", "position": "1", "body": {"text": 7}}`)
	if status != http.StatusUnprocessableEntity || !strings.Contains(text, `"link": "notes/a"`) {
		t.Errorf("it is answered with %d %s", status, text)
	}
}

func TestTooManyRefusalsEndACycle(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	for i := range 120 {
		b.putText(fmt.Sprint("n", i), "")
	}
	copied, err := between(b, g).Cycle(t.Context(), blue, green, 0, false)
	if err != nil || len(copied.Failed) != 100 {
		t.Errorf("failed %d, %v; want it to stop at 100", len(copied.Failed), err)
	}
}

func TestWhatDiffersIsFoundAndCopiedAgain(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	b.load(300)
	if _, err := c.Cycle(t.Context(), blue, green, 0, false); err != nil {
		t.Fatal(err)
	}
	st, err := g.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	g.must("POST", "/migrate/import?schema=1&after="+st.Cursor.Position, `{"link": "notes/n5", "position": "1", "body": {"text": "other", "version": 1}}
{"link": "notes/n6", "deleted": true}
{"link": "notes/extra", "position": "1", "body": {"text": "extra", "version": 1}}`)
	v, err := c.Verify(t.Context(), blue, green)
	if err != nil || v.Different != 3 || v.Buckets != 256 {
		t.Errorf("verified %+v, %v; want three buckets that differ", v, err)
	}
	repaired, err := c.Repair(t.Context(), blue, green)
	if err != nil || repaired.Documents >= 100 || repaired.Deletions != 1 {
		t.Errorf("repaired %+v, %v; want some documents, and one deleted", repaired, err)
	}
	verified(t, c, 300)
	if g.read("n5")["title"] != "title 5" || g.read("n6") == nil || g.read("extra") != nil {
		t.Errorf("green has %v, %v, %v", g.read("n5"), g.read("n6"), g.read("extra"))
	}
	if repaired, err := c.Repair(t.Context(), blue, green); err != nil || repaired.Documents != 0 {
		t.Errorf("repaired %+v, %v; want nothing to do", repaired, err)
	}
}

func TestASourceThatHasForgottenIsCopiedAnew(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	b.putText("a", "A")
	old, err := os.ReadFile(filepath.Join(b.dir, "notes.log"))
	if err != nil {
		t.Fatal(err)
	}
	b.putText("b", "B")
	if _, err := c.Cycle(t.Context(), blue, green, 0, false); err != nil {
		t.Fatal(err)
	}
	b.kill()
	if err := os.WriteFile(filepath.Join(b.dir, "notes.log"), append(old, `{"put": [["notes/cut`...), 0o600); err != nil {
		t.Fatal(err)
	}
	b.run()
	copied, err := c.Cycle(t.Context(), blue, green, 0, false)
	if err != nil || copied.Documents != 1 || g.read("b") != nil {
		t.Errorf("copied %+v, %v, b is %v; want all anew", copied, err, g.read("b"))
	}
	verified(t, c, 1)
}

func TestAFenceSurvivesAndRefuses(t *testing.T) {
	n := start(t, "v1", false)
	n.putText("a", "A")
	n.fence(3, true)
	n.kill()
	n.run()
	for _, method := range []string{"PUT", "DELETE"} {
		if status, text := n.send(method, "/notes/a", `{"text": "late"}`); status != http.StatusMisdirectedRequest {
			t.Errorf("%s is answered with %d %s, want 421", method, status, text)
		}
	}
	if a := n.read("a"); a["text"] != "A" {
		t.Errorf("the note is %v", a)
	}
	if _, err := n.Fence(t.Context(), 2, false); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("an older epoch: %v", err)
	}
	if _, err := n.Close(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if status, _ := n.send("GET", "/notes/a", ""); status != http.StatusMisdirectedRequest {
		t.Errorf("a read of a closed side is answered with %d, want 421", status)
	}
	n.fence(4, false)
	n.putText("a", "B")
}

func TestWhatIsWrittenOnGreenIsTakenBack(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	for _, id := range []string{"kept", "changed", "deleted"} {
		b.putText(id, "Title\n"+id)
	}
	b.fence(2, true)
	if _, err := c.Cycle(t.Context(), blue, green, 0, true); err != nil {
		t.Fatal(err)
	}
	base := position(t, g)
	g.fence(2, false)
	back := func(documents int64, final bool) {
		t.Helper()
		copied, err := c.Return(t.Context(), green, blue, base, final)
		if err != nil || copied.Documents != documents || len(copied.Failed) > 0 {
			t.Errorf("taken back %+v, %v; want %d documents", copied, err, documents)
		}
	}
	back(0, false)
	g.must("PUT", "/notes/changed", `{"title": "T", "body": "b", "colour": "red"}`)
	g.must("DELETE", "/notes/deleted", "")
	back(2, false)
	b.kill()
	b.run()
	g.must("PUT", "/notes/long", fmt.Sprintf(`{"title": "T", "body": %q}`, strings.Repeat("x", 2000)))
	copied, err := c.Return(t.Context(), green, blue, base, false)
	if err != nil || len(copied.Failed) != 1 || !strings.HasPrefix(copied.Failed[0], "notes/long: text:") {
		t.Errorf("taken back %+v, %v; want that blue refuses what it has no form for", copied, err)
	}
	g.must("PUT", "/notes/long", `{"title": "T", "body": "short"}`)
	g.fence(3, true)
	back(1, true)
	v, err := c.VerifyBack(t.Context(), green, blue)
	if err != nil || v.Different != 0 || v.Documents != 3 {
		t.Errorf("verified %+v, %v", v, err)
	}
	b.fence(3, false)
	if x := b.read("changed"); x["text"] != "T\nb" || x["colour"] != "red" || x["version"] != 2.0 {
		t.Errorf("blue has %v", x)
	}
	if b.read("deleted") != nil || b.read("kept")["text"] != "Title\nkept" || b.read("long")["text"] != "T\nshort" {
		t.Errorf("blue has %v, %v, %v", b.read("deleted"), b.read("kept"), b.read("long"))
	}
}

func TestAnEmptyServiceIsTakenBackToo(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	b.fence(2, true)
	if _, err := c.Cycle(t.Context(), blue, green, 0, true); err != nil {
		t.Fatal(err)
	}
	verified(t, c, 0)
	base := position(t, g)
	g.fence(2, false)
	g.must("PUT", "/notes/a", `{"title": "T", "body": ""}`)
	for _, change := range []func(){func() {}, func() { g.must("DELETE", "/notes/a", "") }} {
		change()
		if _, err := c.Return(t.Context(), green, blue, base, false); err != nil {
			t.Fatal(err)
		}
		if v, err := c.VerifyBack(t.Context(), green, blue); err != nil || v.Different != 0 {
			t.Errorf("verified %+v, %v", v, err)
		}
	}
}

func position(t *testing.T, n *notes) string {
	t.Helper()
	st, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Position
}

func TestWhatCannotGoBackIsSaidBefore(t *testing.T) {
	one, two := start(t, "v1", false), start(t, "v2", true)
	if why, err := between(one, two).Irreversible(t.Context(), blue, green); err != nil || len(why) > 0 {
		t.Errorf("from 1 to 2: %q, %v", why, err)
	}
	want := []string{"the new version exports schemas [1], and the old one needs 2"}
	if why, err := between(two, one).Irreversible(t.Context(), blue, green); err != nil || !slices.Equal(why, want) {
		t.Errorf("from 2 to 1: %q, %v; want %q", why, err, want)
	}
}

func TestBadServicesAreExplained(t *testing.T) {
	const status = `{"protocol": "lines", "schema": 1, "exports": [1], "fenced": true, "cursor": null}`
	for name, test := range map[string]struct {
		export string
		fault  kit.Fault
		words  string
	}{
		"an export that stops":        {`{"link": "notes/a", "position": "1", "body": {"text": "A"}}` + "\n", kit.ErrUnavailable, "does not answer"},
		"a line that is no JSON":      {"<html>", kit.ErrInvalid, "a line without a link"},
		"a line without a position":   {`{"link": "notes/a"}`, kit.ErrInvalid, "and a position"},
		"a line that is far too long": {strings.Repeat("x", 17<<20), kit.ErrTooLarge, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/export") {
					_, _ = w.Write([]byte(test.export))
					return
				}
				_, _ = w.Write([]byte(status))
			}))
			defer h.Close()
			g := start(t, "v2", true)
			_, err := between(&notes{url: h.URL}, g).Cycle(t.Context(), blue, green, 0, false)
			if !errors.Is(err, test.fault) || !strings.Contains(err.Error(), test.words) {
				t.Errorf("%v; want %v with %q", err, test.fault, test.words)
			}
			if at := position(t, g); at != "0" {
				t.Errorf("green has come to %s, want that it took nothing", at)
			}
		})
	}
}

func TestSidesOfDifferentKindsAreRefused(t *testing.T) {
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"position": "1.1", "schemas": {"notes": 1}}`))
	}))
	defer h.Close()
	g := start(t, "v2", true)
	_, err := between(&notes{url: h.URL}, g).Irreversible(t.Context(), blue, green)
	if !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "made of kit") {
		t.Errorf("%v; want that they cannot be copied", err)
	}
	if _, err := between(&notes{url: h.URL}, g).Cycle(t.Context(), api.Side{Group: "none"}, green, 0, false); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("%v; want that there is no such group", err)
	}
}

func TestTheRateOfACycleChanges(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	b.load(30)
	const slow = 0.008 // a line in two minutes
	if taken, err := c.Pace(t.Context(), green, slow); err != nil || taken != 0 {
		t.Errorf("without a cycle: %d, %v", taken, err)
	}
	var cycle errgroup.Group
	cycle.Go(func() error {
		copied, err := c.Cycle(t.Context(), blue, green, slow, false)
		if err == nil && copied.Documents != 30 {
			err = fmt.Errorf("it copied %+v", copied)
		}
		return err
	})
	for taken := int64(0); taken == 0; {
		var err error
		if taken, err = c.Pace(t.Context(), green, slow); err != nil {
			t.Fatal(err)
		}
	}
	if taken, err := c.Pace(t.Context(), green, 0); err != nil || taken != 1 {
		t.Errorf("during the cycle: %d, %v", taken, err)
	}
	if err := cycle.Wait(); err != nil {
		t.Error(err)
	}
	verified(t, c, 30)
}

// picture stores the bytes and names them by the note with the id.
func (n *notes) picture(id, bytes string) kit.Digest {
	n.t.Helper()
	d := kit.DigestOf([]byte(bytes))
	n.must("PUT", "/pictures/"+string(d), bytes)
	if id != "" {
		n.must("PUT", "/notes/"+id, fmt.Sprintf(`{"text": %q, "picture": %q}`, id, d))
	}
	return d
}

func TestBlobsAreCarriedBeforeTheLinesThatNameThem(t *testing.T) {
	b, g := start(t, "v1", false), start(t, "v2", true)
	c := between(b, g)
	binary := string([]byte{0, 0xff, '\n', 0xfe})
	cat, empty := b.picture("cat", binary), b.picture("empty", "")
	lost := b.picture("lost", "lost")
	if err := os.Remove(filepath.Join(b.dir, "pictures", lost.Hex())); err != nil {
		t.Fatal(err)
	}
	damaged := b.picture("damaged", "damaged")
	if err := os.WriteFile(filepath.Join(b.dir, "pictures", damaged.Hex()), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	copied, err := c.Cycle(t.Context(), blue, green, 0, false)
	if err != nil || copied.Documents != 2 || len(copied.Failed) != 2 ||
		!strings.Contains(copied.Failed[0], "notes/lost: blobs: ") || !strings.Contains(copied.Failed[0], string(lost)) ||
		!strings.Contains(copied.Failed[1], "notes/damaged: blobs: ") || !strings.Contains(copied.Failed[1], "the bytes have the digest") {
		t.Fatalf("copied %+v, %v; want that the notes without their blobs are named", copied, err)
	}
	if got := g.must("GET", "/migrate/blobs/"+string(cat), ""); got != strings.TrimRight(binary, "\n") {
		t.Errorf("the picture came as %q", got)
	}
	g.must("GET", "/migrate/blobs/"+string(empty), "")
	if status, _ := g.send("HEAD", "/migrate/blobs/"+string(damaged), ""); status != http.StatusNotFound {
		t.Errorf("what is damaged is answered with %d, want 404", status)
	}
	b.picture("", "lost")
	b.picture("", "damaged")
	if copied, err = c.Cycle(t.Context(), blue, green, 0, false); err != nil || len(copied.Failed) > 0 {
		t.Errorf("after they were put once more %+v, %v", copied, err)
	}
	b.fence(2, true)
	if _, err = c.Cycle(t.Context(), blue, green, 0, true); err != nil {
		t.Fatal(err)
	}
	verified(t, c, 4)

	base := position(t, g)
	g.fence(2, false)
	dog := g.picture("", "dog")
	g.must("PUT", "/notes/dog", fmt.Sprintf(`{"title": "dog", "body": "", "picture": %q}`, dog))
	if copied, err = c.Return(t.Context(), green, blue, base, false); err != nil || copied.Documents != 1 {
		t.Errorf("taken back %+v, %v", copied, err)
	}
	if got := b.must("GET", "/migrate/blobs/"+string(dog), ""); got != "dog" {
		t.Errorf("the picture came back as %q", got)
	}
}
