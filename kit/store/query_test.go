package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"landfall.dev/kit"
	"landfall.dev/kit/store/key"
	"landfall.dev/kit/store/query"
	"landfall.dev/kit/store/storetest"
	"landfall.dev/kit/store/token"
)

// newParcels returns a node with parcels of the bodies, 1 and so on.
func newParcels(t testing.TB, bodies ...string) *node {
	t.Helper()
	n := newNode(t)
	n.kinds.Add(kit.Own(storetest.Parcels, nil))
	for _, b := range bodies {
		n.now = n.now.Add(time.Second)
		n.must("create", "parcels/", b)
	}
	return n
}

// fourParcels differ in all that indexes are over.
func fourParcels(t testing.TB) *node {
	return newParcels(t,
		`{"customer":"ada","pieces":3,"weight":1.5,"due":"2026-02-01T00:00:00Z","to":{"city":"Rome"}}`,
		`{"customer":"bob","pieces":1,"weight":7,"fragile":true,"to":{"city":"Rome"},"note":"x"}`,
		`{"customer":"ada","pieces":9,"to":{"city":"Riga"},"labels":{"shop":"north"}}`,
		`{"customer":"adam","weight":2,"due":"2026-01-01T00:00:00Z","rank":1}`,
	)
}

func TestExplainTellsTheIndex(t *testing.T) {
	n := fourParcels(t)
	for _, c := range []struct {
		name    string
		q       kit.Query
		want    kit.Plan
		results string
	}{
		{"all", kit.Query{}, kit.Plan{Scanned: 4}, "1 2 3 4"},
		{"equality", kit.Query{Filter: `customer == "ada"`}, kit.Plan{Index: "customer,pieces", Range: `customer == "ada"`, Scanned: 2, Sorted: true}, "1 3"},
		{"equality in its order", kit.Query{Filter: `customer == "ada"`, Order: "-customer"}, kit.Plan{Index: "customer,pieces", Range: `customer == "ada"`, Scanned: 2}, "3 1"},
		{"equality and a range", kit.Query{Filter: `pieces > 3 && customer == "ada"`}, kit.Plan{Index: "customer,pieces", Range: `customer == "ada" && pieces > 3`, Scanned: 1, Sorted: true}, "3"},
		{"equality and one that may be missing", kit.Query{Filter: `pieces < 5 && customer == "ada"`}, kit.Plan{Index: "customer,pieces", Range: `customer == "ada" && pieces < 5`, Filter: `pieces < 5`, Scanned: 1, Sorted: true}, "1"},
		{"prefix", kit.Query{Filter: `customer.startsWith("ad")`, Order: "customer"}, kit.Plan{Index: "customer,pieces", Range: `customer.startsWith("ad")`, Scanned: 3}, "1 3 4"},
		{"prefix after equality", kit.Query{Filter: `to.city == "Rome" && fragile && customer.startsWith("b")`, Order: "to.city"}, kit.Plan{Index: "to.city,fragile,customer", Range: `to.city == "Rome" && fragile && customer.startsWith("b")`, Scanned: 1}, "2"},
		{"range of times", kit.Query{Filter: `due >= timestamp("2026-01-15T00:00:00Z") && due < timestamp("2026-03-01T00:00:00Z")`, Order: "due"}, kit.Plan{Index: "due", Range: `due >= timestamp("2026-01-15T00:00:00Z") && due < timestamp("2026-03-01T00:00:00Z")`, Scanned: 1}, "1"},
		{"one of several", kit.Query{Filter: `weight in [7, 1.5, 7]`, Order: "-weight"}, kit.Plan{Index: "weight", Range: `weight in [7.0, 1.5, 7.0]`, Scanned: 2}, "2 1"},
		{"the rest is tested", kit.Query{Filter: `customer == "ada" && to.city.endsWith("a") && customer != "x"`, Order: "customer"}, kit.Plan{Index: "customer,pieces", Range: `customer == "ada"`, Filter: `to.city.endsWith("a") && customer != "x"`, Scanned: 2}, "3"},
		{"a pointer", kit.Query{Filter: `note == "x"`, Order: "note"}, kit.Plan{Index: "note", Range: `note == "x"`, Scanned: 1}, "2"},
		{"in a map", kit.Query{Filter: `labels.shop == "north"`}, kit.Plan{Index: "labels.shop", Range: `labels.shop == "north"`, Scanned: 1}, "3"},
		{"a value that a missing one counts as", kit.Query{Filter: `weight == 0`}, kit.Plan{Index: "weight", Range: `weight == 0.0`, Filter: `weight == 0.0`, Scanned: 1, Sorted: true}, "3"},
		{"all values of an index are one", kit.Query{Filter: `rank == 1`, Order: "-link"}, kit.Plan{Index: "rank", Range: `rank == 1`, Scanned: 1}, "4"},
		{"link", kit.Query{Filter: `link == "parcels/3"`}, kit.Plan{Range: `link == "parcels/3"`, Scanned: 1}, "3"},
		{"links", kit.Query{Filter: `link in ["parcels/3", "parcels/1", "parcels/77", "notes/2"]`, Order: "-link"}, kit.Plan{Range: `link in ["parcels/3", "parcels/1", "parcels/77", "notes/2"]`, Scanned: 2}, "3 1"},
		{"links of another kind", kit.Query{Filter: `link.startsWith("notes/")`}, kit.Plan{Range: `link.startsWith("notes/")`}, ""},
		{"created", kit.Query{Filter: `created > timestamp("2026-01-02T03:04:07Z") && fragile`, Order: "created"}, kit.Plan{Index: "fragile", Range: "fragile", Filter: `created > timestamp("2026-01-02T03:04:07Z")`, Scanned: 1, Sorted: true}, "2"},
		{"created alone", kit.Query{Filter: `created > timestamp("2026-01-02T03:04:08Z")`, Order: "-created"}, kit.Plan{Range: `created > timestamp("2026-01-02T03:04:08Z")`, Scanned: 2}, "4 3"},
		{"nothing to use", kit.Query{Filter: `tags.size() == 0 && customer != "bob"`}, kit.Plan{Filter: `tags.size() == 0 && customer != "bob"`, Scanned: 4}, "1 3 4"},
		{"nothing passes", kit.Query{Filter: `weight > 3 && weight < 2`}, kit.Plan{Index: "weight", Range: `weight > 3 && weight < 2`, Filter: `weight < 2`, Sorted: true}, ""},
	} {
		c.q.Kind, c.q.Explain = "parcels", true
		p, err := n.List(c.q)
		if err != nil || p.Plan == nil || len(p.Items) != 0 {
			t.Errorf("explain %s: got plan %v, %d documents, error %v", c.name, p.Plan, len(p.Items), err)
			continue
		}
		if *p.Plan != c.want {
			t.Errorf("explain %s:\ngot  %+v\nwant %+v", c.name, *p.Plan, c.want)
		}
		c.q.Explain, c.q.Limit = false, 1
		if got := strings.Join(ids(t, n, c.q), " "); got != c.results {
			t.Errorf("%s: got %q, want %q", c.name, got, c.results)
		}
	}
}

