package migrate_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/store/digest"
	"landfall.dev/kit/store/frame"
	"landfall.dev/kit/store/memory"
)

func TestPullCopiesAndTransformsEverything(t *testing.T) {
	blue, green := pair(t)
	secret, err := rest.Bootstrap(t.Context(), blue.server.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	blue.write("create", "orders/", `{"name":"tea","amount":"12","extra":{"b": 1,"a":2},"expires":"2031-01-01T00:00:00Z","source":"notes/a"}`)
	blue.write("pay", "orders/1", "")
	blue.write("create", "notes/a", `{"text":"x"}`)
	blue.write("create", "secrets/s", `{"text":"stays"}`)

	p := green.pull(blue)
	if p.Documents != 4 || p.Deletions != 0 || p.Left != 0 || p.Quarantined != 0 || p.Bytes == 0 || p.Position != blue.status().Position {
		t.Errorf("the pull came to %+v", p)
	}
	was, is := blue.read("orders/1"), green.read("orders/1")
	if got, want := string(is.Body), `{"title":"tea","amount":12,"extra":{"b": 1,"a":2},"currency":"EUR"}`; got != want {
		t.Errorf("the order became %s, want %s", got, want)
	}
	if len(is.Pending) != 2 || string(is.Pending[1].Data) != `{"title":"after tea","amount":1,"currency":"EUR"}` {
		t.Errorf("pending became %+v", is.Pending)
	}
	was.Schema, is.Pending = 2, was.Pending
	if !reflect.DeepEqual(was.Meta, is.Meta) {
		t.Errorf("the envelope became %+v, want %+v", is.Meta, was.Meta)
	}
	if green.has("secrets/s") {
		t.Error("a local document was copied")
	}
	if d := green.compare(blue); len(d) > 0 {
		t.Errorf("%d buckets differ", len(d))
	}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, green.url()+"/api/notes/a", nil)
	req.Header.Set("Authorization", "Bearer "+secret)
	if res, err := http.DefaultClient.Do(req); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("reading at green with blue's token: %v, %v", res, err)
	}
}

func TestCycleTakesOnlyWhatChangedW6(t *testing.T) {
	blue, green := pair(t)
	for i := range 20 {
		blue.write("create", "orders/", fmt.Sprintf(`{"name":"n","amount":"%d"}`, i))
	}
	if p := green.pull(blue); p.Documents != 20 {
		t.Fatalf("the first pull took %+v", p)
	}
	before := green.store.Position()
	if p := green.pull(blue); p.Documents != 0 || p.Deletions != 0 || green.store.Position() != before {
		t.Errorf("a pull of nothing took %+v and moved green from %v to %v", p, before, green.store.Position())
	}
	blue.write("update", "orders/3", `{"name":"changed"}`)
	blue.write("create", "secrets/only", `{}`)
	if p := green.pull(blue); p.Documents != 1 {
		t.Errorf("a pull of one change took %+v", p)
	}
	if got := string(green.read("orders/3").Body); got != `{"title":"changed","amount":2,"currency":"EUR"}` {
		t.Errorf("the changed order is %s", got)
	}
}

func TestDeletionBetweenCyclesIsCopiedW1(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/stays", `{}`)
	blue.write("create", "notes/goes", `{}`)
	green.pull(blue)
	blue.write("delete", "notes/goes", "")
	p := green.pull(blue)
	if p.Deletions != 1 || p.Documents != 0 || green.has("notes/goes") || !green.has("notes/stays") {
		t.Errorf("the pull took %+v; the deleted note is there: %v", p, green.has("notes/goes"))
	}
	green.cutOver(blue)
}

func TestDeletionIsAppliedAsOneWhateverWasThereW2(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/a", `{"text":"first"}`)
	green.pull(blue)
	blue.write("delete", "notes/a", "")
	blue.write("create", "notes/a", `{"text":"second"}`)
	if p := green.pull(blue); p.Documents != 1 || string(green.read("notes/a").Body) != `{"text":"second"}` {
		t.Errorf("after deletion and creation the pull took %+v", p)
	}
	if got, want := green.read("notes/a").Version, blue.read("notes/a").Version; got != want {
		t.Errorf("the note that was created again has version %d, want %d", got, want)
	}
	blue.write("delete", "notes/a", "")
	for range 2 {
		green.pull(blue)
		if green.has("notes/a") {
			t.Error("the deleted note is there")
		}
	}
	green.cutOver(blue)
}

