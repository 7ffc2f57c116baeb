package query

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/store/storetest"
)

// passing returns which of the bodies pass the filter, by their places.
func passing(t testing.TB, filter string, bodies ...string) string {
	t.Helper()
	f, err := Compile(storetest.Parcels.Definition, filter)
	if err != nil {
		t.Fatalf("filter %s: %v", filter, err)
	}
	var got []string
	for i, b := range bodies {
		r := kit.Record{Meta: kit.Meta{Link: "parcels/1", Kind: "parcels", Schema: 1, Version: 1}, Body: json.RawMessage(b)}
		if f.Passes(r) {
			got = append(got, fmt.Sprint(i))
		}
	}
	return strings.Join(got, " ")
}

func TestFilterOfEachType(t *testing.T) {
	for _, c := range []struct {
		filter string
		bodies []string
		want   string
	}{
		{`customer == "ada"`, []string{`{"customer":"ada"}`, `{"customer":"Ada"}`, `{}`, `{"customer":null}`, `{"customer":"\u0061da"}`, ` { "customer" : "ada" } `}, "0 4 5"},
		{`customer == ""`, []string{`{"customer":"ada"}`, `{}`, `{"customer":null}`, `{"customer":""}`}, "1 2 3"},
		{`customer.startsWith("a") && customer.size() == 3`, []string{`{"customer":"ada"}`, `{"customer":"adam"}`, `{"customer":"bob"}`}, "0"},
		{`customer == "a" || pieces == 2`, []string{`{"customer":"a"}`, `{"pieces":2}`, `{}`}, "0 1"},
		{`pieces > 2`, []string{`{"pieces":3}`, `{"pieces":2}`, `{}`}, "0"},
		{`pieces > 2.5`, []string{`{"pieces":3}`, `{"pieces":2}`}, "0"},
		{`pieces in [1, 3]`, []string{`{"pieces":3}`, `{"pieces":2}`}, "0"},
		{`pieces == 9007199254740993`, []string{`{"pieces":9007199254740993}`, `{"pieces":9007199254740992}`}, "0"},
		{`weight > 3`, []string{`{"weight":3}`, `{"weight":3.5}`, `{"weight":4}`, `{}`}, "1 2"},
		{`weight == 3`, []string{`{"weight":3}`, `{"weight":3.0}`, `{"weight":3e0}`, `{"weight":3.5}`}, "0 1 2"},
		{`3 != weight`, []string{`{"weight":3}`, `{"weight":4}`, `{}`}, "1 2"},
		{`weight in [1, 3]`, []string{`{"weight":3}`, `{"weight":2}`}, "0"},
		{`weight * 2 + 1 == 8`, []string{`{"weight":3.5}`, `{"weight":3}`}, "0"},
		{`-weight == -3`, []string{`{"weight":3}`}, "0"},
		{`weight == 0`, []string{`{}`, `{"weight":null}`, `{"weight":0}`, `{"weight":1}`}, "0 1 2"},
		{`weight > double(pieces)`, []string{`{"weight":3,"pieces":2}`, `{"weight":2,"pieces":2}`}, "0"},
		{`sizes.exists(s, s > 3)`, []string{`{"sizes":[1,4]}`, `{"sizes":[3]}`, `{}`}, "0"},
		{`fragile`, []string{`{"fragile":true}`, `{"fragile":false}`, `{}`}, "0"},
		{`!fragile`, []string{`{"fragile":true}`, `{"fragile":false}`, `{}`}, "1 2"},
		{`due < timestamp("2026-03-01T00:00:00Z")`, []string{`{"due":"2026-01-01T00:00:00Z"}`, `{"due":"2026-04-01T00:00:00Z"}`, `{}`}, "0"},
		{`due.getFullYear() == 2026`, []string{`{"due":"2026-01-01T00:00:00Z"}`, `{}`}, "0"},
		{`to.city == "Rome"`, []string{`{"to":{"city":"Rome"}}`, `{"to":{}}`, `{}`}, "0"},
		{`to.city == ""`, []string{`{"to":{"city":"Rome"}}`, `{"to":{}}`, `{}`, `{"to":null}`}, "1 2 3"},
		{`has(to.city)`, []string{`{"to":{"city":"Rome"}}`, `{"to":{}}`, `{}`}, "0"},
		{`via.city == ""`, []string{`{"via":{"city":"Rome"}}`, `{"via":{}}`, `{}`}, "1"},
		{`via == null`, []string{`{"via":{}}`, `{}`, `{"via":null}`}, "1 2"},
		{`via != null && via.zip > 5`, []string{`{"via":{"zip":6}}`, `{}`, `{"via":{}}`}, "0"},
		{`via == to`, []string{`{"via":{"zip":6},"to":{"zip":6}}`, `{"via":{"zip":6}}`}, "0"},
		{`note == "x"`, []string{`{"note":"x"}`, `{"note":""}`, `{}`}, "0"},
		{`note == null`, []string{`{"note":"x"}`, `{"note":""}`, `{}`}, "2"},
		{`rank < 5`, []string{`{"rank":4}`, `{"rank":5}`, `{}`}, "0"},
		{`stops.exists(s, s.city == "Rome" && s.zip == 0)`, []string{`{"stops":[{},{"city":"Rome"}]}`, `{"stops":[]}`, `{}`}, "0"},
		{`stops[0].zip == 7`, []string{`{"stops":[{"zip":7}]}`, `{}`}, "0"},
		{`"a" in tags && size(tags) == 2`, []string{`{"tags":["a","b"]}`, `{"tags":["a"]}`, `{}`}, "0"},
		{`tags == ["a"]`, []string{`{"tags":["a"]}`, `{"tags":["b"]}`}, "0"},
		{`labels.shop == "north"`, []string{`{"labels":{"shop":"north"}}`, `{"labels":{}}`, `{}`}, "0"},
		{`labels["shop"] == "north" || "x" in labels`, []string{`{"labels":{"shop":"north"}}`, `{"labels":{"x":"y"}}`, `{}`}, "0 1"},
		{`labels.exists(k, k.startsWith("s"))`, []string{`{"labels":{"shop":"north"}}`, `{}`}, "0"},
		{`part.part.customer == "ada"`, []string{`{"part":{"part":{"customer":"ada"}}}`, `{"part":{}}`, `{}`}, "0"},
		{`anything == 3`, []string{`{"anything":3}`, `{"anything":3.0}`, `{"anything":"3"}`, `{}`}, "0 1"},
		{`anything.a[0] == "x"`, []string{`{"anything":{"a":["x"]}}`, `{"anything":3}`, `{}`}, "0"},
		{`anything == null`, []string{`{"anything":null}`, `{}`}, "0"},
		{`raw.a == 1`, []string{`{"raw":{"a":1}}`, `{"raw":1}`}, "0"},
		{`bytes == "YQ=="`, []string{`{"bytes":"YQ=="}`}, "0"},
		{`big == 9223372036854775807`, []string{`{"big":9223372036854775807}`, `{"big":9223372036854775808}`, `{"big":18446744073709551615}`}, "0"},
		{`big > 9223372036854775807 && raw.a != 9223372036854775807`, []string{`{"big":9223372036854775807}`, `{"big":9223372036854775808,"raw":{"a":9223372036854775808}}`}, "1"},
		{`customer.matches("^a.a$") && matches(customer, "d") && anything.matches("x")`, []string{`{"customer":"ada","anything":"x"}`, `{"customer":"ada","anything":"y"}`, `{"customer":"ada"}`}, "0"},
		{`big > 5`, []string{`{"big":18446744073709551615}`, `{"big":6}`, `{"big":5}`}, "0 1"},
		{`link == "parcels/1" && version == 1 && pending.size() == 0 && source == ""`, []string{`{}`}, "0"},
		{`created < updated`, []string{`{}`}, ""},
		{``, []string{`{}`}, "0"},
		{` `, []string{`{}`}, "0"},
	} {
		if got := passing(t, c.filter, c.bodies...); got != c.want {
			t.Errorf("%s of %q: got %q, want %q", c.filter, c.bodies, got, c.want)
		}
	}
}

