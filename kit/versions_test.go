package kit_test

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// An order as the older version knows it.
type oldOrder struct {
	kit.Meta
	Guest string    `json:"guest"`
	Sent  bool      `json:"sent,omitempty"`
	Lines []oldLine `json:"lines"`
}

type oldLine struct {
	Dish  string `json:"dish"`
	Count int    `json:"count"`
}

// The newer version adds to orders and to their lines.
type newOrder struct {
	kit.Meta
	Guest string            `json:"guest"`
	Table string            `json:"table"`
	Lines []newLine         `json:"lines"`
	Notes map[string]string `json:"notes,omitempty"`
}

type newLine struct {
	Dish  string   `json:"dish"`
	Count int      `json:"count"`
	Sides []string `json:"sides,omitempty"`
}

func TestTwoVersionsThatWriteKeepEachOthersFields(t *testing.T) {
	older, newer := kit.Define[oldOrder]("orders"), kit.Define[newOrder]("orders")
	send := func(o oldOrder, e kit.Event, _ time.Time) (oldOrder, []kit.Op) {
		if e.Name == "send" {
			o.Sent = true
			o.Lines[0].Count++
		}
		return o, nil
	}
	ctx := t.Context()
	c := kittest.Serve(t, kit.Service{Name: "kitchen", Owns: []kit.Owned{kit.Own(older, send, "send")}}).Client("users/admin")
	if _, err := older.Create(ctx, c, "1", oldOrder{Guest: "Ada", Lines: []oldLine{{"soup", 1}, {"fish", 1}, {"cake", 1}}}); err != nil {
		t.Fatal(err)
	}
	change := func(who string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", who, err)
		}
	}
	_, err := newer.Modify(ctx, c, "1", func(o *newOrder) error {
		o.Table, o.Notes = "7", map[string]string{"allergy": "nuts"}
		o.Lines[0].Sides = []string{"bread"}
		o.Lines[2].Sides = []string{"cream"}
		return nil
	})
	change("the newer version", err)
	_, err = older.Modify(ctx, c, "1", func(o *oldOrder) error {
		o.Guest = "Ida"
		o.Lines = append(o.Lines[:1], o.Lines[2], oldLine{"tea", 1}) // no fish
		return nil
	})
	change("the older version", err)
	_, err = older.Send(ctx, c, "1", "send", nil)
	change("the older version's event", err)
	_, err = newer.Modify(ctx, c, "1", func(o *newOrder) error {
		o.Lines[2].Count = 2
		o.Notes["seat"] = "window"
		return nil
	})
	change("the newer version again", err)
	r, err := c.Read(ctx, older.Link("1"), kit.ReadOptions{})
	change("reading", err)
	var got, want any
	change("decoding", json.Unmarshal(r.Body, &got))
	change("decoding", json.Unmarshal([]byte(`{
		"guest": "Ida", "table": "7", "sent": true, "notes": {"allergy": "nuts", "seat": "window"},
		"lines": [{"dish": "soup", "count": 2, "sides": ["bread"]}, {"dish": "cake", "count": 1, "sides": ["cream"]}, {"dish": "tea", "count": 2}]
	}`), &want))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("after both versions have written, the order is\n%s, want\n%v", r.Body, want)
	}
}