func TestDocumentThatCameAndWentIsNotResurrectedW3(t *testing.T) {
	blue, green := pair(t)
	green.pull(blue)
	blue.write("create", "notes/brief", `{}`)
	blue.write("create", "orders/", `{"name":"bad","amount":"many"}`) // fails in the same batch
	blue.write("delete", "notes/brief", "")
	p := green.pull(blue)
	if green.has("notes/brief") || p.Quarantined != 1 {
		t.Errorf("the note is there: %v; the pull took %+v", green.has("notes/brief"), p)
	}
}

func TestChangeWithAnEarlierTimeIsCopiedW5(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/a", `{}`)
	green.pull(blue)
	// A node whose clock is a year behind has changed this one.
	late := kit.Record{Meta: kit.Meta{Link: "notes/b", Kind: "notes", Schema: 1, Version: 4, Created: epoch.AddDate(-1, 0, 0), Updated: epoch.AddDate(-1, 0, 0)}, Body: json.RawMessage(`{}`)}
	blue.propose(store.Proposal{Import: []store.Imported{{Record: late, Origin: frame.Origin{Stream: "elsewhere", Seq: 1}}}})
	if p := green.pull(blue); p.Documents != 1 || !green.read("notes/b").Updated.Equal(late.Updated) {
		t.Errorf("the pull took %+v", p)
	}
	green.cutOver(blue)
}

var errCrash = errors.New("the node has crashed")

func TestInterruptedPullGoesOnW7(t *testing.T) {
	blue, green := pair(t)
	const documents = 45_000
	for range documents / 1000 {
		var w []kit.Write
		for range 1000 {
			w = append(w, kit.Write{Verb: kit.VerbCreate, Link: "orders/", Body: json.RawMessage(`{"name":"n","amount":"1"}`)})
		}
		blue.propose(store.Proposal{Writes: w})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	batches := 0
	green.admit = func(p store.Proposal) error {
		if len(p.Import) == 0 {
			return nil
		}
		if batches++; batches == 3 {
			cancel(errCrash)
			return errCrash
		}
		return nil
	}
	if _, err := green.client.Pull(ctx, migrate.PullRequest{Source: blue.url(), Token: token}); err == nil {
		t.Fatal("an interrupted pull has succeeded")
	}
	blue.write("delete", "orders/5", "")
	status := green.status()
	if taken := status.Documents; status.Cursor == nil || status.Cursor.Filled || taken == 0 || taken >= documents {
		t.Fatalf("after two batches green stands at %+v, %+v", status, status.Cursor)
	}
	p := green.pull(blue)
	if others := documents - status.Documents; p.Documents != others || p.Deletions != 1 {
		t.Errorf("the second pull took %+v, want the other %d documents", p, others)
	}
	green.cutOver(blue)
}

func TestDocumentIsNeverMissingWhileItIsReplacedW10(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/a", `{}`)
	green.pull(blue)
	from := green.store.Position()
	for range 3 {
		blue.write("update", "notes/a", fmt.Sprintf(`{"text":"%d"}`, blue.store.Position().Seq))
		changed := green.store.Changed()
		green.pull(blue)
		<-changed
		changes, _, err := green.store.Since("notes", from, 10)
		if err != nil || len(changes) != 1 || changes[0].Record.Deleted {
			t.Fatalf("replacing the note shows as %+v, %v", changes, err)
		}
	}
}

func TestVersionsAndTimesSurviveW11(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "orders/", `{"name":"n","amount":"1"}`)
	for i := range 5 {
		blue.write("update", "orders/1", fmt.Sprintf(`{"amount":"%d"}`, i+2))
		if i%2 == 0 {
			green.pull(blue)
		}
	}
	green.pull(blue)
	was, is := blue.read("orders/1"), green.read("orders/1")
	if is.Version != 6 || !is.Created.Equal(was.Created) || !is.Updated.Equal(was.Updated) {
		t.Errorf("green has %+v, want %+v", is.Meta, was.Meta)
	}
	if r, err := green.try("create", "notes/mine", `{}`); !errors.Is(err, kit.ErrFenced) {
		t.Errorf("a write to green became %+v, %v", r, err)
	}
	green.client.Fence(t.Context(), 8, false)
	if r := green.write("create", "notes/", `{}`); r.Version != 1 {
		t.Errorf("a new note at green is %+v", r)
	}
}