func TestLinksThatStartWith(t *testing.T) {
	n := newNode(t)
	for _, id := range []string{"1", "12", "120", "129", "13", "130", "2", "12a", "012", "a12", "123456789012345678", "1234567890123456789", "~"} {
		n.must("create", "notes/"+id, "{}")
	}
	for _, c := range []struct{ prefix, want string }{
		{"notes/12", "12 120 129 123456789012345678 1234567890123456789 12a"},
		{"notes/1", "1 12 13 120 129 130 123456789012345678 1234567890123456789 12a"},
		{"notes/0", "012"},
		{"notes/a", "a12"},
		{"notes/1234567890123456789", "1234567890123456789"},
		{"notes/~", "~"},
		{"notes/12/", ""},
		{"nope", ""},
		{"not", "1 2 12 13 120 129 130 123456789012345678 012 1234567890123456789 12a a12 ~"},
		{"", "1 2 12 13 120 129 130 123456789012345678 012 1234567890123456789 12a a12 ~"},
	} {
		filter := fmt.Sprintf("link.startsWith(%q)", c.prefix)
		if got := strings.Join(ids(t, n, kit.Query{Kind: "notes", Filter: filter, Limit: 2}), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", filter, got, c.want)
		}
	}
}

func TestSelectKeepsTheFields(t *testing.T) {
	n := newParcels(t, `{"customer":"a","x":{"customer":1},"weight":1.50,"tags":["[", "]"],"pieces":2}`)
	for _, c := range []struct {
		fields []string
		want   string
	}{
		{nil, `{"customer":"a","x":{"customer":1},"weight":1.50,"tags":["[", "]"],"pieces":2}`},
		{[]string{"weight", "customer"}, `{"customer":"a","weight":1.50}`},
		{[]string{"tags"}, `{"tags":["[", "]"]}`},
		{[]string{"note", "link"}, `{}`},
	} {
		p, err := n.List(kit.Query{Kind: "parcels", Select: c.fields})
		if err != nil || len(p.Items) != 1 || p.Items[0].Version != 1 {
			t.Fatalf("select %q: got %+v, error %v", c.fields, p.Items, err)
		}
		if got := string(p.Items[0].Body); got != c.want {
			t.Errorf("select %q: got %s, want %s", c.fields, got, c.want)
		}
	}
}

