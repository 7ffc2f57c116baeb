package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"landfall.dev/kit"
)

func unlisted(v raw) (raw, error) { return v[1 : len(v)-1], nil }

// pack makes values a list of lists, with an empty one for each that is missing.
// If there is only the first of two, and it is a text, it stays what it is.
func pack(values []raw) (raw, error) {
	if v := values[0]; len(v) > 0 && v[0] == '"' && len(values) == 2 && values[1] == nil {
		return v, nil
	}
	lists := make([]string, len(values))
	for i, v := range values {
		lists[i] = "[" + string(v) + "]"
	}
	return raw("[" + strings.Join(lists, ",") + "]"), nil
}

// unpack reverts pack.
func unpack(v raw) ([]raw, error) {
	var lists [][]raw
	if v[0] != '[' || json.Unmarshal(v, &lists) != nil {
		return []raw{v, nil}, nil
	}
	values := make([]raw, len(lists))
	for i, l := range lists {
		if len(l) > 0 {
			values[i] = l[0]
		}
	}
	return values, nil
}

// toggled is its own inverse.
func toggled(v raw) (raw, error) {
	if rest, ok := bytes.CutPrefix(v, []byte(`"~`)); ok {
		return append(raw{'"'}, rest...), nil
	}
	if v[0] == '"' {
		return append(raw(`"~`), v[1:]...), nil
	}
	return v, nil
}

// half makes a value two: itself, and nothing.
func half(v raw) ([]raw, error) { return []raw{v, nil}, nil }

// halves reverts half.
func halves(values []raw) (raw, error) {
	if values[0] == nil || values[1] != nil {
		return nil, errors.New("these are no halves")
	}
	return values[0], nil
}

// marking returns a Func that adds the field in front, and is reverted.
func marking(field string) kit.Transform {
	mark := named(field, raw("0"))
	return kit.Func(
		func(d raw) (raw, error) {
			ms, err := scanObject(d, []member{mark})
			return appendObject(nil, ms), err
		},
		func(d raw) (raw, error) {
			ms, err := scanObject(d, nil)
			if i := find(ms, mark.name); err == nil && i == 0 {
				return appendObject(nil, ms[1:]), nil
			}
			return nil, errors.New("the mark is not there")
		})
}

func back(t testing.TB, to int, steps ...[]kit.Transform) (Chain, Keep) {
	t.Helper()
	down, keep, err := Back(define(steps...), to)
	if err != nil {
		t.Fatal(err)
	}
	return down, keep
}

