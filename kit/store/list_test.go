package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/store/storetest"
)

// ids returns the ids of the documents that q lists, page by page.
func ids(t testing.TB, n *node, q kit.Query) []string {
	t.Helper()
	var got []string
	for {
		p, err := n.List(q)
		if err != nil {
			t.Fatalf("list %+v: %v", q, err)
		}
		for _, r := range p.Items {
			got = append(got, r.Link.ID())
		}
		if q.Token = p.Next; q.Token == "" {
			return got
		}
	}
}

func TestListInEveryOrderPageByPage(t *testing.T) {
	n := newNode(t)
	for _, id := range []string{"9", "b", "10", "a", "010", "1"} {
		n.now = n.now.Add(time.Second)
		n.must("create", "orders/"+id, "{}")
	}
	n.now = n.now.Add(time.Second)
	n.must("update", "orders/10", `{"rush":true}`)
	n.must("create", "notes/x", "{}")
	n.must("create", "orders/gone", "{}")
	n.must("delete", "orders/gone", "")
	for _, c := range []struct{ order, want string }{
		{"", "1 9 10 010 a b"},
		{"-link", "b a 010 10 9 1"},
		{"created", "9 b 10 a 010 1"},
		{"-created", "1 010 a 10 b 9"},
		{"updated", "9 b a 010 1 10"},
		{"-updated", "10 1 010 a b 9"},
	} {
		for limit := 1; limit <= 7; limit++ {
			got := strings.Join(ids(t, n, kit.Query{Kind: "orders", Order: c.order, Limit: limit}), " ")
			if got != c.want {
				t.Errorf("order %q by %d: got %s, want %s", c.order, limit, got, c.want)
			}
		}
	}
}

func TestAllPagesShowWhatTheFirstWasReadFrom(t *testing.T) {
	n := newNode(t)
	for range 6 {
		n.must("create", "orders/", `{"title":"old"}`)
	}
	q := kit.Query{Kind: "orders", Filter: `title == "old"`, Limit: 2}
	p, err := n.List(q)
	first := n.Position()
	if err != nil || p.Position != first.String() {
		t.Fatalf("list: position %s, error %v", p.Position, err)
	}
	n.must("delete", "orders/2", "") // the one that the token was made of
	n.must("delete", "orders/3", "")
	n.must("update", "orders/5", `{"title":"new"}`)
	n.must("create", "orders/", `{"title":"old"}`)
	q.Token = p.Next
	if got := ids(t, n, q); !slices.Equal(got, []string{"3", "4", "5", "6"}) {
		t.Errorf("the pages after: got %q", got)
	}
	if p, err = n.List(q); err != nil || p.Position != first.String() {
		t.Errorf("the page after: position %s, error %v, want that of the first", p.Position, err)
	}
	q.Token = ""
	if got := ids(t, n, q); !slices.Equal(got, []string{"1", "4", "6", "7"}) {
		t.Errorf("the list again: got %q", got)
	}
	q.AsOf = first
	if got := ids(t, n, q); !slices.Equal(got, []string{"1", "2", "3", "4", "5", "6"}) {
		t.Errorf("the list as of %s: got %q", first, got)
	}
	q.Token = p.Next
	_, err = n.List(q)
	storetest.WantError(t, "a token of the list as of now", err, kit.ErrInvalid, "of another list")
	n.propose(Proposal{NewEpoch: true})
	q = kit.Query{Kind: "orders", Filter: q.Filter, Limit: 2, Token: p.Next}
	_, err = n.List(q)
	storetest.WantError(t, "a token of an earlier epoch", err, kit.ErrGone, "the list can no longer be continued: position "+first.String())
	storetest.WantError(t, "a token of an earlier epoch", err, kit.ErrGone, "list again from the first page")
}

func TestRefusedLists(t *testing.T) {
	n := newNode(t)
	n.must("create", "orders/1", "{}")
	n.must("create", "orders/2", "{}")
	p, err := n.List(kit.Query{Kind: "orders", Limit: 1})
	if err != nil || p.Next == "" {
		t.Fatalf("list: next %q, error %v", p.Next, err)
	}
	for _, c := range []struct {
		name  string
		q     kit.Query
		fault kit.Fault
		says  string
	}{
		{"unknown kind", kit.Query{Kind: "order"}, kit.ErrNotFound, `did you mean "orders"?`},
		{"unknown order", kit.Query{Kind: "orders", Order: "title"}, kit.ErrInvalid, "link, created, updated"},
		{"negative limit", kit.Query{Kind: "orders", Limit: -1}, kit.ErrInvalid, "1 to 1000"},
		{"large limit", kit.Query{Kind: "orders", Limit: 1001}, kit.ErrInvalid, "1 to 1000"},
		{"no token", kit.Query{Kind: "orders", Token: "?"}, kit.ErrInvalid, "token"},
		{"token of another order", kit.Query{Kind: "orders", Order: "created", Token: p.Next}, kit.ErrInvalid, "keep"},
		{"token of another kind", kit.Query{Kind: "notes", Token: p.Next}, kit.ErrInvalid, "keep"},
		{"unknown field", kit.Query{Kind: "orders", Filter: `staet == "open"`}, kit.ErrInvalid, `no field "staet" in orders; it has: amount, buyer,`},
		{"no test", kit.Query{Kind: "orders", Filter: `"x" + "y"`}, kit.ErrInvalid, "true or false"},
		{"no expression", kit.Query{Kind: "orders", Filter: `state == `}, kit.ErrInvalid, "column"},
		{"time and text", kit.Query{Kind: "orders", Filter: `due == "x"`}, kit.ErrInvalid, "column 5"},
		{"long filter", kit.Query{Kind: "orders", Filter: strings.Repeat(" ", 5000) + "true"}, kit.ErrTooLarge, "4096"},
	} {
		_, err := n.List(c.q)
		storetest.WantError(t, c.name, err, c.fault, c.says)
	}
	_, err = n.List(kit.Query{Kind: "orders", Filter: `staet == "open"`})
	storetest.WantError(t, "unknown field", err, kit.ErrInvalid, `did you mean "state"?`)
}