func TestLivesOfKindsDoNotSeeImportsW13(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "orders/", `{"name":"n","amount":"1"}`)
	green.pull(blue)
	if r := green.read("orders/1"); len(r.Pending) != 0 || r.Version != 1 {
		t.Errorf("the import became %+v", r)
	}
	if _, err := green.client.Fence(t.Context(), 2, false); err != nil {
		t.Fatal(err)
	}
	if _, err := green.try("update", "orders/1", `{"title":"x"}`); !errors.Is(err, kit.ErrConflict) {
		t.Errorf("green's life of orders let a change through: %v", err)
	}
}

func TestCutoverUnderWritesLosesNothing(t *testing.T) {
	blue, green := pair(t)
	const writers = 3
	acknowledged := make([]map[kit.Link]int64, writers)
	progressed := make(chan struct{}, 1)
	done := make(chan struct{})
	for i := range writers {
		acknowledged[i] = map[kit.Link]int64{}
		go func() {
			defer func() { done <- struct{}{} }()
			for n := 0; ; n++ {
				link := kit.NewLink("orders", fmt.Sprintf("w%d-%d", i, n%50))
				verb, body := kit.VerbUpdate, fmt.Sprintf(`{"amount":"%d"}`, n)
				if !blue.has(link) {
					verb, body = kit.VerbCreate, `{"name":"n","amount":"0"}`
				} else if n%7 == 0 {
					verb, body = kit.VerbDelete, ""
				}
				r, err := blue.try(verb, link, body)
				if errors.Is(err, kit.ErrFenced) {
					return
				}
				if err != nil {
					t.Errorf("%s %s: %v", verb, link, err)
					return
				}
				acknowledged[i][link] = r.Version
				if r.Deleted {
					acknowledged[i][link] = 0
				}
				select {
				case progressed <- struct{}{}:
				default:
				}
			}
		}()
	}
	for range 6 {
		<-progressed
		green.pull(blue)
	}
	green.cutOver(blue)
	for range writers {
		<-done
	}
	for _, links := range acknowledged {
		for link, version := range links {
			r, err := green.store.Read(link)
			if version == 0 && err == nil || version > 0 && (err != nil || r.Version != version) {
				t.Errorf("%s was acknowledged at version %d, green has %d, %v", link, version, r.Version, err)
			}
		}
	}
}

func TestConcurrentPullsFollowEachOtherW8(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/a", `{}`)
	began, goOn := make(chan struct{}), make(chan struct{})
	var exports atomic.Int32
	blue.meddle = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/migrate/export" && exports.Add(1) == 1 {
			close(began)
			<-goOn
		}
		return false
	}
	first := make(chan migrate.Pulled)
	go func() {
		p, err := green.tryPull(blue, false)
		if err != nil {
			t.Errorf("the first pull: %v", err)
		}
		first <- p
	}()
	<-began
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := green.client.Pull(ctx, migrate.PullRequest{Source: blue.url(), Token: token})
	if err == nil || exports.Load() != 1 {
		t.Errorf("a pull beside the first one: %v, %d exports at once; want it to wait", err, exports.Load())
	}
	close(goOn)
	if p := <-first; p.Documents != 1 {
		t.Errorf("the first pull took %d documents, want 1", p.Documents)
	}
	if p, err := green.tryPull(blue, false); err != nil || p.Documents != 0 {
		t.Errorf("a pull after it took %d documents, %v; want none, which are here", p.Documents, err)
	}
}

