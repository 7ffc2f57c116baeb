package cluster

import (
	"strings"
	"testing"
	"time"
)

func TestPlan(t *testing.T) {
	// A node is its id and letters: m member, v voter (and member), a alive,
	// r ready (and alive), l left, d dead for longer than the grace.
	for name, c := range map[string]struct {
		nodes  string
		voters int
		want   step
		id     string
	}{
		"one voter alone":                        {"1vr", 5, nothing, ""},
		"a node appears":                         {"1vr 2a", 5, addReader, "2"},
		"a reader catches up":                    {"1vr 2mr", 5, addVoter, "2"},
		"a reader is behind":                     {"1vr 2ma", 5, nothing, ""},
		"enough voters":                          {"1vr 2vr 3vr 4mr", 3, nothing, ""},
		"one that left is not added":             {"1vr 2al", 5, nothing, ""},
		"a voter leaves":                         {"1vr 2vr 3vl", 5, remove, "3"},
		"the second voter leaves":                {"1vr 2vrl", 5, remove, "2"},
		"one leaves while another is dead":       {"1vr 2vd 3vrl", 5, nothing, ""},
		"a voter is dead for a moment":           {"1vr 2vr 3v 4mr", 3, nothing, ""},
		"a dead voter of two":                    {"1vr 2vd", 5, nothing, ""},
		"a dead voter of three":                  {"1vr 2vr 3vd", 5, nothing, ""},
		"a dead voter of three, with a spare":    {"1vr 2vr 3vd 4mr", 3, remove, "3"},
		"a spare that is behind":                 {"1vr 2vr 3vd 4ma", 3, nothing, ""},
		"after that the spare votes":             {"1vr 2vr 4mr", 3, addVoter, "4"},
		"a dead voter of four":                   {"1vr 2vr 3vr 4vd", 5, remove, "4"},
		"a dead voter of five":                   {"1vr 2vr 3vr 4vr 5vd", 5, nothing, ""},
		"two dead voters of five":                {"1vr 2vr 3vr 4vd 5vd", 5, remove, "4"},
		"three dead voters of five, with spares": {"1vr 2vr 3vd 4vd 5vd 6mr 7mr", 5, nothing, ""},
		"a dead reader":                          {"1vr 2md", 5, remove, "2"},
		"a reader is dead for a moment":          {"1vr 2m", 5, nothing, ""},
		"a removed node comes back":              {"1vr 2vr 3r", 3, addReader, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			var nodes []standing
			for _, f := range strings.Fields(c.nodes) {
				is := func(letters string) bool { return strings.ContainsAny(f, letters) }
				n := standing{ID: f[:1], Member: is("mv"), Voter: is("v"), Alive: is("ar"), Ready: is("r"), Left: is("l")}
				if is("d") {
					n.Down = time.Hour
				}
				nodes = append(nodes, n)
			}
			got, id := plan(nodes, c.voters, time.Minute)
			if got != c.want || id != c.id {
				t.Errorf("plan(%s) = %v %q, want %v %q", c.nodes, got, id, c.want, c.id)
			}
		})
	}
}
