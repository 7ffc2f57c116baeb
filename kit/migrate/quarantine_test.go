package migrate_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/store"
)

func TestQuarantineIsKnownAfterACrash(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "orders/", `{"name":"bad","amount":"many"}`)
	cursors := 0
	green.admit = func(p store.Proposal) error {
		if p.Cursor == nil || p.Cursor.Name != "migrate" {
			return nil
		}
		if cursors++; cursors == 2 { // the document is behind the first one
			return errCrash
		}
		return nil
	}
	if _, err := green.tryPull(blue, false); err == nil || cursors != 2 {
		t.Fatalf("the pull came to %v after %d cursors, want that it crashed after the first", err, cursors)
	}
	q, err := green.client.Quarantine(t.Context())
	if err != nil || len(q) != 1 || q[0].Link != "orders/1" || q[0].Field != "amount" {
		t.Errorf("after the crash the quarantine is %+v, %v; want orders/1 in it", q, err)
	}
	if p := green.pull(blue); p.Quarantined != 1 {
		t.Errorf("the next pull has %d documents in quarantine, want 1", p.Quarantined)
	}
}

func TestQuarantineStopsTheFinalPullUntilItIsWaived(t *testing.T) {
	blue, green := pair(t)
	for i := range 30 {
		blue.write("create", "orders/", fmt.Sprintf(`{"name":"good","amount":"%d"}`, i))
	}
	green.pull(blue)
	blue.write("update", "orders/1", `{"amount":"many"}`)
	blue.write("create", "orders/", `{"name":"bad","amount":"few"}`)
	if p := green.pull(blue); p.Quarantined != 2 {
		t.Fatalf("the pull took %+v", p)
	}
	if got := string(green.read("orders/1").Body); !strings.Contains(got, `"amount":0`) {
		t.Errorf("the copy of the document in quarantine is %s", got)
	}
	_, err := green.client.Waive(t.Context(), "users/ada", "orders/1", "orders/2")
	wantError(t, err, kit.ErrNotFound, "orders/2", "not in quarantine")
	if q, err := green.client.Quarantine(t.Context()); err != nil || len(q) != 2 || q[0].WaivedBy != "" {
		t.Errorf("after a refused waiver the quarantine is %+v, %v", q, err)
	}
	blue.fence(7)
	_, err = green.tryPull(blue, true)
	wantError(t, err, kit.ErrConflict, "2 documents are in quarantine", "orders/1", `field "amount"`)
	q, err := green.client.Waive(t.Context(), "users/ada", "orders/1", "orders/31")
	if err != nil || len(q) != 2 || q[0].WaivedBy != "users/ada" || q[1].WaivedAt.IsZero() {
		t.Fatalf("the waiver came to %+v, %v", q, err)
	}
	if p, err := green.tryPull(blue, true); err != nil || p.Waived != 2 || p.Quarantined != 0 {
		t.Errorf("the final pull after the waiver took %+v, %v", p, err)
	}
	if d := green.compare(blue); len(d) > 0 {
		t.Errorf("%d buckets differ though the documents were given up", len(d))
	}
	blue.lift(8)
	blue.write("update", "orders/1", `{"amount":"still many"}`)
	if p := green.pull(blue); p.Waived != 2 {
		t.Errorf("after another change of a waived document the pull took %+v", p)
	}
	blue.write("update", "orders/1", `{"amount":"3"}`)
	blue.write("delete", "orders/31", "")
	if p := green.pull(blue); p.Waived != 0 || p.Documents != 1 {
		t.Errorf("after they were corrected the pull took %+v", p)
	}
	green.handOver(blue, 9)
}

func TestQuarantineIsRetriedAlone(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "orders/", `{"name":"bad","amount":"many"}`)
	blue.write("create", "orders/", `{"name":"gone","amount":"many"}`)
	green.pull(blue)
	blue.write("update", "orders/1", `{"amount":"1"}`)
	blue.write("delete", "orders/2", "")
	blue.write("create", "notes/a", `{}`)
	p, err := green.client.Retry(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token})
	if err != nil || p.Documents != 1 || p.Quarantined != 0 || p.Left != 3 || green.has("notes/a") {
		t.Errorf("the retry took %+v, %v", p, err)
	}
	green.cutOver(blue)
}

