package osv

import (
	"math"
	"slices"
	"strings"
)

// levels4 are the values of the metrics of CVSS version 4.0 that count, the worst
// first (first.org/cvss/v4.0/specification-document, sections 2 to 4). The others
// of the vector, which are supplemental, do not.
var levels4 = map[string]string{
	"AV": "NALP", "AC": "LH", "AT": "NP", "PR": "NLH", "UI": "NPA",
	"VC": "HLN", "VI": "HLN", "VA": "HLN", "SC": "HLN", "SI": "SHLN", "SA": "SHLN",
	"E": "APU", "CR": "HML", "IR": "HML", "AR": "HML",
}

// optional4 are those of them that a vector may leave out: the worst is meant.
var optional4 = []string{"E", "CR", "IR", "AR"}

// cvss4 returns the score of a vector: "CVSS:4.0/AV:N/AC:L/...".
func cvss4(vector string) (score float64, ok bool) {
	level, ok := parse4(vector)
	if !ok {
		return 0, false
	}
	impact := level["VC"] < 2 || level["VI"] < 2 || level["VA"] < 2 || level["SC"] < 2 || level["SI"] < 3 || level["SA"] < 3
	if !impact {
		return 0, true
	}
	return score4(level), true
}

// parse4 returns how far each metric is from its worst value: a modified metric,
// as MAV, takes the place of its base.
func parse4(vector string) (level map[string]int, ok bool) {
	parts := strings.Split(vector, "/")
	if parts[0] != "CVSS:4.0" {
		return nil, false
	}
	given := map[string]string{}
	for _, part := range parts[1:] {
		name, value, _ := strings.Cut(part, ":")
		given[name] = value
	}
	level = map[string]int{}
	for name, values := range levels4 {
		value := given[name]
		if slices.Contains(optional4, name) && (value == "" || value == "X") {
			level[name] = 0
			continue
		}
		if name == "SI" || name == "SA" { // safety is of the modified ones only
			if value == "S" {
				return nil, false
			}
		}
		if modified := given["M"+name]; modified != "" && modified != "X" {
			value = modified
		}
		i := strings.Index(values, value)
		if len(value) != 1 || i < 0 {
			return nil, false
		}
		level[name] = i
	}
	return level, true
}

// equivalence is the place of a vector in a set of metrics that are looked at
// together.
type equivalence struct {
	group int // that it is in, the worst first
	// above is how many steps it is below the worst vector of its group, of depth,
	// from that to the worst of the next.
	above, depth int
}

// score4 is the algorithm of the specification's section 8.2, for a vector with
// an impact. The worst vectors of a group (tables 24 to 30) are all equally far
// from the worst of all, so that distances are differences of sums.
func score4(m map[string]int) float64 {
	eq1, eq2, eq4 := exploit(m), complexity(m), subsequent(m)
	eq3, eq6, both := vulnerable(m)
	eq5 := m["E"]
	value, _ := lookup4(eq1.group, eq2.group, eq3, eq4.group, eq5, eq6)
	sum, n := 0.0, 0
	fall := func(e equivalence, next float64, ok bool) {
		if ok {
			n++
			sum += (value - next) * float64(e.above) / float64(e.depth)
		}
	}
	next, ok := lookup4(eq1.group+1, eq2.group, eq3, eq4.group, eq5, eq6)
	fall(eq1, next, ok)
	next, ok = lookup4(eq1.group, eq2.group+1, eq3, eq4.group, eq5, eq6)
	fall(eq2, next, ok)
	next, ok = lookup4(eq1.group, eq2.group, eq3+1, eq4.group, eq5, eq6)
	if other, is := lookup4(eq1.group, eq2.group, eq3, eq4.group, eq5, eq6+1); is {
		next, ok = max(next, other), true
	}
	fall(both, next, ok)
	next, ok = lookup4(eq1.group, eq2.group, eq3, eq4.group+1, eq5, eq6)
	fall(eq4, next, ok)
	next, ok = lookup4(eq1.group, eq2.group, eq3, eq4.group, eq5+1, eq6)
	fall(equivalence{depth: 1}, next, ok) // its groups have one value each
	if n > 0 {
		value -= sum / float64(n)
	}
	const epsilon = 1e-6 // as in the calculator of FIRST
	return math.Round((min(max(value, 0), 10)+epsilon)*10) / 10
}

// exploit is EQ1 of the specification, on AV, PR and UI.
func exploit(m map[string]int) equivalence {
	sum := m["AV"] + m["PR"] + m["UI"]
	switch {
	case sum == 0:
		return equivalence{0, 0, 1}
	case m["AV"] < 3 && (m["AV"] == 0 || m["PR"] == 0 || m["UI"] == 0):
		return equivalence{1, sum - 1, 4}
	}
	return equivalence{2, sum - 3, 5}
}

// complexity is EQ2, on AC and AT.
func complexity(m map[string]int) equivalence {
	if sum := m["AC"] + m["AT"]; sum > 0 {
		return equivalence{1, sum - 1, 2}
	}
	return equivalence{0, 0, 1}
}