func TestDocumentThatCannotBeTransformedIsQuarantined(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "orders/", `{"name":"good","amount":"1"}`)
	blue.write("create", "orders/", `{"name":"bad","amount":"many"}`)
	blue.write("create", "orders/", `{"name":"both","title":"x","amount":"1"}`)
	blue.write("create", "orders/", `{"name":"fit","amount":"1","currency":5}`)
	blue.write("create", "orders/", `{"name":"last","amount":"2"}`)
	failed := func(n int, field, why, original string) migrate.Failure {
		h := digest.Hash(blue.read(kit.NewLink("orders", strconv.Itoa(n))))
		return migrate.Failure{
			Link: kit.NewLink("orders", strconv.Itoa(n)), Seq: int64(n), Version: 1, Hash: hex.EncodeToString(h[:]),
			Field: field, Error: why, Original: original, Size: len(original),
		}
	}
	want := []migrate.Failure{
		failed(2, "amount", `"many" is no number`, `{"name":"bad","amount":"many"}`),
		failed(3, "name", `it cannot be renamed to "title": the document has both`, `{"name":"both","title":"x","amount":"1"}`),
		failed(4, "", `field "currency" is a number; it has to be a string`, `{"title":"fit","amount":1,"currency":5}`),
	}
	p := green.pull(blue)
	if p.Documents != 2 || p.Quarantined != 3 || !slices.Equal(p.Failed, want) || p.Position != blue.status().Position {
		t.Fatalf("the pull took %+v,\nwant failed %+v", p, want)
	}
	q, err := green.client.Quarantine(t.Context())
	if err != nil || !slices.Equal(q, want) {
		t.Errorf("the quarantine is %+v, %v", q, err)
	}
	if d := green.compare(blue); len(d) == 0 {
		t.Error("the sums do not tell that documents are missing")
	}
	blue.write("update", "orders/2", `{"amount":"5"}`)
	blue.write("update", "orders/3", `{"title":null}`)
	blue.write("delete", "orders/4", "")
	if p := green.pull(blue); p.Documents != 2 || p.Quarantined != 0 {
		t.Errorf("the pull of corrected documents took %+v", p)
	}
	if s := green.status(); s.Cursor == nil || s.Cursor.Quarantined != 0 || !s.Cursor.Filled {
		t.Errorf("green's cursor is %+v", s.Cursor)
	}
	green.cutOver(blue)
}

func TestQuarantineIsTriedAgainWithOtherTransformations(t *testing.T) {
	var corrected atomic.Bool
	lenient := func(v json.RawMessage) (json.RawMessage, error) {
		if corrected.Load() && string(v) == `"many"` {
			return json.RawMessage("1000"), nil
		}
		return number(v)
	}
	orders := kit.Define[order2]("orders", kit.Counted(), kit.Schema(2, []kit.Transform{
		kit.Rename("name", "title"), kit.Convert("amount", lenient, nil),
	}))
	blue := newSide(t, blueService())
	green := newSide(t, kit.Service{Name: "shop", Owns: []kit.Owned{kit.Own(orders, nil), kit.Own(notes, nil)}})
	green.fence(1)
	for range 150 {
		blue.write("create", "orders/", `{"name":"bad","amount":"many"}`)
	}
	if p := green.pull(blue); p.Quarantined != 150 || len(p.Failed) != 100 {
		t.Fatalf("the pull quarantined %d, of which it names %d", p.Quarantined, len(p.Failed))
	}
	before := green.store.Position()
	if p := green.pull(blue); p.Quarantined != 150 || green.store.Position() != before {
		t.Errorf("a second pull quarantined %d and moved green to %v", p.Quarantined, green.store.Position())
	}
	corrected.Store(true)
	if p := green.pull(blue); p.Quarantined != 0 || p.Documents != 150 {
		t.Errorf("the pull after the correction took %+v", p)
	}
	green.cutOver(blue)
}

func TestTooManyFailuresEndThePull(t *testing.T) {
	blue, green := pair(t)
	for range 1001 {
		blue.write("create", "orders/", `{"name":"bad","amount":"many"}`)
	}
	_, err := green.tryPull(blue, false)
	wantError(t, err, kit.ErrInvalid, "more than 1000", "orders/1", `field "amount"`)
}

func TestUnknownKindIsRefusedBeforeAnythingIsCopied(t *testing.T) {
	blue := newSide(t, blueService(), kit.Service{Name: "old", Owns: []kit.Owned{kit.Own(kit.Define[plain]("relics"), nil)}})
	green := newSide(t, greenService())
	green.fence(1)
	blue.write("create", "notes/a", `{}`)
	blue.write("create", "relics/a", `{}`)
	_, err := green.tryPull(blue, false)
	wantError(t, err, kit.ErrInvalid, "relics (1 documents)", "nothing was copied")
	if green.has("notes/a") || green.status().Cursor != nil {
		t.Error("something was copied")
	}
	blue.write("delete", "relics/a", "")
	green.pull(blue)
	green.cutOver(blue)
}