func TestGroups(t *testing.T) {
	n := newParcels(t,
		`{"customer":"ada","pieces":3,"weight":1.5,"rank":2,"due":"2026-02-01T00:00:00+01:00","big":9223372036854775807}`,
		`{"customer":"ada","pieces":4,"weight":2,"big":9223372036854775807}`,
		`{"customer":"bob","pieces":9007199254740993,"anything":"x","due":"2026-01-31T23:00:00Z"}`,
		`{"pieces":-1,"weight":1e308,"anything":7,"note":"n"}`,
		`{"customer":"","weight":1e308,"anything":[1]}`,
	)
	for _, c := range []struct {
		name           string
		filter         string
		group, compute []string
		want           string
	}{
		{"count of all", "", nil, []string{"count"}, `[{"values":[5]}]`},
		{"count of nothing", "pieces > 9 && pieces < 9", nil, []string{"count", "sum(pieces)", "min(pieces)", "avg(weight)"}, `[{"values":[0,0,null,null]}]`},
		{"groups of nothing", "pieces > 9 && pieces < 9", []string{"customer"}, []string{"count"}, `[]`},
		{"by a field, a missing one counts as empty", "", []string{"customer"}, []string{"count", "sum(pieces)", "avg(pieces)"}, `[{"key":[""],"values":[2,-1,-0.5]},{"key":["ada"],"values":[2,7,3.5]},{"key":["bob"],"values":[1,9007199254740993,9007199254740992]}]`},
		{"numbers with fractions", `customer == "ada"`, []string{"customer"}, []string{"sum(weight)", "min(weight)", " max( weight ) ", "avg(weight)"}, `[{"key":["ada"],"values":[3.5,1.5,2,1.75]}]`},
		{"a sum beyond 64 bits", "", nil, []string{"sum(big)"}, `[{"values":[18446744073709551614]}]`},
		{"a sum that is too large", "", nil, []string{"sum(weight)", "max(weight)"}, `[{"values":[null,1e+308]}]`},
		{"least and greatest times", "", nil, []string{"min(due)", "max(due)"}, `[{"values":["2026-01-31T23:00:00Z","2026-01-31T23:00:00Z"]}]`},
		{"by times", "pieces > 0", []string{"due"}, []string{"count"}, `[{"key":[null],"values":[1]},{"key":["2026-01-31T23:00:00Z"],"values":[2]}]`},
		{"least and greatest strings", "", nil, []string{"min(customer)", "max(customer)"}, `[{"values":["","bob"]}]`},
		{"pointers that are null are left out", "", nil, []string{"count", "avg(rank)", "max(rank)"}, `[{"values":[5,2,2]}]`},
		{"by two, one of them null", `note == "n" || customer == "bob"`, []string{"note", "customer"}, nil, `[{"key":[null,"bob"]},{"key":["n",""]}]`},
		{"by any values", `customer in ["ada", "bob"] || pieces == -1`, []string{"anything"}, []string{"count"}, `[{"key":[null],"values":[2]},{"key":[7],"values":[1]},{"key":["x"],"values":[1]}]`},
		{"by fields of the envelope", `pieces > 0`, []string{"kind", "source"}, []string{"count", "max(version)"}, `[{"key":["parcels",""],"values":[3,1]}]`},
	} {
		p, err := n.List(kit.Query{Kind: "parcels", Filter: c.filter, Group: c.group, Compute: c.compute})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got, err := json.Marshal(p.Groups)
		if err != nil || string(got) != c.want || len(p.Items) != 0 {
			t.Errorf("%s:\ngot  %s, error %v\nwant %s", c.name, got, err, c.want)
		}
	}
	_, err := n.List(kit.Query{Kind: "parcels", Group: []string{"anything"}})
	storetest.WantError(t, "by lists", err, kit.ErrInvalid, `parcels/5: cannot group by "anything": it is a list or an object in this document`)
}

func TestGroupsOfNumbersBeyondInt64(t *testing.T) {
	n := newParcels(t, `{"big":18446744073709551615}`, `{"big":9223372036854775808}`, `{"big":18446744073709551615}`)
	p, err := n.List(kit.Query{Kind: "parcels", Group: []string{"big"}, Compute: []string{"sum(big)", "max(big)"}})
	got, _ := json.Marshal(p.Groups)
	want := `[{"key":[9223372036854775808],"values":[9223372036854775808,9223372036854775808]},{"key":[18446744073709551615],"values":[36893488147419103230,18446744073709551615]}]`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, error %v\nwant %s", got, err, want)
	}
}

