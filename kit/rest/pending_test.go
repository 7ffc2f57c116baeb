package rest_test

import (
	"context"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// alarm is a document that wishes for something later, if it rings.
type alarm struct {
	kit.Meta
	Rings bool `json:"rings"`
}

var alarms = kit.Define[alarm]("alarms")

func nextAlarm(a alarm, e kit.Event, now time.Time) (alarm, []kit.Op) {
	if e.Name == "created" && a.Rings {
		return a, []kit.Op{kit.SendAt(now.Add(time.Hour), a.Link, "ring", nil)}
	}
	return a, nil
}

func TestAWatchCanBeginWithWhatIsPending(t *testing.T) {
	c := kittest.Serve(t, kit.Service{Name: "clock", Owns: []kit.Owned{kit.Own(alarms, nextAlarm)}}).Client("services/clock")
	add := func(id string, rings bool) {
		t.Helper()
		if _, err := alarms.Create(t.Context(), c, id, alarm{Rings: rings}); err != nil {
			t.Fatal(err)
		}
	}
	add("silent", false)
	add("loud", true)
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var got []string
	for ch, err := range c.Watch(ctx, kit.WatchQuery{Kind: alarms.Name, Pending: true}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ch.Record.Link.ID())
		if len(got) == 1 {
			add("later", false) // what changes from now on is told in any case
			continue
		}
		break
	}
	if len(got) != 2 || got[0] != "loud" || got[1] != "later" {
		t.Errorf("the watch told of %v, want loud, then later", got)
	}
}