func TestWrongFilters(t *testing.T) {
	for _, c := range []struct{ name, filter, says, hint string }{
		{"a field that there is not", `custmer == "x"`, `no field "custmer" in parcels; it has: anything, big,`, `did you mean "customer"?`},
		{"a field of an object", `to.citty == "x"`, `no field "citty" in to; it has: city, zip`, `did you mean "city"?`},
		{"a field of a pointer's object", `via.zap == 1`, `no field "zap" in via; it has: city, zip`, `did you mean "zip"?`},
		{"a field of an object in a list", `stops.exists(s, s.citty == "x")`, `no field "citty" in s; it has: city, zip`, `did you mean "city"?`},
		{"presence of a field that there is not", `has(to.citty)`, `no field "citty" in to`, ""},
		{"a field of the envelope's operations", `pending.exists(p, p.doing == "x")`, `no field "doing" in p; it has: at, data,`, ""},
		{"a field of a string", `customer.name == "x"`, "column", ""},
		{"whole number and string", `pieces == "x"`, "column 8: == does not take a whole number and a string", ""},
		{"number and string", `weight == "x"`, "column 8: == does not take a number with a fraction and a string", ""},
		{"order of whole number and string", `pieces < "x"`, "column 8: < does not take a whole number and a string", ""},
		{"true and string", `fragile == "true"`, "column 9: == does not take true or false and a string", ""},
		{"time and string", `due == "2026"`, "column 5: == does not take a time and a string", `timestamp("`},
		{"whole number and fraction", `pieces == 2.5`, "column 8: == does not take a whole number and a number with a fraction", "3.0"},
		{"fraction and whole number in a loop", `sizes.exists(s, s == 3)`, "column 19: == does not take a number with a fraction and a whole number", "3.0"},
		{"string in whole numbers", `customer in [1, 2]`, "column 10: in does not take", ""},
		{"method of another type", `pieces.startsWith("x")`, "a whole number has no startsWith(a string)", ""},
		{"not of a string", `!customer`, "column 1: ! does not take a string", ""},
		{"and of a string", `customer && fragile`, "column", ""},
		{"list and string", `tags == "x"`, "column 6: == does not take list(string) and a string", ""},
		{"a function that there is not", `upper(customer) == "X"`, `there is no function "upper"`, ""},
		{"no test", `customer`, "the filter yields a string; it has to be true or false", ""},
		{"no expression", `customer ==`, "column", ""},
		{"a wrong pattern", `customer.matches("(")`, "the filter cannot be used", ""},
		{"a pattern from the document", `customer.matches(to.city)`, "the pattern of matches has to be a string in quotes, not computed", ""},
		{"a computed pattern", `matches(customer, "a" + "b")`, "the pattern of matches has to be a string in quotes, not computed", ""},
		{"a wrong time", `due < timestamp("soon")`, "the filter cannot be used", ""},
		{"assignment", `customer = "x"`, "column", ""},
	} {
		_, err := Compile(storetest.Parcels.Definition, c.filter)
		storetest.WantError(t, c.name, err, kit.ErrInvalid, c.says)
		if c.hint != "" {
			storetest.WantError(t, c.name, err, kit.ErrInvalid, c.hint)
		}
	}
	_, err := Compile(storetest.Parcels.Definition, strings.Repeat(" ", 5000)+"true")
	storetest.WantError(t, "a long filter", err, kit.ErrTooLarge, "4096")
	_, err = Compile(storetest.Parcels.Definition, `tags.exists(t, t.matches("(x{0,500}){0,2}y"))`)
	storetest.WantError(t, "a large pattern", err, kit.ErrTooLarge, `the pattern "(x{0,500}){0,2}y" of matches compiles to `, "instructions, the limit is 200 (repeat less in it")
}

