package migrate_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/store"
)

// toOrderAndBack leads to the schema of order2, and has an inverse.
var toOrderAndBack = []kit.Transform{
	kit.Rename("name", "title"), kit.Default("currency", "EUR"), kit.Convert("amount", number, text), kit.Drop("note"),
}

var (
	ordersBack = kit.Define[order2]("orders", kit.Counted(), kit.Schema(2, toOrderAndBack))
	labels     = kit.Define[plain]("labels")
)

// text is the inverse of number.
func text(v json.RawMessage) (json.RawMessage, error) {
	if n, err := strconv.Atoi(string(v)); err != nil || n < 0 {
		return nil, fmt.Errorf("%s is no number that was written before", v)
	}
	return json.RawMessage(`"` + string(v) + `"`), nil
}

// successor returns the side of schema 2 with a way back, and a kind that the
// one before does not have.
func successor(t testing.TB) *side { return successorAt(t, epoch) }

// successorAt is successor with a clock that is at now.
func successorAt(t testing.TB, now time.Time) *side {
	t.Helper()
	s := newSide(t, kit.Service{Name: "shop", Owns: []kit.Owned{
		kit.Own(ordersBack, nil), kit.Own(notes, nil), kit.Own(secrets, nil), kit.Own(labels, nil),
	}})
	s.now = now
	s.fence(1)
	return s
}

// lift takes s's fence down.
func (s *side) lift(epoch int64) {
	s.t.Helper()
	if _, err := s.client.Fence(s.t.Context(), epoch, false); err != nil {
		s.t.Fatalf("lifting the fence: %v", err)
	}
}

// handOver moves the traffic from blue to s, and returns the position there.
func (s *side) handOver(blue *side, epoch int64) (base string) {
	s.t.Helper()
	blue.fence(epoch)
	if p, err := s.tryPull(blue, true); err != nil || p.Left != 0 {
		s.t.Fatalf("final pull: %+v, %v", p, err)
	}
	if d := s.compare(blue); len(d) > 0 {
		s.t.Fatalf("%d buckets differ before the switch", len(d))
	}
	base = s.status().Position
	s.lift(epoch)
	return base
}

// takeBack has s take back from green what changed there after base.
func (s *side) takeBack(green *side, base string, final bool) migrate.Pulled {
	s.t.Helper()
	p, err := s.tryBack(green, base, final)
	if err != nil {
		s.t.Fatalf("taking back: %v", err)
	}
	return p
}

func (s *side) tryBack(green *side, base string, final bool) (migrate.Pulled, error) {
	return s.client.Pull(s.t.Context(), migrate.PullRequest{Source: green.url(), Token: token, Base: base, Final: final})
}

// compareBack returns in which buckets s differs from green after going back.
func (s *side) compareBack(green *side) []int {
	s.t.Helper()
	copied, err := green.client.Copied(s.t.Context(), s.status().Schemas)
	if err != nil {
		s.t.Fatal(err)
	}
	returned, err := s.client.Sums(s.t.Context(), "returned")
	if err != nil {
		s.t.Fatal(err)
	}
	_, different := migrate.Compare(copied, returned)
	return different
}

// goBack moves the traffic back to s.
func (s *side) goBack(green *side, base string, epoch int64) {
	s.t.Helper()
	green.fence(epoch)
	if p := s.takeBack(green, base, true); p.Left != 0 {
		s.t.Fatalf("the last way back left %+v", p)
	}
	if d := s.compareBack(green); len(d) > 0 {
		s.t.Fatalf("%d buckets differ after going back", len(d))
	}
	s.lift(epoch)
}