// vulnerable is EQ3, on VC, VI and VA, and EQ6, on these and the requirements, and
// the place in both together.
func vulnerable(m map[string]int) (eq3, eq6 int, both equivalence) {
	switch {
	case m["VC"] == 0 && m["VI"] == 0:
	case m["VC"] == 0 || m["VI"] == 0 || m["VA"] == 0:
		eq3 = 1
	default:
		eq3 = 2
	}
	if m["VC"]+m["CR"] > 0 && m["VI"]+m["IR"] > 0 && m["VA"]+m["AR"] > 0 {
		eq6 = 1
	}
	sum := m["VC"] + m["VI"] + m["VA"] + m["CR"] + m["IR"] + m["AR"]
	worst := [3][2]int{{0, 3}, {1, 3}, {3, 3}}[eq3][eq6]
	depth := [3][2]int{{7, 6}, {8, 8}, {10, 10}}[eq3][eq6]
	return eq3, eq6, equivalence{above: sum - worst, depth: depth}
}

// subsequent is EQ4, on SC, SI and SA.
func subsequent(m map[string]int) equivalence {
	sum := m["SC"] + 1 + m["SI"] + m["SA"] // SC has no safety
	switch {
	case m["SI"] == 0 || m["SA"] == 0:
		return equivalence{0, sum - 1, 6}
	case m["SC"] == 0 || m["SI"] == 1 || m["SA"] == 1:
		return equivalence{1, sum - 3, 5}
	}
	return equivalence{2, sum - 6, 4}
}

// lookup4 returns the score of the worst vectors of groups, if there are any.
func lookup4(eq1, eq2, eq3, eq4, eq5, eq6 int) (float64, bool) {
	if eq1 > 2 || eq2 > 1 || eq3 > 2 || eq4 > 2 || eq5 > 2 || eq6 > 1 {
		return 0, false
	}
	tenths := scores4[((((eq1*2+eq2)*3+eq3)*3+eq4)*3+eq5)*2+eq6]
	return float64(tenths) / 10, tenths > 0
}

// scores4 is the table of the specification's section 8.1, in tenths, by the
// groups EQ1 to EQ6; 0 where there are no vectors. A line has those of EQ5 and
// EQ6, and says the others.
var scores4 = [...]uint8{
	100, 99, 98, 95, 95, 92, // 0000
	100, 96, 93, 87, 91, 81, // 0001
	93, 90, 89, 80, 81, 68, // 0002
	98, 95, 95, 92, 90, 84, // 0010
	93, 92, 89, 81, 81, 65, // 0011
	88, 80, 78, 70, 69, 48, // 0012
	0, 92, 0, 82, 0, 72, // 0020
	0, 79, 0, 69, 0, 50, // 0021
	0, 69, 0, 55, 0, 27, // 0022
	99, 97, 95, 92, 92, 85, // 0100
	95, 91, 90, 83, 84, 71, // 0101
	92, 81, 82, 71, 72, 53, // 0102
	95, 93, 92, 85, 85, 73, // 0110
	92, 82, 80, 72, 70, 59, // 0111
	84, 70, 71, 52, 50, 30, // 0112
	0, 86, 0, 75, 0, 52, // 0120
	0, 71, 0, 52, 0, 29, // 0121
	0, 63, 0, 29, 0, 17, // 0122
	98, 95, 94, 87, 91, 81, // 1000
	94, 89, 86, 74, 77, 64, // 1001
	87, 75, 74, 63, 63, 49, // 1002
	94, 89, 88, 77, 76, 67, // 1010
	86, 76, 74, 58, 59, 50, // 1011
	72, 57, 57, 52, 52, 25, // 1012
	0, 83, 0, 70, 0, 54, // 1020
	0, 65, 0, 58, 0, 26, // 1021
	0, 53, 0, 21, 0, 13, // 1022
	95, 90, 88, 76, 76, 70, // 1100
	90, 77, 75, 62, 61, 53, // 1101
	77, 66, 68, 59, 52, 30, // 1102
	89, 78, 76, 67, 62, 58, // 1110
	74, 59, 57, 57, 47, 23, // 1111
	61, 52, 57, 29, 24, 16, // 1112
	0, 71, 0, 59, 0, 30, // 1120
	0, 58, 0, 26, 0, 15, // 1121
	0, 23, 0, 13, 0, 6, // 1122
	93, 87, 86, 72, 75, 58, // 2000
	86, 74, 74, 61, 56, 34, // 2001
	70, 54, 52, 40, 40, 22, // 2002
	85, 75, 74, 55, 62, 51, // 2010
	72, 57, 55, 41, 46, 19, // 2011
	53, 36, 34, 19, 19, 8, // 2012
	0, 64, 0, 51, 0, 20, // 2020
	0, 47, 0, 21, 0, 11, // 2021
	0, 24, 0, 9, 0, 4, // 2022
	88, 75, 73, 53, 60, 50, // 2100
	73, 55, 59, 40, 41, 20, // 2101
	54, 43, 45, 22, 20, 11, // 2102
	75, 55, 58, 45, 40, 21, // 2110
	61, 51, 48, 18, 20, 9, // 2111
	46, 18, 17, 7, 8, 2, // 2112
	0, 53, 0, 24, 0, 14, // 2120
	0, 24, 0, 12, 0, 5, // 2121
	0, 10, 0, 3, 0, 1, // 2122
}