func TestOriginalsInQuarantineAreBounded(t *testing.T) {
	blue, green := pair(t)
	blue.write("create", "orders/", `{"name":"`+strings.Repeat("x", 20<<10)+`","amount":"many"}`)
	for range 80 {
		blue.write("create", "orders/", `{"name":"`+strings.Repeat("x", 15<<10)+`","amount":"many"}`)
	}
	green.pull(blue)
	q, err := green.client.Quarantine(t.Context())
	if err != nil || len(q) != 81 {
		t.Fatalf("%d documents are in quarantine, %v", len(q), err)
	}
	kept := 0
	for _, f := range q {
		kept += len(f.Original)
	}
	if q[0].Original != "" || q[0].Size < 20<<10 || kept < 1<<19 || kept > 1<<20 {
		t.Errorf("%d bytes of originals are kept, %d of one of %d", kept, len(q[0].Original), q[0].Size)
	}
}

func TestDifferenceIsFoundAndRepaired(t *testing.T) {
	blue, green := pair(t)
	for i := range 200 {
		blue.write("create", "orders/", fmt.Sprintf(`{"name":"n","amount":"%d"}`, i))
	}
	blue.write("create", "orders/", `{"name":"bad","amount":"many"}`)
	_, err := green.client.Repair(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token})
	wantError(t, err, kit.ErrConflict, "nothing was pulled yet")
	green.pull(blue)
	if _, err := green.client.Waive(t.Context(), "users/ada", "orders/201"); err != nil {
		t.Fatal(err)
	}
	green.harm("orders/7", `{"title":"harmed","amount":1}`, "")
	green.harm("orders/8", `{"title":"harmed","amount":1}`, "elsewhere")
	green.harm("orders/9", `{"title":"harmed","amount":1}`, "pulled")
	green.harm("notes/alien", `{}`, "elsewhere")
	if d := green.compare(blue); len(d) != 3 {
		t.Fatalf("%d buckets differ, want 3", len(d))
	}
	p, err := green.client.Repair(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token})
	if err != nil || p.Documents != 2 || p.Deletions != 1 || p.Waived != 1 {
		t.Errorf("the repair came to %+v, %v", p, err)
	}
	green.cutOver(blue)
}

func TestCopyThatDiffersEverywhereIsTakenAnew(t *testing.T) {
	blue, green := pair(t)
	for i := range 1500 {
		blue.write("create", "notes/", fmt.Sprintf(`{"text":"%d"}`, i))
	}
	green.pull(blue)
	for _, l := range links(blue, "notes") {
		green.harm(l, `{}`, "elsewhere")
	}
	p, err := green.client.Repair(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token})
	if err != nil || p.Documents != 1500 {
		t.Errorf("the repair came to %+v, %v", p, err)
	}
	green.cutOver(blue)
}

// harm writes a document that no pull has brought, past the fence. It counts as
// before without a stream; else as something else, which in the stream "pulled" is
// that of the pulls.
func (s *side) harm(link kit.Link, body, stream string) {
	s.t.Helper()
	f, ok := s.store.Find(link)
	if !ok {
		f.Record = kit.Record{Meta: kit.Meta{Link: link, Kind: link.Kind(), Version: 1, Schema: 1}}
	}
	f.Record.Body = json.RawMessage(body)
	if stream != "" {
		f.Origin.Hash = [16]byte{1}
	}
	if stream != "" && stream != "pulled" {
		f.Origin.Stream = stream
	}
	f.Origin.Seq++
	s.propose(store.Proposal{Import: []store.Imported{{Record: f.Record, Origin: f.Origin}}, PassFence: true})
}

// links returns those of all documents of the kind.
func links(s *side, kind string) (all []kit.Link) {
	s.t.Helper()
	changes, _, err := s.store.Since(kind, kit.Position{}, 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range changes {
		all = append(all, c.Record.Link)
	}
	return all
}
