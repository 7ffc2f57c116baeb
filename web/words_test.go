package web

import (
	"slices"
	"testing"
	"time"

	"landfall.dev/api"
)

func TestWordsForNumbers(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct{ got, want string }{
		{ago(now.Add(-2*time.Second), now), "now"},
		{ago(now.Add(-42*time.Second), now), "42 s ago"},
		{ago(now.Add(-3*time.Hour), now), "3 h ago"},
		{ago(now.Add(-72*time.Hour), now), "3 days ago"},
		{ago(now.AddDate(-1, 0, 0), now), "2025-03-01"},
		{ago(time.Time{}, now), "never"},
		{span(time.Time{}, now, now), ""},
		{span(now.Add(-75*time.Second), time.Time{}, now), "1 min 15 s"},
		{span(now, now.Add(-time.Second), now), "0 s"},
		{brief(84 * time.Millisecond), "84 ms"},
		{brief(1500 * time.Millisecond), "1.5 s"},
		{brief(26 * time.Hour), "26 h 0 min"},
		{count(0), "0"},
		{count(999), "999"},
		{count(1234567), "1,234,567"},
		{count(-1234), "-1,234"},
		{size(999), "999 B"},
		{size(1_500_000), "1.5 MB"},
		{short("sha256:0123456789abcdef"), "0123456789ab"},
		{image("ledger@sha256:0123456789abcdef"), "ledger@0123456789ab"},
		{image("ledger:2.0"), "ledger:2.0"},
		{cut("äöü-ledger", 4), "äöü…"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, wanted %q", test.got, test.want)
		}
	}
}

func TestNodesStandRightOfWhatTheyNeed(t *testing.T) {
	node := func(id string, needs ...string) runStep { return runStep{Plan: api.Node{ID: id}, Before: needs} }
	g := graphOf([]runStep{node("a"), node("b", "a"), node("c", "a", "b"), node("d", "unknown"), node("e", "b")})
	x := map[string]int{}
	for _, b := range g.Boxes {
		x[b.Name] = (b.X - graphMargin) / (boxWidth + columnGap)
		if b.X < 0 || b.Y < 0 || b.X+b.Width > g.Width || b.Y+b.Height > g.Height {
			t.Errorf("the node %s lies outside of the drawing", b.Name)
		}
	}
	for id, want := range map[string]int{"a": 0, "b": 1, "c": 2, "d": 0, "e": 2} {
		if x[id] != want {
			t.Errorf("node %s is in column %d, wanted %d", id, x[id], want)
		}
	}
	if len(g.Arrows) != 4 {
		t.Errorf("got %d arrows, wanted 4", len(g.Arrows))
	}
}

func TestStagesOfAnUpgradeThatGoesBack(t *testing.T) {
	history := []api.Moment{{State: api.UpgradePlanned}, {State: api.UpgradeCopying}, {State: api.UpgradeCopying}, {State: api.UpgradeAborting}}
	for _, test := range []struct {
		state api.UpgradeState
		want  []stage
	}{
		{api.UpgradeAborting, []stage{{api.UpgradePlanned, "done"}, {api.UpgradeCopying, "done"}, {api.UpgradeAborting, "now"}, {api.UpgradeAborted, "next"}}},
		{api.UpgradeAborted, []stage{{api.UpgradePlanned, "done"}, {api.UpgradeCopying, "done"}, {api.UpgradeAborting, "done"}, {api.UpgradeAborted, "now"}}},
	} {
		if got := stagesOf(api.Upgrade{State: test.state, History: history}); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, wanted %v", test.state, got, test.want)
		}
	}
	ahead := stagesOf(api.Upgrade{State: api.UpgradeRetired})
	if ahead[len(ahead)-1] != (stage{api.UpgradeRetired, "done"}) {
		t.Errorf("retired: got %v at the end, wanted it done", ahead[len(ahead)-1])
	}
}

func TestChartsHaveRoomForAnyCycles(t *testing.T) {
	for _, test := range [][]int64{{0}, {1}, {9, 10, 11}, {5_000_000_000, 0, 3}, make([]int64, 500)} {
		var cycles []api.Cycle
		for i, n := range test {
			cycles = append(cycles, api.Cycle{Number: i + 1, Documents: n})
		}
		c := chartOf(cycles)
		for _, b := range c.Bars {
			if b.Y < 0 || b.Y+b.Height != c.Base || b.X < c.Left || b.X+b.Width > c.Width || b.Width < 1 {
				t.Errorf("documents %v: bar %+v lies outside of the chart", test, b)
			}
		}
		if len(c.Bars) != min(len(test), 60) || c.Bars[len(c.Bars)-1].Number != len(test) {
			t.Errorf("documents %v: got %d bars, wanted the last cycles", test, len(c.Bars))
		}
	}
}

func TestReleaseNotesAreRead(t *testing.T) {
	got := blocks("## ledger 2.0.0\n\nChanges since\n1.9.0.\n\n### Fixes\n\n- one\n- two\n")
	var text []string
	for _, b := range got {
		text = append(text, b.Heading, b.Text)
		text = append(text, b.Items...)
	}
	text = slices.DeleteFunc(text, func(s string) bool { return s == "" })
	if want := []string{"ledger 2.0.0", "Changes since 1.9.0.", "Fixes", "one", "two"}; !slices.Equal(text, want) {
		t.Errorf("got %q, wanted %q", text, want)
	}
}