func TestNewerSchemaIsRefused(t *testing.T) {
	blue, green := newSide(t, greenServiceFree()), newSide(t, blueService())
	green.fence(1)
	blue.write("create", "orders/", `{"title":"n","amount":1,"currency":"EUR"}`)
	_, err := green.tryPull(blue, false)
	wantError(t, err, kit.ErrInvalid, "orders of schema 2 cannot become schema 1")
}

// greenServiceFree is greenService without lives.
func greenServiceFree() kit.Service {
	return kit.Service{Name: "shop", Owns: []kit.Owned{kit.Own(orders2, nil), kit.Own(notes, nil), kit.Own(secrets, nil)}}
}

func TestFirstPullDeletesWhatTheSourceDoesNotHave(t *testing.T) {
	blue := newSide(t, blueService())
	green := newSide(t, greenServiceFree())
	green.write("create", "notes/own", `{}`)
	green.write("create", "secrets/own", `{}`)
	green.fence(1)
	blue.write("create", "notes/a", `{}`)
	if p := green.pull(blue); p.Documents != 1 || p.Deletions != 1 || green.has("notes/own") || !green.has("secrets/own") {
		t.Errorf("the first pull took %+v", p)
	}
	green.cutOver(blue)
}

func TestRestoredSourceIsTakenFromTheBeginning(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/kept", `{}`)
	var backup bytes.Buffer
	if _, err := blue.store.Snapshot().WriteTo(&backup); err != nil {
		t.Fatal(err)
	}
	blue.write("create", "notes/lost", `{}`)
	blue.write("update", "notes/kept", `{"text":"lost"}`)
	green.pull(blue)
	if err := blue.store.Restore(&backup); err != nil {
		t.Fatal(err)
	}
	blue.propose(store.Proposal{NewEpoch: true})
	blue.write("create", "notes/new", `{}`)
	green.pull(blue)
	if green.has("notes/lost") || string(green.read("notes/kept").Body) != `{}` || !green.has("notes/new") {
		t.Error("green is not as the restored source")
	}
	green.cutOver(blue)
}

// forget lets the tombstones of s grow old and be collected.
func (s *side) forget() {
	s.t.Helper()
	s.mu.Lock()
	s.now = s.now.Add(memory.TombstoneAge)
	s.mu.Unlock()
	s.propose(store.Proposal{Tick: true})
}

func TestForgottenDeletionIsFound(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/stays", `{}`)
	blue.write("create", "notes/goes", `{}`)
	green.pull(blue)
	blue.write("delete", "notes/goes", "")
	blue.forget()
	p := green.pull(blue)
	if green.has("notes/goes") || !green.has("notes/stays") || p.Deletions != 1 {
		t.Errorf("the deleted note is there: %v; the pull took %+v", green.has("notes/goes"), p)
	}
	if p := green.pull(blue); p.Documents+p.Deletions != 0 {
		t.Errorf("another pull took %+v", p)
	}
	green.cutOver(blue)
}

func TestInterruptedFirstPullGoesOnThoughDeletionsAreForgotten(t *testing.T) {
	blue, green := pair(t)
	for i := range 12_000 {
		blue.write("create", kit.NewLink("notes", fmt.Sprint(i)), `{}`)
	}
	blue.write("delete", "notes/11999", "")
	blue.forget()
	batches := 0
	green.admit = func(p store.Proposal) error {
		if len(p.Import) == 0 {
			return nil
		}
		if batches++; batches == 2 {
			return errCrash
		}
		return nil
	}
	if _, err := green.tryPull(blue, false); err == nil {
		t.Fatal("an interrupted pull has succeeded")
	}
	green.admit = nil
	others := 11_999 - green.status().Documents
	if p := green.pull(blue); others == 0 || p.Documents != others {
		t.Errorf("the second pull took %+v, want the other %d documents", p, others)
	}
	blue.write("create", "notes/x", `{}`)
	green.cutOver(blue)
}

func TestNumbersOfLongDeletedDocumentsAreNotGivenAgain(t *testing.T) {
	blue, green := pair(t)
	for range 3 {
		blue.write("create", "orders/", `{"name":"n","amount":"1"}`)
	}
	blue.write("delete", "orders/3", "")
	blue.forget()
	green.pull(blue)
	green.cutOver(blue)
	other := newSide(t, blueService())
	other.fence(1)
	other.pull(blue)
	other.cutOver(blue)
	if _, err := other.client.Fence(t.Context(), 8, false); err != nil {
		t.Fatal(err)
	}
	if r := other.write("create", "orders/", `{"name":"n","amount":"1"}`); r.Link != "orders/4" {
		t.Errorf("the next order is %s", r.Link)
	}
}