func TestRefusedQueries(t *testing.T) {
	n := fourParcels(t)
	page := func(q kit.Query) string {
		q.Kind, q.Limit = "parcels", 1
		p, err := n.List(q)
		if err != nil || p.Next == "" {
			t.Fatalf("list %+v: next %q, error %v", q, p.Next, err)
		}
		return p.Next
	}
	for _, c := range []struct {
		name string
		q    kit.Query
		says string
	}{
		{"an order without an index", kit.Query{Order: "-pieces"}, `parcels has no order "-pieces": use link, created, updated, customer, weight, due, to.city, fragile, note, rank, labels.shop, big, or one of them with - in front (an index`},
		{"selecting no field", kit.Query{Select: []string{"custmer"}}, `no field "custmer" in parcels; it has: anything,`},
		{"selecting inside of a field", kit.Query{Select: []string{"to.city"}}, `only whole fields can be selected: "to", not "to.city"`},
		{"grouping by no field", kit.Query{Group: []string{"to.citty"}}, `no field "citty" in parcels.to; it has: city, zip (did you mean "city"?)`},
		{"grouping by an object", kit.Query{Group: []string{"to"}}, `cannot group by "to": it is Address`},
		{"grouping by a list", kit.Query{Group: []string{"tags"}}, `cannot group by "tags": it is list(string)`},
		{"grouping inside of a string", kit.Query{Group: []string{"customer.x"}}, `the field "customer" has no fields in it`},
		{"a sum of strings", kit.Query{Compute: []string{"sum(customer)"}}, `sum(customer): "customer" is no number, but a string`},
		{"an average of times", kit.Query{Compute: []string{"avg(due)"}}, `"due" is no number, but a time`},
		{"the least list", kit.Query{Compute: []string{"min(tags)"}}, `"tags" is no number, but list(string)`},
		{"another computation", kit.Query{Compute: []string{"median(pieces)"}}, `"median(pieces)" cannot be computed (use count, sum(field),`},
		{"a computation without a field", kit.Query{Compute: []string{"sum"}}, `"sum" cannot be computed`},
		{"groups in an order", kit.Query{Group: []string{"customer"}, Order: "link"}, `it takes no select, order or token`},
		{"a token of another filter", kit.Query{Token: page(kit.Query{}), Filter: "fragile"}, `is of another list (keep kind, filter, order and asOf`},
		{"a token of another order", kit.Query{Token: page(kit.Query{Order: "customer"}), Order: "-customer"}, `is of another list`},
		{"half a token", kit.Query{Token: page(kit.Query{})[5:]}, `is damaged (pass the next of the page before as it is)`},
		{"no token", kit.Query{Token: strings.Repeat("x", 500)}, `xxx..." is damaged`},
	} {
		c.q.Kind = "parcels"
		_, err := n.List(c.q)
		storetest.WantError(t, c.name, err, kit.ErrInvalid, c.says)
	}
	_, err := n.List(kit.Query{Kind: "parcels", AsOf: kit.Position{Epoch: 1, Seq: 1}})
	storetest.WantError(t, "a position of another epoch", err, kit.ErrGone, "1.1")
	ahead := n.Position()
	ahead.Seq++
	_, err = n.List(kit.Query{Kind: "parcels", AsOf: ahead})
	storetest.WantError(t, "a position to come", err, kit.ErrUnavailable, ahead.String())
}

// limitWork makes requests look at no more than n documents during the test.
func limitWork(t testing.TB, n int) {
	old := maxWork
	maxWork = n
	t.Cleanup(func() { maxWork = old })
}

func TestQueriesThatCostTooMuch(t *testing.T) {
	n := fourParcels(t)
	limitWork(t, 3)
	for _, c := range []struct {
		name string
		q    kit.Query
		want string
	}{
		{"a count", kit.Query{Count: true, Filter: `pieces > 5 && tags.size() == 0`, Limit: 1}, `to answer for the parcels that pass the filter pieces > 5 && tags.size() == 0, more than the limit of 3 documents, or KiB of them, have to be looked at (declare an index of parcels that begins with "pieces", or narrow the filter)`},
		{"groups", kit.Query{Group: []string{"customer"}}, `to answer for all of parcels, more than the limit of 3 documents, or KiB of them, have to be looked at (narrow the filter)`},
	} {
		c.q.Kind = "parcels"
		_, err := n.List(c.q)
		storetest.WantError(t, c.name, err, kit.ErrTooLarge, c.want)
	}
	p, err := n.List(kit.Query{Kind: "parcels", Filter: "pieces == 9 || pieces == 0"})
	if err != nil || len(p.Items) != 1 || p.Next == "" {
		t.Errorf("a page: got %d documents, next %q, error %v; want 1 and a token", len(p.Items), p.Next, err)
	}
	p, err = n.List(kit.Query{Kind: "parcels", Filter: "pieces == 9 || pieces == 0", Token: p.Next})
	if err != nil || len(p.Items) != 1 || p.Next != "" {
		t.Errorf("the next page: got %d documents, next %q, error %v; want the last", len(p.Items), p.Next, err)
	}
	p, err = n.List(kit.Query{Kind: "parcels", Count: true, Limit: 1})
	if err != nil || p.Count == nil || *p.Count != 4 {
		t.Errorf("a count that takes no looking: got %v, error %v", p.Count, err)
	}
	maxWork = 1000
	loop := fmt.Sprintf("[%s].all(a, [%[1]s].all(b, a + b + pieces > 0))", strings.Repeat("1, ", 99)+"1")
	_, err = n.List(kit.Query{Kind: "parcels", Filter: loop, Compute: []string{"count"}})
	if err != nil {
		t.Errorf("loops below the limit: %v", err)
	}
	maxWork = 100
	_, err = n.List(kit.Query{Kind: "parcels", Filter: loop, Compute: []string{"count"}})
	storetest.WantError(t, "loops above the limit", err, kit.ErrTooLarge, "the limit of 100")
}