func TestFiltersThatCostTooMuch(t *testing.T) {
	large := strings.Repeat("x", kit.MaxDocument-100)
	list := strings.TrimSuffix(strings.Repeat(`"x",`, 20_000), ",")
	for _, c := range []struct{ name, filter, body string }{
		{"a long concatenation", "size(customer" + strings.Repeat("+customer", 200) + ") > 0", fmt.Sprintf(`{"customer":%q}`, large)},
		{"a large pattern in a large string", `customer.matches("(x{0,90})y")`, fmt.Sprintf(`{"customer":%q}`, large)},
		{"the same as a function", `matches(customer, "(x{0,90})y")`, fmt.Sprintf(`{"customer":%q}`, large)},
		{"the same of any value", `anything.matches("(x{0,90})y")`, fmt.Sprintf(`{"anything":%q}`, large)},
		{"a pattern many times", `tags.all(t, !customer.matches("[ab]c.*d"))`, fmt.Sprintf(`{"customer":%q,"tags":[%s]}`, large[:20_000], list)},
		{"many conditions that cost little each", `!customer.matches("[ab]c.*d")` + strings.Repeat(` && !customer.matches("[ab]c.*d")`, 50), fmt.Sprintf(`{"customer":%q}`, large[:kit.MaxDocument/2])},
		{"a loop in a loop", `tags.all(a, tags.exists(b, a != b))`, fmt.Sprintf(`{"tags":[%s]}`, list)},
		{"objects compared in a loop", `tags.all(t, via == to)`, fmt.Sprintf(`{"tags":[%s],"via":{"city":%q},"to":{"city":%[2]q}}`, list, large[:100_000])},
	} {
		f, err := Compile(storetest.Parcels.Definition, c.filter)
		if err != nil {
			t.Fatal(err)
		}
		r := kit.Record{Meta: kit.Meta{Link: "parcels/1"}, Body: json.RawMessage(c.body)}
		_, err = f.Test(f.conjuncts).Passes(r)
		storetest.WantError(t, c.name, err, kit.ErrTooLarge, "parcels/1: to test", "costs more than the limit of 100000 units")
		if f.Passes(r) {
			t.Errorf("%s: a role would let it pass", c.name)
		}
	}
}

