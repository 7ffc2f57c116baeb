package baseline

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

// version is findings, "rule line", with a fingerprint after it or none, in the
// file a of the given lines.
func version(text string, findings ...string) Version {
	v := Version{Lines: func(file string) []string {
		if file != "a" {
			return nil
		}
		return strings.Split(text, " ")
	}}
	for _, f := range findings {
		x := api.Finding{Tool: "lint", File: "a"}
		_, _ = fmt.Sscan(f, &x.Rule, &x.Line, &x.Fingerprint) // there may be no fingerprint
		v.Findings = append(v.Findings, x)
	}
	return v
}

func TestFindingsThatWereThereBefore(t *testing.T) {
	for _, test := range []struct {
		name        string
		before, now Version
		added       []int
		want        []int // lines of findings that are known
	}{
		{"moved", version("one bad two", "r 2"), version("zero one bad two", "r 3"), []int{3}, []int{3}},
		{"moved and indented", version("one bad two", "r 2"), version("zero one \tbad two", "r 3"), []int{3}, []int{3}},
		{"another rule", version("one bad two", "r 2"), version("zero one bad two", "s 3"), []int{3}, nil},
		{"another neighbour", version("one bad two", "r 2"), version("zero one bad three", "r 3"), []int{3}, nil},
		{"copied", version("one bad two", "r 2"), version("one bad two one bad two", "r 2", "r 5"), []int{4, 5, 6}, nil},
		{"moved, and copied", version("x one bad two", "r 3"), version("one bad two one bad two", "r 2", "r 5"), []int{1, 2, 3, 4, 5, 6}, []int{2}},
		{"by its fingerprint", version("", "r 2 f=1"), version("", "r 9 f=1", "r 10 f=2"), []int{9, 10}, []int{9}},
		{"of no line", version("one bad two", "r 0", "r 99"), version("one bad two", "r 0", "r 99"), []int{0, 99}, nil},
		{"nothing before", version(""), version("one bad two", "r 2"), []int{2}, nil},
	} {
		known := Known(test.before, test.now, func(f api.Finding) bool { return slices.Contains(test.added, f.Line) })
		var got []int
		for i, f := range test.now.Findings {
			if known[i] {
				got = append(got, f.Line)
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: the findings on lines %v are known, want %v", test.name, got, test.want)
		}
	}
}