func TestWayBack(t *testing.T) {
	one := func(ops ...kit.Transform) [][]kit.Transform { return [][]kit.Transform{ops} }
	name := []string{"first", "last"}
	tests := []struct {
		name     string
		steps    [][]kit.Transform
		original string // as blue has kept it
		green    string // what it has become there
		want     string
	}{
		{"nothing changed", one(kit.Rename("a", "b"), kit.Drop("c"), kit.Default("d", 1)), `{"u":1,"a":2,"c":3}`, `{"u":1,"b":2,"d":1}`, `{"u":1,"a":2,"c":3}`},
		{"a dropped field keeps what the older version has", one(kit.Drop("c")), `{"c":3,"a":1}`, `{"a":2}`, `{"c":3,"a":2}`},
		{"a dropped field that somebody wrote again", one(kit.Drop("c")), `{"c":3}`, `{"c":4}`, `{"c":4}`},
		{"a default that was changed", one(kit.Default("d", 1)), `{"a":1}`, `{"a":1,"d":2}`, `{"a":1,"d":2}`},
		{"a default that was written over another value", one(kit.Default("d", 1)), `{"d":5}`, `{"d":1}`, `{"d":1}`},
		{"a default that the document had before", one(kit.Default("d", 1)), `{"d":1}`, `{"d":1}`, `{"d":1}`},
		{"fields that were added and removed", one(kit.Rename("a", "b")), `{"a":1,"u":2,"v":3}`, `{"b":1,"v":4,"w":5}`, `{"a":1,"v":4,"w":5}`},
		{"an object is replaced, not merged", one(kit.Rename("a", "b")), `{"a":{"x":1,"y":2}}`, `{"b":{"y":3,"z":null}}`, `{"a":{"y":3,"z":null}}`},
		{"convert", one(kit.Convert("a", listed, unlisted)), `{"a":1}`, `{"a":[7]}`, `{"a":7}`},
		{"edit", one(kit.Edit(
			func(f kit.Fields) error { f.Set("m", raw("0")); return nil },
			func(f kit.Fields) error { f.Remove("m"); return nil })), `{"a":1}`, `{"a":2,"m":0}`, `{"a":2}`},
		{"func", one(marking("m")), `{"a":1}`, `{"m":0,"a":2}`, `{"a":2}`},
		{"a text that was split", one(kit.SplitAt("name", name, " ")), `{"name":"Ada Lovelace"}`, `{"first":"Ada","last":"King \"L\""}`, `{"name":"Ada King \"L\""}`},
		{"a text of which there is only the start", one(kit.SplitAt("name", name, " ")), `{}`, `{"u":1,"first":"Ada"}`, `{"u":1,"name":"Ada"}`},
		{"texts that were merged", one(kit.MergeWith(name, "name", " ")), `{"last":"L","first":"A"}`, `{"name":"Ada Maria King"}`, `{"last":"Maria King","first":"Ada"}`},
		{"a part that has its default", one(kit.SplitAt("name", name, " "), kit.Default("last", "")), `{"name":"Ada"}`, `{"first":"Ida","last":""}`, `{"name":"Ida"}`},
		{"parts that all have their defaults", one(kit.SplitAt("name", name, " "), kit.Default("first", ""), kit.Default("last", "")), `{"a":1}`, `{"a":2,"first":"","last":""}`, `{"a":2}`},
		{"the same of a document that had an empty text", one(kit.SplitAt("name", name, " "), kit.Default("first", ""), kit.Default("last", "")), `{"name":""}`, `{"first":"","last":""}`, `{"name":""}`},
		{"only a part with a default", one(kit.SplitAt("name", name, " "), kit.Default("last", "?")), `{}`, `{"last":"?"}`, `{}`},
		{"a default that encoding/json escapes", one(kit.Default("d", "<"), kit.SplitAt("e", []string{"f", "g"}, " "), kit.Default("f", "<")), `{}`, `{"d":"<","f":"<"}`, `{}`},
		{"functions split and merge", one(kit.Merge([]string{"a", "b"}, "c", pack, unpack)), `{"b":2}`, `{"c":[[1],[]]}`, `{"a":1}`},
		{"a field dropped that was renamed before", [][]kit.Transform{{kit.Rename("a", "b")}, {kit.Rename("b", "c")}, {kit.Drop("c")}}, `{"a":1,"u":2}`, `{"u":3}`, `{"a":1,"u":3}`},
		{"a field dropped that was a default before", [][]kit.Transform{{kit.Default("a", 1)}, {kit.Drop("a")}}, `{"a":1}`, `{}`, `{"a":1}`},
		{"a field dropped that was merged before", [][]kit.Transform{{kit.MergeWith(name, "name", " ")}, {kit.Drop("name")}}, `{"first":"A","last":"L","u":1}`, `{}`, `{"first":"A","last":"L"}`},
		{"all parts dropped of a field that was split before", [][]kit.Transform{{kit.SplitAt("name", name, " ")}, {kit.Drop("first")}, {kit.Drop("last")}}, `{"name":"A L"}`, `{"u":1}`, `{"name":"A L","u":1}`},
		{"a dropped name that means something else now", [][]kit.Transform{{kit.Drop("a")}, {kit.Default("a", "new")}}, `{"a":7}`, `{"a":"changed"}`, `{"a":7}`},
		{"a renamed name that means something else now", [][]kit.Transform{{kit.Rename("a", "b")}, {kit.Default("a", 0)}, {kit.Drop("a")}}, `{"a":7}`, `{"b":8}`, `{"a":8}`},
		{"a merged name that means something else and is dropped", [][]kit.Transform{{kit.MergeWith(name, "name", " ")}, {kit.Default("first", 0)}, {kit.Drop("first")}}, `{"first":"A","last":"L"}`, `{}`, `{}`},
		{"a name that is exchanged", one(kit.Rename("a", "t"), kit.Rename("b", "a"), kit.Rename("t", "b")), `{"a":1,"b":2}`, `{"b":3,"a":4}`, `{"a":3,"b":4}`},
		{"a default that is renamed and converted later", [][]kit.Transform{{kit.Default("a", 1)}, {kit.Convert("a", listed, unlisted), kit.Rename("a", "b")}}, `{}`, `{"b":[1]}`, `{}`},
		{"a renamed field that gets a default", one(kit.Rename("a", "b"), kit.Convert("b", listed, unlisted), kit.Default("b", []int{1})), `{"u":1}`, `{"u":1,"b":[1]}`, `{"u":1}`},
		{"a merged field that gets a default", one(kit.MergeWith(name, "name", " "), kit.Default("name", "A L")), `{}`, `{"name":"A L"}`, `{}`},
		{"there is no original", one(kit.Rename("a", "b"), kit.Default("d", 1), kit.Drop("c")), ``, `{"b":1,"d":1}`, `{"a":1,"d":1}`},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			down, keep := back(t, 1, c.steps...)
			var sent Keep // to the older version
			if b, err := json.Marshal(keep); err != nil || json.Unmarshal(b, &sent) != nil {
				t.Fatal(err)
			}
			returned, err := down.Apply([]byte(c.green))
			if err != nil {
				t.Fatal(err)
			}
			var original []byte
			if c.original != "" {
				original = []byte(c.original)
			}
			got, err := sent.Onto(original, returned)
			if err != nil || string(got) != c.want {
				t.Errorf("%s came back onto %s as %s, %v; want %s (returned %s, keep %+v)", c.green, c.original, got, err, c.want, returned, sent)
			}
		})
	}
}

