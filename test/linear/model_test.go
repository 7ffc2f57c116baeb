package linear

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"landfall.dev/kit"
)

// input is what a client asked of one document.
type input struct {
	verb    kit.Verb // create, read, update, delete, or append
	link    kit.Link
	value   int64
	ifMatch int64
	// once makes the client repeat it under one key: it happens once, but the
	// answer may be of later.
	once bool
}

// output is what it was answered. Of a failure the fault says whether the
// write may have happened.
type output struct {
	err     error     // for who looks for the reason; not in a history
	fault   kit.Fault // 0 for success
	version int64
	value   string // of a register its number, of a list its numbers with spaces between
}

// unknown tells that the write may have happened, or may yet.
func (o output) unknown() bool { return o.fault == kit.ErrTimeout || o.fault == kit.ErrInternal }

// document is the state of one document.
type document struct {
	exists  bool
	version int64 // goes on after a deletion
	value   string
}

// model is what one document does: porcupine checks each apart, which is
// enough, since a history is linearizable if that of each document is.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[kit.Link][]porcupine.Operation{}
		for _, o := range history {
			link := o.Input.(input).link
			parts[link] = append(parts[link], o)
		}
		var all [][]porcupine.Operation
		for _, p := range parts {
			all = append(all, p)
		}
		return all
	},
	Init: func() any { return document{} },
	Step: func(state, in, out any) (bool, any) { return step(state.(document), in.(input), out.(output)) },
	DescribeOperation: func(in, out any) string {
		i, o := in.(input), out.(output)
		s := fmt.Sprintf("%s %s %d if %d once %t", i.verb, i.link, i.value, i.ifMatch, i.once)
		if o.fault != 0 {
			return s + ": " + o.fault.Error()
		}
		return fmt.Sprintf("%s: version %d, %s", s, o.version, o.value)
	},
}

// step tells whether d may answer in with out, and what it is then.
func step(d document, in input, out output) (bool, document) {
	next, fault := d.after(in)
	if out.unknown() {
		return true, next // as late as at the end of all, if it has not happened
	}
	if out.fault != fault {
		return false, d
	}
	if in.once && fault == 0 {
		return slices.Contains(strings.Fields(out.value), strconv.FormatInt(in.value, 10)), next
	}
	if fault == 0 && in.verb != kit.VerbDelete && (out.version != next.version || out.value != next.value) {
		return false, d
	}
	return true, next
}

// after returns d after in, or why in is refused.
func (d document) after(in input) (document, kit.Fault) {
	next := document{true, d.version + 1, strconv.FormatInt(in.value, 10)}
	switch {
	case in.verb == kit.VerbCreate && d.exists:
		return d, kit.ErrConflict
	case in.verb == kit.VerbCreate:
		if in.link.Kind() == "lists" {
			next.value = ""
		}
		return next, 0
	case !d.exists:
		return d, kit.ErrNotFound
	case in.ifMatch != 0 && in.ifMatch != d.version:
		return d, kit.ErrStale
	}
	switch in.verb {
	case kit.VerbRead:
		return d, 0
	case kit.VerbDelete:
		return document{version: d.version + 1}, 0
	case "append":
		next.value = strings.TrimSpace(d.value + " " + next.value)
	}
	return next, 0
}

// operation returns one of a history. One whose outcome is unknown has no end.
func operation(client int, in input, call time.Duration, out output, ret time.Duration) porcupine.Operation {
	o := porcupine.Operation{ClientId: client, Input: in, Call: int64(call), Output: out, Return: int64(ret)}
	if out.unknown() {
		o.Return = math.MaxInt64
	}
	return o
}

// check returns what is wrong with the history: nothing if it is linearizable.
func check(history []porcupine.Operation, timeout time.Duration) string {
	for _, part := range model.Partition(history) {
		switch porcupine.CheckOperationsTimeout(model, part, timeout) {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			return fmt.Sprintf("%d operations on %s were not checked within %s", len(part), part[0].Input.(input).link, timeout)
		}
		return describe(part)
	}
	return ""
}