func TestFilter(t *testing.T) {
	n := newNode(t)
	n.must("create", "orders/1", `{"title":"Ink","amount":5,"rush":true,"tags":["blue","red"],"due":"2026-03-01T00:00:00Z","buyer":{"name":"Ada"}}`)
	n.must("create", "orders/2", `{"title":"Paper","amount":50,"labels":{"shop":"north"},"unknown":3}`)
	n.must("create", "orders/3", fmt.Sprintf(`{"tags":[%s"x"]}`, strings.Repeat(`"y",`, 2000)))
	n.must("pay", "orders/2", "")
	for _, c := range []struct{ filter, want string }{
		{`true`, "1 2 3"},
		{`state == "open" && amount < 10`, "1 3"},
		{`amount + 1 == 51`, "2"},
		{`!rush`, "2 3"},
		{`"blue" in tags`, "1"},
		{`labels.shop == "north"`, "2"},
		{`"shop" in labels || rush`, "1 2"},
		{`has(buyer.name) && buyer.name.startsWith("A")`, "1"},
		{`due > timestamp("2026-01-01T00:00:00Z")`, "1"},
		{`link == "orders/2" || version > 5`, "2"},
		{`pending.exists(p, p.do == "charge")`, "2"},
		{`created <= updated && source == "" && kind == "orders" && schema == 1`, "1 2 3"},
		{`expires < created`, ""},
		{`title.matches("^(Ink|Paper)$")`, "1 2"},
		{`tags.size() < 9 && tags.all(a, tags.all(b, a.size() == b.size() || a != b))`, "1 2"}, // too costly for 3
	} {
		if got := strings.Join(ids(t, n, kit.Query{Kind: "orders", Filter: c.filter, Limit: 1}), " "); got != c.want {
			t.Errorf("filter %s: got %q, want %q", c.filter, got, c.want)
		}
	}
}

func TestSinceYieldsEachChangedDocumentOnce(t *testing.T) {
	n := newNode(t)
	n.must("create", "notes/a", "{}")
	n.must("create", "notes/b", "{}")
	n.must("create", "orders/1", "{}")
	n.must("update", "notes/a", `{"text":"x"}`)
	n.must("delete", "notes/b", "")
	for _, c := range []struct {
		kind  string
		after int64
		limit int
		want  string
		more  bool
	}{
		{"", 0, 10, "orders/1@3 notes/a@4 notes/b@5!", false},
		{"", 0, 3, "orders/1@3 notes/a@4 notes/b@5!", false},
		{"", 0, 2, "orders/1@3 notes/a@4", true},
		{"notes", 0, 1, "notes/a@4", true},
		{"notes", 4, 10, "notes/b@5!", false},
		{"notes", 5, 10, "", false},
		{"orders", 3, 10, "", false},
	} {
		after := kit.Position{Epoch: n.Position().Epoch, Seq: c.after}
		changes, more, err := n.Since(c.kind, after, c.limit)
		frames, _, _ := n.Frames(c.kind, after, c.limit)
		var got []string
		for i, ch := range changes {
			s := fmt.Sprintf("%s@%d", ch.Record.Link, ch.Position.Seq)
			if ch.Record.Deleted {
				s += "!"
			}
			got = append(got, s)
			if len(frames) != len(changes) || frames[i].Record.Seq != ch.Position.Seq {
				t.Errorf("frames differ from the changes: %+v", frames)
			}
		}
		if err != nil || strings.Join(got, " ") != c.want || more != c.more {
			t.Errorf("%q after %d by %d: got %q more %t, error %v; want %q more %t", c.kind, c.after, c.limit, got, more, err, c.want, c.more)
		}
	}
	_, _, err := n.Since("note", kit.Position{}, 10)
	storetest.WantError(t, "unknown kind", err, kit.ErrNotFound, "notes")
	_, _, err = n.Since("notes", kit.Position{}, 0)
	storetest.WantError(t, "no limit", err, kit.ErrInvalid, "limit")
}
