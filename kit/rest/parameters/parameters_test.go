package parameters

import (
	"net/url"
	"reflect"
	"strings"
	"testing"

	"landfall.dev/kit"
)

func TestAQueryKeepsAllOnItsWay(t *testing.T) {
	q := kit.Query{
		Kind: "notes", Filter: `text == "a&b=c" && stars > 1`, Order: "-stars", Select: []string{"text", "stars"}, Limit: 7, Token: "t_-",
		Consistency: kit.Linearizable, AsOf: kit.Position{Epoch: 3, Seq: 4}, Count: true,
		Group: []string{"text", "source"}, Compute: []string{"count", "sum(stars)"}, Explain: true,
	}
	for field := range reflect.TypeFor[kit.Query]().Fields() {
		if reflect.ValueOf(q).FieldByIndex(field.Index).IsZero() {
			t.Errorf("%s is not set, so it is not tested", field.Name)
		}
	}
	for _, q := range []kit.Query{q, {Kind: "notes"}} {
		v, err := url.ParseQuery(Encode(q).Encode())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Decode("notes", v); err != nil || !reflect.DeepEqual(got, q) {
			t.Errorf("got %+v, %v, want %+v", got, err, q)
		}
	}
}

func TestWrongParametersOfAList(t *testing.T) {
	for _, c := range []struct{ query, says string }{
		{"fliter=x", `a list has no parameter "fliter"; it has: filter, order, select, limit, token, consistency, asOf, count, group, compute, explain (did you mean "filter"?)`},
		{"limit=0", `the limit "0" is not a number from 1 to 1000`},
		{"limit=many", `the limit "many" is not a number from 1 to 1000`},
		{"asOf=4", `asOf=4: it is a position that a list or a watch gave`},
		{"asOf=0.0", `asOf=0.0: it is a position`},
		{"count=yes", `the parameter count is true or false, not "yes"`},
		{"explain=1", `the parameter explain is true or false, not "1"`},
		{"select=a,,b", `select=a,,b has an empty item: it is a list with commas between`},
		{"group=", `group= has an empty item`},
		{"compute=count,", `compute=count, has an empty item`},
	} {
		v, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = Decode("notes", v); kit.FaultOf(err) != kit.ErrInvalid || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v, want %s", c.query, err, c.says)
		}
	}
}