func TestPullNeedsFences(t *testing.T) {
	blue, green := newSide(t, blueService()), newSide(t, greenService())
	_, err := green.tryPull(blue, false)
	wantError(t, err, kit.ErrConflict, "this cluster takes writes", "POST /migrate/fence")
	green.fence(1)
	_, err = green.tryPull(blue, true)
	wantError(t, err, kit.ErrConflict, "the source", "needs a fence")
	blue.fence(1)
	if _, err = green.tryPull(blue, true); err != nil {
		t.Errorf("a final pull of nothing: %v", err)
	}
}

func TestPullTellsWhatIsLeft(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "notes/a", `{}`)
	var once atomic.Bool
	green.admit = func(p store.Proposal) error {
		if p.Import != nil && once.CompareAndSwap(false, true) {
			blue.write("create", "notes/b", `{}`)
			blue.write("delete", "notes/a", "")
			blue.write("create", "secrets/b", `{}`)
		}
		return nil
	}
	if p := green.pull(blue); p.Left != 2 || p.Documents != 1 {
		t.Errorf("the pull took %+v, want 2 left", p)
	}
}

func TestSourceThatStopsIsToldAndPulledAgainW4(t *testing.T) {
	blue, green := pair(t)
	for i := range 5000 {
		blue.write("create", kit.NewLink("notes", fmt.Sprint(i)), `{"text":"0123456789"}`)
	}
	var cut atomic.Bool
	cut.Store(true)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		blue.server.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		if cut.CompareAndSwap(true, false) {
			body = body[:len(body)/2]
		}
		_, _ = w.Write(body)
	}))
	defer h.Close()
	request := migrate.PullRequest{Source: h.URL, Token: token}
	_, err := green.client.Pull(t.Context(), request)
	wantError(t, err, kit.ErrUnavailable, h.URL, "stopped before its end")
	if p, err := green.client.Pull(t.Context(), request); err != nil || p.Documents == 0 || p.Documents >= 5000 {
		t.Errorf("the second pull took %+v, %v", p, err)
	}
	green.cutOver(blue)
}

func TestSourceErrorsAreToldAsSuch(t *testing.T) {
	blue, green := pair(t)
	none := httptest.NewServer(http.NotFoundHandler())
	none.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) }))
	defer other.Close()
	tests := []struct {
		name    string
		request migrate.PullRequest
		fault   kit.Fault
		words   string
	}{
		{"wrong token", migrate.PullRequest{Source: blue.url(), Token: "wrong"}, kit.ErrInvalid, "refuses the token"},
		{"no source", migrate.PullRequest{Token: token}, kit.ErrInvalid, "it is a URL like"},
		{"nobody there", migrate.PullRequest{Source: none.URL, Token: token}, kit.ErrUnavailable, "does not answer"},
		{"something else there", migrate.PullRequest{Source: other.URL, Token: token}, kit.ErrInvalid, "not a stream of documents"},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			_, err := green.client.Pull(t.Context(), c.request)
			wantError(t, err, c.fault, c.words)
		})
	}
}

func BenchmarkPull(b *testing.B) {
	const documents = 100_000
	blue := newSide(b, blueService())
	body := json.RawMessage(`{"name":"a name of some length","amount":"1200","note":"","address":{"street":"Main Street 5","city":"Springfield","zip":"12345"},"tags":["new","priority","export"],"reference":"9f86d081884c7d65","weight":17}`)
	for range documents / 1000 {
		w := slices.Repeat([]kit.Write{{Verb: kit.VerbCreate, Link: "orders/", Body: body}}, 1000)
		blue.propose(store.Proposal{Writes: w})
	}
	b.ResetTimer()
	var spent time.Duration
	for b.Loop() {
		b.StopTimer()
		green := newSide(b, greenService())
		green.fence(1)
		b.StartTimer()
		start := time.Now()
		if p := green.pull(blue); p.Documents != documents {
			b.Fatalf("pulled %+v", p)
		}
		spent += time.Since(start)
	}
	b.ReportMetric(float64(documents*b.N)/spent.Seconds(), "docs/s")
}