// describe writes the shortest beginning of a document's history that is not
// linearizable, from a while before its end on.
func describe(part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	n := sort.Search(len(part)-1, func(i int) bool {
		begun := slices.Clone(part[:i+1])
		for _, p := range part[i+1:] {
			if p.Call <= part[i].Return { // it may have happened; its answer is not looked at
				p.Output, p.Return = output{fault: kit.ErrTimeout}, math.MaxInt64
				begun = append(begun, p)
			}
		}
		return !porcupine.CheckOperations(model, begun)
	})
	var b strings.Builder
	fmt.Fprintf(&b, "the answer marked > cannot be explained by any order of the %d operations on %s:", len(part), part[0].Input.(input).link)
	for i := max(0, n-25); i < len(part); i++ {
		o, mark := part[i], " "
		if i == n {
			mark = ">"
		}
		if i > n && (o.Call > part[n].Return || !o.Output.(output).unknown()) {
			continue
		}
		fmt.Fprintf(&b, "\n%s client %d %9.3f to %9.3f s: %s", mark, o.ClientId, float64(o.Call)/1e9, min(float64(o.Return)/1e9, 9999), model.DescribeOperation(o.Input, o.Output))
	}
	return b.String()
}

func TestCheckerRefusesWhatCannotBe(t *testing.T) {
	const link = "registers/r"
	create := func(v int64) input { return input{verb: kit.VerbCreate, link: link, value: v} }
	update := func(v, ifMatch int64) input {
		return input{verb: kit.VerbUpdate, link: link, value: v, ifMatch: ifMatch}
	}
	read := input{verb: kit.VerbRead, link: link}
	remove := input{verb: kit.VerbDelete, link: link}
	got := func(version int64, value string) output { return output{version: version, value: value} }
	failed := func(f kit.Fault) output { return output{fault: f} }
	sure := func(client int, call, ret time.Duration, in input, out output) porcupine.Operation {
		return operation(client, in, call, out, ret)
	}
	for _, test := range []struct {
		name    string
		history []porcupine.Operation
		ok      bool
	}{
		{"reads that follow the writes", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(1, 2, 3, update(2, 1), got(2, "2")), sure(2, 4, 5, read, got(2, "2")),
		}, true},
		{"a stale read", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(1, 2, 3, update(2, 1), got(2, "2")), sure(2, 4, 5, read, got(1, "1")),
		}, false},
		{"a read during the write", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(1, 2, 6, update(2, 1), got(2, "2")), sure(2, 4, 5, read, got(1, "1")),
		}, true},
		{"a lost write", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(2, 2, 3, read, failed(kit.ErrNotFound)),
		}, false},
		{"an unknown write that happens late", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(1, 2, 3, update(2, 0), failed(kit.ErrTimeout)),
			sure(2, 4, 5, read, got(1, "1")), sure(2, 6, 7, read, got(2, "2")),
		}, true},
		{"an unknown write that happens and is undone", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(1, 2, 3, update(2, 0), failed(kit.ErrTimeout)),
			sure(2, 4, 5, read, got(2, "2")), sure(2, 6, 7, read, got(1, "1")),
		}, false},
		{"two writers of one version", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")),
			sure(1, 2, 5, update(2, 1), got(2, "2")), sure(2, 2, 5, update(3, 1), got(2, "3")),
		}, false},
		{"a refusal for a reason that was not there", []porcupine.Operation{
			sure(1, 0, 1, create(1), got(1, "1")), sure(1, 2, 3, remove, output{}), sure(2, 4, 5, create(2), failed(kit.ErrConflict)),
		}, false},
		{"what was to happen once and happens twice", []porcupine.Operation{
			sure(1, 0, 1, input{verb: kit.VerbCreate, link: "lists/l"}, got(1, "")),
			sure(1, 2, 3, input{verb: "append", link: "lists/l", value: 7, once: true}, got(3, "7 7")),
			sure(2, 4, 5, input{verb: kit.VerbRead, link: "lists/l"}, got(3, "7 7")),
		}, false},
		{"a list that forgets", []porcupine.Operation{
			sure(1, 0, 1, input{verb: kit.VerbCreate, link: "lists/l"}, got(1, "")),
			sure(1, 2, 3, input{verb: "append", link: "lists/l", value: 7}, got(2, "7")),
			sure(2, 4, 5, input{verb: "append", link: "lists/l", value: 8}, got(3, "8")),
		}, false},
	} {
		wrong := check(test.history, time.Minute)
		if ok := wrong == ""; ok != test.ok {
			t.Errorf("%s: linearizable is %t, want %t: %s", test.name, ok, test.ok, wrong)
		}
		if !test.ok && !strings.Contains(wrong, "\n> ") {
			t.Errorf("%s: the description marks no answer: %s", test.name, wrong)
		}
	}
}