func TestWayBackLosesNothingW15(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	blue.write("create", "orders/", `{"name":"tea","amount":"12","note":"black","extra":{"b": 1}}`)
	blue.write("create", "orders/", `{"name":"milk","amount":"1","note":"cold"}`)
	blue.write("create", "orders/", `{"name":"salt","amount":"2","currency":"USD"}`)
	blue.write("create", "notes/goes", `{}`)
	blue.write("create", "notes/comes", `{"text":"first"}`)
	blue.write("create", "secrets/s", `{"text":"stays"}`)
	blue.write("pay", "orders/2", "")
	green.pull(blue)
	base := green.handOver(blue, 7)

	green.write("update", "orders/1", `{"title":"green tea","amount":13,"extra":null}`)
	green.write("update", "orders/1", `{"fresh":true}`)
	green.write("create", "orders/", `{"title":"bread","amount":3,"currency":"EUR","fresh":[1]}`)
	green.write("delete", "notes/goes", "")
	green.write("delete", "notes/comes", "")
	green.write("create", "notes/comes", `{"text":"second"}`)
	green.write("create", "labels/new", `{"text":"of a kind that blue does not have"}`)

	if p := blue.takeBack(green, base, false); p.Documents != 3 || p.Deletions != 1 || p.Left != 0 || p.Quarantined != 0 {
		t.Errorf("the way back took %+v", p)
	}
	tests := []struct{ link, want string }{
		{"orders/1", `{"name":"green tea","amount":"13","note":"black","fresh":true}`},
		{"orders/2", `{"name":"milk","amount":"1","note":"cold"}`},
		{"orders/3", `{"name":"salt","amount":"2","currency":"USD"}`},
		{"orders/4", `{"name":"bread","amount":"3","fresh":[1],"currency":"EUR"}`},
		{"notes/comes", `{"text":"second"}`},
		{"secrets/s", `{"text":"stays"}`},
	}
	for _, c := range tests {
		link := kit.Link(c.link)
		if got := string(blue.read(link).Body); !sameObject(t, got, c.want) {
			t.Errorf("%s is %s, want %s", link, got, c.want)
		}
		if link.Kind() == "secrets" {
			continue
		}
		was, is := green.read(link).Meta, blue.read(link).Meta
		if is.Version != was.Version || !is.Updated.Equal(was.Updated) || !is.Created.Equal(was.Created) || is.Schema != 1 {
			t.Errorf("the envelope of %s is %+v, want that at green, %+v", link, is, was)
		}
	}
	if len(blue.read("orders/2").Pending) != 2 {
		t.Error("blue has lost the operations that are pending")
	}
	if blue.has("notes/goes") {
		t.Error("the note that was deleted at green is there")
	}
	before := blue.store.Position()
	if p := blue.takeBack(green, base, false); p.Documents+p.Deletions != 0 || blue.store.Position() != before {
		t.Errorf("taking back nothing took %+v", p)
	}
	blue.goBack(green, base, 8)
	if r := blue.write("create", "orders/", `{"name":"next","amount":"1"}`); r.Link != "orders/5" {
		t.Errorf("the next order is %s, want orders/5", r.Link)
	}
	if r := blue.write("update", "orders/1", `{"amount":"14"}`); r.Version != 4 {
		t.Errorf("the version after the way back is %d, want 4", r.Version)
	}
}