func TestWayBackEndsAtTheSchema(t *testing.T) {
	steps := [][]kit.Transform{{kit.Rename("a", "b")}, {kit.Drop("x")}, {kit.Rename("b", "c")}}
	for to, want := range map[int]string{1: `{"a":1} [x]`, 2: `{"b":1} [x]`, 3: `{"b":1} []`, 4: `{"c":1} []`} {
		down, keep := back(t, to, steps...)
		got, err := down.Apply([]byte(`{"c":1}`))
		if err != nil || fmt.Sprintf("%s %v", got, keep.Fields) != want {
			t.Errorf("schema %d: %s %v, %v; want %s", to, got, keep.Fields, err, want)
		}
	}
}

func TestWhatHasNoInverseHasNoWayBack(t *testing.T) {
	tests := []struct {
		op   []kit.Transform
		want string
	}{
		{[]kit.Transform{kit.Convert("a", listed, nil)}, `transformation 1: convert of "a" has no function for the way back`},
		{[]kit.Transform{kit.Drop("z"), kit.Func(listed, nil)}, `transformation 2: func has no function for the way back`},
		{[]kit.Transform{kit.Edit(func(kit.Fields) error { return nil }, nil)}, `transformation 1: edit has no function for the way back`},
		{[]kit.Transform{kit.Split("a", []string{"b", "c"}, half, nil)}, `transformation 1: split of "a" has no function that merges it again`},
		{[]kit.Transform{kit.Merge([]string{"a", "b"}, "c", pack, nil)}, `transformation 1: merge to "c" has no function that splits it again`},
		{[]kit.Transform{kit.SplitAt("a", []string{"b", "c"}, " "), kit.Drop("b")}, `transformation 1: "a" was split, and some of its parts, not all, are dropped later`},
	}
	for _, c := range tests {
		d := define(nil, c.op)
		if _, err := Compile(d, 1); err != nil {
			t.Errorf("the way there: %v", err)
		}
		_, _, err := Back(d, 1)
		if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), "things, from schema 2 to 3, "+c.want) {
			t.Errorf("error %v, want %s", err, c.want)
		}
		if _, _, err := Back(d, 3); err != nil {
			t.Errorf("no step back: %v", err)
		}
	}
	if _, _, err := Back(define(), 2); !errors.Is(err, kit.ErrInvalid) {
		t.Errorf("back to a newer schema: error %v", err)
	}
}

