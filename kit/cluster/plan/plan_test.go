package plan

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
		want   Step
		id     string
	}{
		"one voter alone":                        {"1vr", 5, Nothing, ""},
		"a node appears":                         {"1vr 2a", 5, AddReader, "2"},
		"a reader catches up":                    {"1vr 2mr", 5, AddVoter, "2"},
		"a reader is behind":                     {"1vr 2ma", 5, Nothing, ""},
		"enough voters":                          {"1vr 2vr 3vr 4mr", 3, Nothing, ""},
		"one that left is not added":             {"1vr 2al", 5, Nothing, ""},
		"a voter leaves":                         {"1vr 2vr 3vl", 5, Remove, "3"},
		"the second voter leaves":                {"1vr 2vrl", 5, Remove, "2"},
		"one leaves while another is dead":       {"1vr 2vd 3vrl", 5, Nothing, ""},
		"a voter is dead for a moment":           {"1vr 2vr 3v 4mr", 3, Nothing, ""},
		"a dead voter of two":                    {"1vr 2vd", 5, Nothing, ""},
		"a dead voter of three":                  {"1vr 2vr 3vd", 5, Nothing, ""},
		"a dead voter of three, with a spare":    {"1vr 2vr 3vd 4mr", 3, Remove, "3"},
		"a spare that is behind":                 {"1vr 2vr 3vd 4ma", 3, Nothing, ""},
		"after that the spare votes":             {"1vr 2vr 4mr", 3, AddVoter, "4"},
		"a dead voter of four":                   {"1vr 2vr 3vr 4vd", 5, Remove, "4"},
		"a dead voter of five":                   {"1vr 2vr 3vr 4vr 5vd", 5, Nothing, ""},
		"two dead voters of five":                {"1vr 2vr 3vr 4vd 5vd", 5, Remove, "4"},
		"three dead voters of five, with spares": {"1vr 2vr 3vd 4vd 5vd 6mr 7mr", 5, Nothing, ""},
		"a dead reader":                          {"1vr 2md", 5, Remove, "2"},
		"a reader is dead for a moment":          {"1vr 2m", 5, Nothing, ""},
		"a removed node comes back":              {"1vr 2vr 3r", 3, AddReader, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			var nodes []Standing
			for _, f := range strings.Fields(c.nodes) {
				is := func(letters string) bool { return strings.ContainsAny(f, letters) }
				n := Standing{ID: f[:1], Member: is("mv"), Voter: is("v"), Alive: is("ar"), Ready: is("r"), Left: is("l")}
				if is("d") {
					n.Down = time.Hour
				}
				nodes = append(nodes, n)
			}
			got, id := Next(nodes, c.voters, time.Minute)
			if got != c.want || id != c.id {
				t.Errorf("Next(%s) = %v %q, want %v %q", c.nodes, got, id, c.want, c.id)
			}
		})
	}
}