func TestOneDocumentThatCostsTooMuch(t *testing.T) {
	tags, _ := json.Marshal(strings.Fields(fmt.Sprint(rand.New(rand.NewPCG(1, 1)).Perm(2000))))
	n := newParcels(t, `{"tags":["a"]}`, fmt.Sprintf(`{"tags":%s}`, tags), `{}`)
	every := "tags.all(a, tags.exists(b, a == b))"
	for _, q := range []kit.Query{
		{Filter: every}, {Filter: "!" + every}, {Filter: every, Order: "-created"}, {Filter: every, Count: true, Limit: 1},
		{Filter: every + ` && link in ["parcels/1", "parcels/2"]`}, {Filter: every, Compute: []string{"count"}},
		{Filter: `tags[0].matches("[0-9]") && ` + every},
	} {
		q.Kind = "parcels"
		_, err := n.List(q)
		storetest.WantError(t, q.Filter, err, kit.ErrTooLarge, "parcels/2: to test", "costs more than the limit of 100000 units", "put a condition with && in front")
	}
	p, err := n.List(kit.Query{Kind: "parcels", Filter: "size(tags) < 100 && " + every, Count: true})
	if err != nil || len(p.Items) != 2 || *p.Count != 2 {
		t.Errorf("with a condition in front: got %d documents, error %v; want 2", len(p.Items), err)
	}
	hidden := func(r kit.Record) bool { return r.Link != "parcels/2" }
	if p, err = n.ListFor(t.Context(), kit.Query{Kind: "parcels", Filter: every}, hidden); err != nil || len(p.Items) != 2 {
		t.Errorf("where it cannot be seen: got %d documents, error %v; want 2", len(p.Items), err)
	}
}

func TestListsOfEarlierPayForWhatHasChanged(t *testing.T) {
	n := newParcels(t)
	for range 20 {
		n.must("create", "parcels/", `{"pieces":1}`)
	}
	at := n.Position()
	for i := range 20 {
		n.must("update", fmt.Sprintf("parcels/%d", i+1), `{"pieces":2}`)
	}
	n.must("delete", "parcels/1", "")
	for range 8 {
		n.must("create", "parcels/", `{"pieces":1}`)
	}
	limitWork(t, 5)
	for _, order := range []string{"created", "-updated", "weight"} {
		_, err := n.List(kit.Query{Kind: "parcels", AsOf: at, Order: order, Limit: 1})
		storetest.WantError(t, order, err, kit.ErrTooLarge, "the limit of 5", "list as of now: what has changed since then counts too")
	}
	p, err := n.List(kit.Query{Kind: "parcels", AsOf: at, Limit: 2})
	if err != nil || len(p.Items) != 2 || p.Items[0].Link != "parcels/1" || p.Items[0].Version != 1 {
		t.Errorf("by link, where changes are met on the way: got %v, error %v", links(p.Items), err)
	}
	_, err = n.List(kit.Query{Kind: "parcels", AsOf: at, Order: "-link", Limit: 1})
	storetest.WantError(t, "by link, new ones first", err, kit.ErrTooLarge, "the limit of 5")
	maxWork = 1000
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = n.ListFor(ctx, kit.Query{Kind: "parcels", AsOf: at, Order: "created", Limit: 1}, nil)
	storetest.WantError(t, "a list that was given up", err, kit.ErrTimeout, "given up")
}

func TestGroupsAreBoundedInBytes(t *testing.T) {
	n := newNode(t)
	for i := range 20 {
		n.must("create", fmt.Sprintf("notes/%d", i), fmt.Sprintf(`{"text":"%d%s"}`, i, strings.Repeat("x", kit.MaxDocument-100)))
	}
	for _, q := range []kit.Query{{Group: []string{"text"}}, {Group: []string{"link"}, Compute: []string{"max(text)"}}} {
		q.Kind = "notes"
		_, err := n.List(q)
		storetest.WantError(t, "large groups", err, kit.ErrTooLarge, "the values of the groups have more than 16777216 bytes", "narrow the filter")
	}
	p, err := n.List(kit.Query{Kind: "notes", Group: []string{"kind"}, Compute: []string{"max(text)"}})
	if err != nil || len(p.Groups) != 1 {
		t.Errorf("one group: got %d, error %v", len(p.Groups), err)
	}
}