func sameObject(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y map[string]any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

func TestUpgradeAfterGoingBackWorks(t *testing.T) {
	for _, name := range []string{"with a new green", "with the same green"} {
		t.Run(name, func(t *testing.T) {
			blue, green := newSide(t, blueService()), successor(t)
			for i := range 30 {
				blue.write("create", "orders/", fmt.Sprintf(`{"name":"n","amount":"%d","note":"x"}`, i))
			}
			green.pull(blue)
			epoch := int64(7)
			for round := range 3 {
				base := green.handOver(blue, epoch)
				green.write("update", "orders/1", fmt.Sprintf(`{"title":"round %d"}`, round))
				green.write("create", "orders/", `{"title":"new","amount":1,"currency":"EUR"}`)
				green.write("delete", kit.NewLink("orders", fmt.Sprint(10+round)), "")
				blue.takeBack(green, base, false)
				green.write("update", "orders/2", fmt.Sprintf(`{"title":"late %d"}`, round))
				blue.goBack(green, base, epoch+1)
				blue.write("update", "orders/3", fmt.Sprintf(`{"name":"blue %d"}`, round))
				blue.write("delete", kit.NewLink("orders", fmt.Sprint(20+round)), "")
				if got := string(blue.read("orders/1").Body); !sameObject(t, got, fmt.Sprintf(`{"name":"round %d","amount":"0","note":"x"}`, round)) {
					t.Fatalf("in round %d blue has %s", round, got)
				}
				if name == "with a new green" {
					green = successor(t)
				}
				epoch += 2
				green.pull(blue)
			}
			green.handOver(blue, epoch)
			if got, want := green.status().Counts["orders"], blue.status().Counts["orders"]; got != want || want != 30+3-6 {
				t.Errorf("green has %d orders, blue %d, want 27", got, want)
			}
		})
	}
}

func TestLostWritesOfGreenAreNotThereInTheNextUpgrade(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	blue.write("create", "orders/", `{"name":"n","amount":"1"}`)
	green.handOver(blue, 7)
	green.write("update", "orders/1", `{"title":"lost"}`)
	green.write("create", "notes/lost", `{}`)
	green.fence(8)
	blue.lift(8) // and green's writes are given up
	green.handOver(blue, 9)
	if got := string(green.read("orders/1").Body); !sameObject(t, got, `{"title":"n","amount":1,"currency":"EUR"}`) || green.has("notes/lost") {
		t.Errorf("green has %s, and the lost note: %v", got, green.has("notes/lost"))
	}
}

// A chain of upgrades in which the middle one was green first and blue then.
func TestOriginsOfAnEarlierUpgradeDoNotConfuseTheWayBack(t *testing.T) {
	first, middle, last := newSide(t, blueService()), newSide(t, blueService()), successor(t)
	middle.fence(1)
	for i := range 40 {
		first.write("create", "orders/", fmt.Sprintf(`{"name":"n","amount":"%d"}`, i))
	}
	base := middle.handOver(first, 3)
	middle.write("update", "orders/1", `{"name":"middle"}`)
	middle.fence(4)
	first.takeBack(middle, base, true)
	if d := first.compareBack(middle); len(d) > 0 {
		t.Fatalf("%d buckets of the first side differ", len(d))
	}
	middle.lift(4)

	base = last.handOver(middle, 5)
	last.write("update", "orders/2", `{"title":"last"}`)
	last.write("delete", "orders/3", "")
	middle.goBack(last, base, 6)
	if got := string(middle.read("orders/1").Body); got != `{"name":"middle","amount":"0"}` {
		t.Errorf("what was not changed since is %s", got)
	}
}

func TestDifferenceAfterGoingBackIsFoundAndRepaired(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	for i := range 40 {
		blue.write("create", "orders/", fmt.Sprintf(`{"name":"n","amount":"%d","note":"x"}`, i))
	}
	base := green.handOver(blue, 7)
	green.write("update", "orders/1", `{"title":"green"}`)
	green.write("create", "notes/a", `{}`)
	blue.takeBack(green, base, false)
	blue.harm("orders/1", `{"name":"harmed"}`, "elsewhere")
	blue.harm("orders/2", `{"name":"harmed"}`, "")
	blue.harm("notes/alien", `{}`, "elsewhere")
	if d := blue.compareBack(green); len(d) != 3 {
		t.Fatalf("%d buckets differ, want 3", len(d))
	}
	p, err := blue.client.Repair(t.Context(), migrate.PullRequest{Source: green.url(), Token: token, Base: base})
	if err != nil || p.Documents != 2 || p.Deletions != 1 {
		t.Errorf("the repair came to %+v, %v", p, err)
	}
	if d := blue.compareBack(green); len(d) > 0 {
		t.Errorf("%d buckets differ after the repair", len(d))
	}
}

func TestWhatCannotGoBackIsToldBefore(t *testing.T) {
	blue, green := pair(t)
	reasons, err := green.client.Irreversible(t.Context(), blue.status().Schemas)
	if err != nil || len(reasons) != 1 {
		t.Fatalf("without an inverse there are %q, %v", reasons, err)
	}
	if reasons, err = successor(t).client.Irreversible(t.Context(), blue.status().Schemas); err != nil || len(reasons) != 0 {
		t.Errorf("with one there are %q, %v", reasons, err)
	}
	base := green.handOver(blue, 7)
	_, err = blue.tryBack(green, base, false)
	wantError(t, err, kit.ErrInvalid, "orders", "no function for the way back")
}

func TestDocumentThatCannotGoBackIsQuarantined(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	blue.write("create", "orders/", `{"name":"n","amount":"1"}`)
	base := green.handOver(blue, 7)
	green.write("update", "orders/1", `{"amount":-1}`)
	green.write("create", "notes/a", `{}`)
	p := blue.takeBack(green, base, false)
	if p.Documents != 1 || p.Quarantined != 1 || p.Failed[0].Link != "orders/1" || p.Failed[0].Field != "amount" || !p.Failed[0].Back {
		t.Errorf("the way back took %+v", p)
	}
	green.fence(8)
	_, err := blue.tryBack(green, base, true)
	wantError(t, err, kit.ErrConflict, "orders/1", "amount", "waive")
	if d := blue.compareBack(green); len(d) != 1 {
		t.Errorf("%d buckets differ, want 1", len(d))
	}
	if _, err := blue.client.Waive(t.Context(), "users/ada", "orders/1"); err != nil {
		t.Fatal(err)
	}
	if p := blue.takeBack(green, base, true); p.Waived != 1 || p.Quarantined != 0 {
		t.Errorf("after it was given up the way back took %+v", p)
	}
	if d := blue.compareBack(green); len(d) > 0 {
		t.Errorf("%d buckets differ though the document was given up", len(d))
	}
	if got := string(blue.read("orders/1").Body); got != `{"name":"n","amount":"1"}` {
		t.Errorf("the document that was given up became %s", got)
	}
}

func TestWayBackFromElsewhereIsRefused(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	base := green.handOver(blue, 7)
	_, err := blue.tryBack(green, fmt.Sprintf("%d.1", time.Now().Unix()+5), false)
	wantError(t, err, kit.ErrGone)
	_, err = blue.tryBack(blue, blue.status().Position, false)
	if err != nil {
		t.Errorf("a source with the same schemas is refused: %v", err)
	}
	blue.lift(8)
	_, err = blue.tryBack(green, base, false)
	wantError(t, err, kit.ErrConflict, "takes writes")
}

// Pulls back that crash now and then, while green is written.
func TestWayBackUnderWritesAndCrashesLosesNothing(t *testing.T) {
	blue, green := newSide(t, blueService()), successor(t)
	for i := range 200 {
		blue.write("create", "orders/", fmt.Sprintf(`{"name":"n","amount":"%d","note":"kept %d"}`, i, i))
	}
	base := green.handOver(blue, 7)
	green.now = green.now.Add(time.Hour)
	crash := 0
	blue.admit = func(p store.Proposal) error {
		if len(p.Import) == 0 {
			return nil
		}
		if crash++; crash%3 == 0 {
			return errCrash
		}
		return nil
	}
	written := make(chan error, 1)
	go func() {
		random := rand.New(rand.NewPCG(1, 2))
		for range 1500 {
			link := kit.NewLink("orders", fmt.Sprint(1+random.IntN(250)))
			verb, body := kit.VerbUpdate, fmt.Sprintf(`{"title":"t%d","amount":%d}`, random.IntN(1000), random.IntN(1000))
			switch {
			case !green.has(link):
				verb, body = kit.VerbCreate, fmt.Sprintf(`{"title":"new","amount":%d,"currency":"EUR"}`, random.IntN(1000))
			case random.IntN(4) == 0:
				verb, body = kit.VerbDelete, ""
			}
			if _, err := green.try(verb, link, body); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for done := false; !done; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			done = true
		default:
			_, _ = blue.tryBack(green, base, false) // and again, if it has crashed
		}
	}
	blue.admit = nil
	blue.goBack(green, base, 8)
	if got, want := blue.status().Counts["orders"], green.status().Counts["orders"]; got != want {
		t.Errorf("blue has %d orders, green %d", got, want)
	}
	for _, link := range links(green, "orders") {
		if !green.has(link) {
			continue
		}
		is, was := blue.read(link), green.read(link)
		var old order1
		var now order2
		if err := errors.Join(json.Unmarshal(is.Body, &old), json.Unmarshal(was.Body, &now)); err != nil {
			t.Fatal(err)
		}
		if old.Name != now.Title || old.Amount != fmt.Sprint(now.Amount) || is.Version != was.Version || !is.Updated.Equal(was.Updated) {
			t.Fatalf("%s came back as %s of %+v, at green it is %s of %+v", link, is.Body, is.Meta, was.Body, was.Meta)
		}
		if fresh := is.Created.After(epoch.Add(200 * time.Second)); fresh == (old.Note != "") {
			t.Errorf("%s, created %v, has the note %q", link, is.Created, old.Note)
		}
	}
}