func TestWhatAFilterSaysOfOneField(t *testing.T) {
	v, err := vocabularyOf(storetest.Parcels.Definition)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ filter, want string }{
		{`customer == "a"`, "customer _==_ [a]"},
		{`"a" == customer`, "customer _==_ [a]"},
		{`3 < pieces`, "pieces _>_ [3]"},
		{`pieces <= -3`, "pieces _<=_ [-3]"},
		{`weight >= 3`, "weight _>=_ [3]"},
		{`to.city.startsWith("R")`, "to.city startsWith [R]"},
		{`customer in ["a", "b"]`, "customer @in [a b]"},
		{`fragile`, "fragile _==_ [true]"},
		{`!fragile`, "fragile _==_ [false]"},
		{`labels.shop == "x"`, "labels.shop _==_ [x]"},
		{`anything == 3`, "anything _==_ [3]"},
		{`created > timestamp("2026-01-01T00:00:00Z")`, "created _>_ [2026-01-01T00:00:00Z]"},
		{`customer != "a"`, ""},
		{`customer == note`, ""},
		{`customer.endsWith("a")`, ""},
		{`has(to.city)`, ""},
		{`tags == ["a"]`, ""},
		{`note == null`, ""},
		{`customer == "a" || fragile`, ""},
		{`customer in []`, ""},
		{`pieces + 1 == 3`, ""},
	} {
		ast, err := v.compile(c.filter)
		if err != nil {
			t.Fatalf("%s: %v", c.filter, err)
		}
		got := ""
		if b := v.bound(ast.NativeRep().Expr()); b != nil {
			var values []string
			for _, value := range b.values {
				values = append(values, strings.Trim(string(scalarJSON(value)), `"`))
			}
			got = fmt.Sprintf("%s %s %s", b.path, b.op, values)
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", c.filter, got, c.want)
		}
	}
}

func TestFilterIsSplitAtItsConjunctions(t *testing.T) {
	f, err := Compile(storetest.Parcels.Definition, `customer == "a" && (pieces > 3 && !fragile) && (weight > 1 || tags.exists(t, t == "x"))`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range f.conjuncts {
		got = append(got, c.text)
	}
	want := []string{`customer == "a"`, `pieces > 3`, `!fragile`, `weight > 1 || tags.exists(t, t == "x")`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// FuzzFilter checks that any filter is either refused or tests any document.
func FuzzFilter(f *testing.F) {
	f.Add(`customer == "a" && pieces > 3`, []byte(`{"customer":"a","pieces":4}`))
	f.Add(`stops.exists(s, s.zip in [1, 2]) || via.city.startsWith("x")`, []byte(`{"stops":[{"zip":1}],"via":null}`))
	f.Add(`tags.all(a, tags.all(b, a == b)) && anything.x == 1.5`, []byte(`{"tags":["x"],"anything":{"x":1.5}}`))
	f.Add(`due < timestamp("2026-01-01T00:00:00Z") ? fragile : raw == null`, []byte(`{"due":"2025-01-01T00:00:00Z","raw":[1]}`))
	f.Add(`{"a": to}["a"].city == labels.x`, []byte(`{"to":{"city":"x"},"labels":{"x":"x"}}`))
	f.Add(`[to, via].map(a, a.zip)[0] == 0 && part.part == null`, []byte(`{"part":{"part":{}},"pieces":"x"}`))
	f.Fuzz(func(t *testing.T, filter string, body []byte) {
		compiled, err := Compile(storetest.Parcels.Definition, filter)
		if err != nil {
			var e *kit.Error
			if fault := kit.FaultOf(err); fault != kit.ErrInvalid && fault != kit.ErrTooLarge {
				t.Errorf("filter %q: %v (%T), want invalid or too large", filter, err, e)
			}
			return
		}
		compiled.Passes(kit.Record{Body: body})
		for _, c := range compiled.conjuncts {
			if c.bound != nil {
				c.bound.parts()
			}
		}
	})
}