func TestWhatCannotGoBackNamesItsField(t *testing.T) {
	tests := []struct {
		name  string
		steps []kit.Transform
		green string
		want  string
	}{
		{"a rename onto a field", []kit.Transform{kit.Rename("a", "b")}, `{"b":1,"a":2}`, `field "b": it cannot be renamed to "a": the document has both`},
		{"a part that is missing", []kit.Transform{kit.SplitAt("n", []string{"f", "l"}, " ")}, `{"l":"L"}`, `field "f": it is missing, and so cannot be merged with "l"`},
		{"a part that is no text", []kit.Transform{kit.SplitAt("n", []string{"f", "l"}, " ")}, `{"f":"F","l":7}`, `field "l": it is a number, not a text`},
		{"a merged field that is no text", []kit.Transform{kit.MergeWith([]string{"f", "l"}, "n", " ")}, `{"n":{}}`, `field "n": it is an object, not a text`},
		{"a function that fails", []kit.Transform{kit.Split("n", []string{"f", "l"}, half, halves)}, `{"l":1}`, `field "n": these are no halves`},
	}
	for _, c := range tests {
		down, _ := back(t, 1, c.steps)
		got, err := down.Apply([]byte(c.green))
		var field *FieldError
		if !errors.As(err, &field) || err.Error() != c.want {
			t.Errorf("%s: %s became %s, %v; want %s", c.name, c.green, got, err, c.want)
		}
	}
}

func TestOntoRefusesWhatIsNoDocument(t *testing.T) {
	for _, c := range [][2]string{{`[]`, `{}`}, {`{}`, `{"a"`}} {
		var field *FieldError
		if got, err := (Keep{}).Onto([]byte(c[0]), []byte(c[1])); !errors.As(err, &field) {
			t.Errorf("%s onto %s is %s, %v", c[1], c[0], got, err)
		}
	}
}

// chain is a schema that rapid has drawn.
type chain struct {
	steps [][]kit.Transform
	// older are the fields that documents of schema 1 may have, but for those
	// that no transformation names.
	older []string
	texts []string // values that they may have
}

var chainNames = []string{"a", "b", "c", "d", "e"}

// drawChain draws transformations that there is a way back from.
func drawChain(t *rapid.T) chain {
	var c chain
	n := rapid.IntRange(1, 3).Draw(t, "schemas")
	touched, made, gone := map[string]bool{}, map[string]bool{}, map[string]bool{}
	parts := false
	for s := range n {
		c.steps = append(c.steps, nil)
		for i := range rapid.IntRange(0, 4).Draw(t, "transformations") {
			op := drawTransform(t, fmt.Sprintf("default%d.%d", s, i))
			c.steps[s] = append(c.steps[s], op)
			_, _, err := Back(define(c.steps...), 1)
			now := maps.Clone(made)
			if op.Op != "func" && err == nil {
				err = mark(now, op) // across functions, too
			}
			if op.Op == "convert" {
				now[op.From[0]] = true
			}
			if op.Op != "drop" && slices.ContainsFunc(op.From, func(f string) bool { return gone[f] }) {
				err = errors.New("it reads what is not there any more")
			}
			if err != nil {
				c.steps[s] = c.steps[s][:len(c.steps[s])-1]
				continue
			}
			made, parts = now, parts || len(op.From)+len(op.To) > 2
			for _, f := range op.From {
				if !touched[f] {
					c.older = append(c.older, f)
				}
				touched[f], gone[f] = true, op.Op != "convert"
			}
			if f := op.To; op.Op == "default" && !touched[f[0]] {
				c.older = append(c.older, f...)
			}
			if op.Op == "default" && !parts {
				c.texts = append(c.texts, string(op.Value))
			}
			for _, f := range op.To {
				touched[f], gone[f] = true, false
			}
		}
	}
	for _, f := range chainNames {
		if !touched[f] {
			c.older = append(c.older, f)
		}
	}
	if parts { // a default might be taken for a part
		c.texts = nil
	}
	return c
}

