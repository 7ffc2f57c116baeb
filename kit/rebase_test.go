package kit

import (
	"testing"
	"time"
)

// basket is what an older version knows of baskets.
type basket struct {
	Meta
	Note  string            `json:"note,omitempty"`
	Lines []line            `json:"lines,omitempty"`
	By    map[string]line   `json:"by,omitempty"`
	Plan  *plan             `json:"plan,omitempty"`
	Grid  [][]line          `json:"grid,omitempty"`
	Tags  []string          `json:"tags,omitempty"`
	Words map[string]string `json:"words,omitempty"`
}

type line struct {
	ID    int    `json:"id"`
	What  string `json:"what"`
	Count int    `json:"count,omitempty"`
}

type plan struct {
	Days  int    `json:"days"`
	Lines []line `json:"lines,omitempty"`
}

func TestTypedWritesKeepWhatTheyDoNotKnow(t *testing.T) {
	const lines = `{"lines":[{"id":1,"what":"a","new":"x"},{"new":"y","id":2,"what":"b"},{"id":3,"what":"c","new":{"z":1}}]}`
	tests := []struct {
		name   string
		doc    string
		change func(*basket)
		want   string
	}{
		{"a field", `{"new":1e2,"note":"a"}`, func(b *basket) { b.Note = "b" }, `{"new":1e2,"note":"b"}`},
		{"an object", `{"plan":{"days":1,"new":[1]}}`, func(b *basket) { b.Plan.Days = 2 }, `{"plan":{"days":2,"new":[1]}}`},
		{"an object in a map", `{"by":{"a":{"id":1,"what":"a","new":1}}}`, func(b *basket) { b.By["a"] = line{ID: 1, What: "b"} }, `{"by":{"a":{"id":1,"what":"b","new":1}}}`},
		{"an object in a list", lines, func(b *basket) { b.Lines[1].What = "d" }, `{"lines":[{"id":1,"what":"a","new":"x"},{"new":"y","id":2,"what":"d"},{"id":3,"what":"c","new":{"z":1}}]}`},
		{"one more in a list", lines, func(b *basket) { b.Lines = append(b.Lines, line{ID: 4, What: "d"}) }, lines[:len(lines)-2] + `,{"id":4,"what":"d"}]}`},
		{"one less in a list", lines, func(b *basket) { b.Lines = b.Lines[1:] }, `{"lines":[{"new":"y","id":2,"what":"b"},{"id":3,"what":"c","new":{"z":1}}]}`},
		{"another order in a list", lines, func(b *basket) { b.Lines[0], b.Lines[2] = b.Lines[2], b.Lines[0] }, `{"lines":[{"id":3,"what":"c","new":{"z":1}},{"new":"y","id":2,"what":"b"},{"id":1,"what":"a","new":"x"}]}`},
		{"another object in the place of one", lines, func(b *basket) { b.Lines[1] = line{ID: 9, What: "e"} }, `{"lines":[{"id":1,"what":"a","new":"x"},{"id":9,"what":"e"},{"id":3,"what":"c","new":{"z":1}}]}`},
		{"a list inside an object", `{"plan":{"new":1,"days":1,"lines":[{"id":1,"what":"a","new":2}]}}`, func(b *basket) { b.Plan.Lines[0].Count = 2 }, `{"plan":{"new":1,"days":1,"lines":[{"id":1,"what":"a","new":2,"count":2}]}}`},
		{"a list inside a list", `{"grid":[[{"id":1,"what":"a","new":2}],[]]}`, func(b *basket) { b.Grid[0][0].What = "b" }, `{"grid":[[{"id":1,"what":"b","new":2}],[]]}`},
		{"equal objects of a list", `{"lines":[{"id":1,"what":"a","new":1},{"id":1,"what":"a","new":2}]}`, func(b *basket) { b.Lines = append([]line{{ID: 0, What: "z"}}, b.Lines...) }, `{"lines":[{"id":0,"what":"z"},{"id":1,"what":"a","new":1},{"id":1,"what":"a","new":2}]}`},
		{"a list of texts", `{"tags":["a","b"]}`, func(b *basket) { b.Tags[0] = "c" }, `{"tags":["c","b"]}`},
		{"what is removed", `{"note":"a","plan":{"days":1,"new":2},"words":{"a":"b","c":"d"}}`, func(b *basket) { b.Note, b.Plan = "", nil; delete(b.Words, "a") }, `{"words":{"c":"d"}}`},
	}
	baskets := Define[basket]("baskets")
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			owned := Own(baskets, func(b basket, _ Event, _ time.Time) (basket, []Op) {
				c.change(&b)
				return b, nil
			})
			got, _, err := owned.Step(Record{Body: []byte(c.doc)}, Event{Name: "change"}, time.Time{})
			if err != nil || string(got) != c.want {
				t.Errorf("it became\n%s, %v, want\n%s", got, err, c.want)
			}
		})
	}
}