func TestPagesOfLargeDocuments(t *testing.T) {
	n := newNode(t)
	large := fmt.Sprintf(`{"text":%q}`, strings.Repeat("x", kit.MaxDocument-100))
	for range 18 {
		n.must("create", "notes/", large)
	}
	for _, order := range []string{"link", "-created"} {
		q := kit.Query{Kind: "notes", Order: order}
		p, err := n.List(q)
		if err != nil || len(p.Items) != 16 || p.Next == "" {
			t.Errorf("order %s: a page has %d documents of 1 MiB, next %q, error %v; want 16", order, len(p.Items), p.Next, err)
		}
		if q.Token = p.Next; len(ids(t, n, q)) != 2 {
			t.Errorf("order %s: the rest is not 2", order)
		}
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	n := newParcels(t)
	for range 3 {
		var ps []Proposal
		for range 1000 {
			ps = append(ps, Proposal{Writes: []kit.Write{write("create", "parcels/", "{}")}})
		}
		n.propose(ps...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := n.ListFor(ctx, kit.Query{Kind: "parcels", Compute: []string{"count"}}, nil)
	storetest.WantError(t, "a query that was given up", err, kit.ErrTimeout, "given up")
}

func TestWhoMayNotSeeAllGetsFullPagesAndRightCounts(t *testing.T) {
	n := newParcels(t)
	for i := range 20 {
		n.must("create", "parcels/", fmt.Sprintf(`{"customer":"%c","pieces":%d}`, 'a'+i%2, i))
	}
	visible := func(r kit.Record) bool { return key.Number(r.Link.ID())%5 == 0 }
	list := func(q kit.Query) kit.Page {
		t.Helper()
		q.Kind = "parcels"
		p, err := n.ListFor(t.Context(), q, visible)
		if err != nil {
			t.Fatalf("list %+v: %v", q, err)
		}
		return p
	}
	p := list(kit.Query{Limit: 3, Count: true})
	if len(p.Items) != 3 || *p.Count != 4 {
		t.Errorf("got %d documents of %d, want 3 of 4", len(p.Items), *p.Count)
	}
	if p = list(kit.Query{Limit: 3, Token: p.Next}); len(p.Items) != 1 || p.Next != "" {
		t.Errorf("the last page has %d documents and the token %q, want 1 and none", len(p.Items), p.Next)
	}
	p = list(kit.Query{Filter: `customer == "a"`, Group: []string{"customer"}, Compute: []string{"count", "sum(pieces)"}})
	if got, _ := json.Marshal(p.Groups); string(got) != `[{"key":["a"],"values":[2,18]}]` {
		t.Errorf("got groups %s, want 2 of a with 18 pieces", got)
	}
	if p = list(kit.Query{Filter: `customer == "a"`, Explain: true}); p.Plan.Scanned != 2 {
		t.Errorf("the plan tells of %d documents, want the 2 that can be seen", p.Plan.Scanned)
	}
	limitWork(t, 4)
	_, err := n.ListFor(t.Context(), kit.Query{Kind: "parcels"}, visible)
	storetest.WantError(t, "a page of nothing that can be seen", err, kit.ErrTooLarge, "the limit of 4")
	limitWork(t, 7)
	var got []string
	q := kit.Query{Kind: "parcels", Filter: "pieces > 5"}
	for {
		p, err := n.ListFor(t.Context(), q, visible)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range p.Items {
			got = append(got, r.Link.ID())
		}
		if q.Token = p.Next; p.Next == "" {
			break
		}
		if last, err := token.Parse(q); err != nil || !visible(kit.Record{Meta: kit.Meta{Link: storetest.Parcels.Link(fmt.Sprint(last.Key[7]))}}) {
			t.Errorf("the token tells of parcel %d, which cannot be seen", last.Key[7])
		}
	}
	if strings.Join(got, " ") != "10 15 20" {
		t.Errorf("got %q in short pages, want 10 15 20", got)
	}
}

// queries runs random queries on random parcels, and on a plain copy of them.
type queries struct {
	node    *node
	history []moment
}

// moment is what there was at a position.
type moment struct {
	at   kit.Position
	docs map[kit.Link]kit.Record
}

func (m *queries) Write(t *rapid.T) {
	var ps []Proposal
	for range rapid.IntRange(1, 8).Draw(t, "writes") {
		id := rapid.SampledFrom([]string{"1", "2", "3", "10", "11", "101", "a", "ab", "b", "1x", "01"}).Draw(t, "id")
		verb := kit.VerbCreate
		if d := m.node.find(storetest.Parcels.Link(id)); d != nil && !d.Record.Deleted {
			verb = rapid.SampledFrom([]kit.Verb{kit.VerbUpdate, kit.VerbUpdate, kit.VerbDelete}).Draw(t, "verb")
		}
		body := ""
		if verb != kit.VerbDelete {
			body = drawBody(t)
		}
		ps = append(ps, Proposal{Writes: []kit.Write{write(verb, "parcels/"+id, body)}})
	}
	m.node.now = m.node.now.Add(100 * time.Millisecond)
	docs := maps.Clone(m.history[len(m.history)-1].docs)
	for _, r := range m.node.propose(ps...) {
		for _, rec := range r.Records {
			docs[rec.Link] = rec
			if rec.Deleted {
				delete(docs, rec.Link)
			}
		}
	}
	m.history = append(m.history, moment{m.node.Position(), docs})
}

func drawBody(t *rapid.T) string {
	var fields []string
	for _, field := range []struct {
		name   string
		values []string
	}{
		{"customer", []string{`""`, `"a"`, `"ab"`, `"abc"`, `"b"`, `"a\u0000"`, `null`, `"` + strings.Repeat("a", 300) + `"`}},
		{"pieces", []string{`-1`, `0`, `1`, `2`, `3`, `9007199254740993`, `null`}},
		{"weight", []string{`-2.5`, `0`, `0.5`, `3`, `3.0`, `9007199254740993`, `1e20`, `null`}},
		{"fragile", []string{`true`, `false`, `null`}},
		{"due", []string{`"2026-01-01T00:00:00Z"`, `"2026-01-01T02:00:00+01:00"`, `"2027-01-01T00:00:00Z"`}},
		{"to", []string{`{}`, `{"city":"Rome"}`, `{"city":""}`, `{"city":null,"zip":3}`, `null`}},
		{"via", []string{`{}`, `{"zip":1}`, `null`}},
		{"note", []string{`"x"`, `""`, `null`}},
		{"rank", []string{`1`, `0`, `null`}},
		{"labels", []string{`{}`, `{"shop":"x"}`, `{"shop":null}`, `{"shop":""}`}},
		{"big", []string{`18446744073709551615`, `9223372036854775808`, `9223372036854775807`, `1`, `0`}},
	} {
		if v := rapid.SampledFrom(append(field.values, "")).Draw(t, field.name); v != "" {
			fields = append(fields, fmt.Sprintf("%q:%s", field.name, v))
		}
	}
	return "{" + strings.Join(fields, ",") + "}"
}

func drawFilter(t *rapid.T) string {
	var parts []string
	for range rapid.IntRange(0, 3).Draw(t, "conjuncts") {
		var values []string
		field := rapid.SampledFrom([]string{"customer", "pieces", "weight", "due", "to.city", "note", "rank", "labels.shop", "big", "created", "other"}).Draw(t, "field")
		switch field {
		case "customer", "to.city", "note", "labels.shop":
			values = []string{`""`, `"a"`, `"ab"`, `"x"`, `"Rome"`, `"` + strings.Repeat("a", 256) + `"`}
			if rapid.Bool().Draw(t, "prefix") {
				parts = append(parts, fmt.Sprintf("%s.startsWith(%s)", field, rapid.SampledFrom(values).Draw(t, "value")))
				continue
			}
		case "pieces", "rank", "big":
			values = []string{`-1`, `0`, `1`, `2`, `9007199254740992`, `9007199254740993`, `9223372036854775807`}
		case "weight":
			values = []string{`-2`, `0`, `0.5`, `3`, `9007199254740992`, `1e20`}
		case "due", "created":
			values = []string{`timestamp("2026-01-01T00:00:00Z")`, `timestamp("2026-01-01T01:00:00Z")`, `timestamp("2026-01-02T03:04:08.000006Z")`}
		case "other":
			parts = append(parts, rapid.SampledFrom([]string{
				"fragile", "!fragile", `customer != "a"`, "(pieces > 1 || fragile)", "via != null", "via.zip == 0", `to.zip == 3`,
				`link == "parcels/1"`, `link in ["parcels/a", "parcels/3"]`, `link.startsWith("parcels/1")`, `link >= "parcels/2"`,
				"big > 9223372036854775807u", "big <= 9223372036854775808u", "big >= 9223372036854775808.0", "big < 1e19",
			}).Draw(t, "part"))
			continue
		}
		op := rapid.SampledFrom([]string{"==", "<", "<=", ">", ">=", "in", "!="}).Draw(t, "operator")
		value := rapid.SampledFrom(values)
		if op == "in" {
			parts = append(parts, fmt.Sprintf("%s in [%s, %s]", field, value.Draw(t, "value"), value.Draw(t, "value")))
		} else {
			parts = append(parts, fmt.Sprintf("%s %s %s", field, op, value.Draw(t, "value")))
		}
	}
	return strings.Join(parts, " && ")
}

func (m *queries) Query(t *rapid.T) {
	q := kit.Query{
		Kind: "parcels", Filter: drawFilter(t), Limit: rapid.IntRange(1, 12).Draw(t, "limit"),
		Order: rapid.SampledFrom([]string{"", "-link", "created", "-updated", "customer", "-customer", "weight", "-due", "to.city", "fragile", "note", "-rank", "labels.shop", "big"}).Draw(t, "order"),
	}
	moment := rapid.SampledFrom(m.history).Draw(t, "moment")
	if moment.at != m.node.Position() {
		q.AsOf = moment.at
	}
	k, _ := m.node.kinds.find("parcels")
	f, err := query.Compile(storetest.Parcels.Definition, q.Filter)
	if err != nil {
		t.Fatalf("filter %s: %v", q.Filter, err)
	}
	order, reverse, err := k.ordering(q.Order)
	if err != nil {
		t.Fatal(err)
	}
	var want []kit.Record
	for _, r := range moment.docs {
		if f.Passes(r) {
			want = append(want, r)
		}
	}
	slices.SortFunc(want, func(a, b kit.Record) int { return bytes.Compare(k.memory.Key(order, a), k.memory.Key(order, b)) })
	if reverse {
		slices.Reverse(want)
	}
	m.compareGroups(t, q, want)
	m.compareList(t, q, want)
}

func (m *queries) compareList(t *rapid.T, q kit.Query, want []kit.Record) {
	q.Count = true
	old := maxWork
	defer func() { maxWork = old }()
	var got []kit.Record
	for {
		p, err := m.node.List(q)
		if errors.Is(err, kit.ErrTooLarge) && maxWork < 30 {
			maxWork++ // more has changed since than was allowed
			continue
		}
		if err != nil {
			t.Fatalf("list %+v: %v", q, err)
		}
		if q.Count && *p.Count != int64(len(want)) {
			t.Fatalf("list %+v: counted %d, want %d", q, *p.Count, len(want))
		}
		got = append(got, p.Items...)
		if q.Token = p.Next; p.Next == "" {
			break
		}
		q.Count = false
		maxWork = rapid.IntRange(1, 20).Draw(t, "work")
		if rapid.Bool().Draw(t, "write between") && q.AsOf == (kit.Position{}) {
			m.Write(t)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("list %+v: got %v, want %v", q, links(got), links(want))
	}
	for i := range got {
		if got[i].Link != want[i].Link || got[i].Version != want[i].Version || string(got[i].Body) != string(want[i].Body) {
			t.Fatalf("list %+v: got %v, want %v", q, links(got), links(want))
		}
	}
}

func links(rs []kit.Record) (all []string) {
	for _, r := range rs {
		all = append(all, fmt.Sprintf("%s@%d", r.Link, r.Version))
	}
	return all
}

func (m *queries) compareGroups(t *rapid.T, q kit.Query, docs []kit.Record) {
	type sums struct{ count, pieces int64 }
	want := map[string]sums{}
	for _, r := range docs {
		var p storetest.Parcel
		if err := json.Unmarshal(r.Body, &p); err != nil {
			t.Fatal(err)
		}
		key, _ := json.Marshal([]any{p.Customer, p.Fragile})
		s := want[string(key)]
		want[string(key)] = sums{s.count + 1, s.pieces + int64(p.Pieces)}
	}
	q.Order, q.Group, q.Compute = "", []string{"customer", "fragile"}, []string{"count", "sum(pieces)"}
	p, err := m.node.List(q)
	if err != nil {
		t.Fatalf("list %+v: %v", q, err)
	}
	got := map[string]sums{}
	for _, g := range p.Groups {
		key, _ := json.Marshal(g.Key)
		var values []int64
		raw, _ := json.Marshal(g.Values)
		if err := json.Unmarshal(raw, &values); err != nil {
			t.Fatal(err)
		}
		got[string(key)] = sums{values[0], values[1]}
	}
	if !maps.Equal(got, want) {
		t.Fatalf("groups of %+v: got %v, want %v", q, got, want)
	}
}

func TestQueriesFindWhatAPlainSearchFinds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := queries{node: newParcels(t, "{}")}
		p, err := m.node.List(kit.Query{Kind: "parcels"})
		if err != nil {
			t.Fatal(err)
		}
		m.history = []moment{{m.node.Position(), map[kit.Link]kit.Record{"parcels/1": p.Items[0]}}}
		r.Repeat(map[string]func(*rapid.T){"write": m.Write, "query": m.Query})
	})
}