func drawTransform(t *rapid.T, value string) kit.Transform {
	names := rapid.Permutation(chainNames).Draw(t, "names")
	a, b, many := names[0], names[1], names[1:rapid.IntRange(3, 4).Draw(t, "many")]
	switch rapid.IntRange(0, 9).Draw(t, "op") {
	case 0, 1:
		return kit.Rename(a, b)
	case 2, 3:
		return kit.Default(a, value)
	case 4:
		return kit.Drop(a)
	case 5:
		return kit.Convert(a, toggled, toggled)
	case 6:
		return kit.SplitAt(a, many, " ")
	case 7:
		return kit.MergeWith(many, a, " ")
	case 8:
		return rapid.SampledFrom([]kit.Transform{
			kit.Split(a, names[1:3], half, halves), kit.Merge(names[1:3], a, pack, unpack), kit.SplitAt(a, []string{a, b}, " "), kit.MergeWith([]string{b, a}, a, "--"),
		}).Draw(t, "functions")
	}
	return marking("mark of " + value)
}

func (c chain) String() string {
	var b strings.Builder
	for _, ops := range c.steps {
		for _, op := range ops {
			fmt.Fprintf(&b, "%s %q to %q %s; ", op.Op, op.From, op.To, op.Value)
		}
	}
	return b.String()
}

// document draws one of schema 1.
func (c chain) document(t *rapid.T) []byte {
	values := append([]string{`""`, `"x"`, `"x y"`, `"x y  z"`, `"<\"é"`, `"--"`, `"- -"`, `7`, `null`, `{"a": [1, "}"]}`}, c.texts...)
	fields := rapid.Permutation(append(slices.Clone(c.older), "u", `v"`)).Draw(t, "order")
	var ms []member
	for _, f := range fields {
		if rapid.IntRange(0, 3).Draw(t, "there") > 0 {
			ms = append(ms, named(f, []byte(rapid.SampledFrom(values).Draw(t, "value"))))
		}
	}
	return appendObject(nil, ms)
}

func TestWhatHasGoneUpComesBackTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawChain(t)
		d := define(c.steps...)
		up, err := Compile(d, 1)
		if err != nil {
			t.Fatal(err)
		}
		down, keep, err := Back(d, 1)
		if err != nil {
			t.Fatal(err)
		}
		x, y := c.document(t), c.document(t)
		t.Logf("the steps are %s", c)
		green, err := up.Apply(x)
		if err != nil {
			return // it does not go up
		}
		came, err := down.Apply(green)
		if err != nil {
			t.Fatalf("%s became %s, which does not come back: %v", x, green, err)
		}
		if got, err := keep.Onto(x, came); err != nil || !bytes.Equal(got, x) {
			t.Fatalf("%s became %s, returned %s, and is %s now, %v; keep %+v", x, green, came, got, err, keep)
		}
		// Somebody makes of it what has become of y.
		changed, err := up.Apply(y)
		if err != nil {
			return
		}
		came, err = down.Apply(changed)
		if err != nil {
			t.Fatal(err)
		}
		got, err := keep.Onto(x, came)
		if err != nil {
			t.Fatal(err)
		}
		again, err := up.Apply(got)
		if err != nil || !maps.Equal(fieldsOf(t, again), fieldsOf(t, changed)) {
			t.Fatalf("%s was changed to %s, which came back onto %s as %s, and up again it is %s, %v; keep %+v", green, changed, x, got, again, err, keep)
		}
	})
}

func fieldsOf(t *rapid.T, b []byte) map[string]string {
	ms, err := scanObject(b, nil)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]string{}
	for _, m := range ms {
		fields[string(m.name)] = string(m.value)
	}
	return fields
}
