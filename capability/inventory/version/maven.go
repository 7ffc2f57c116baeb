package version

import (
	"cmp"
	"slices"
	"strings"
)

// mavenToken is a part of a version with what is in front of it: . or -.
type mavenToken struct {
	separator byte
	text      string
}

// numeric tells whether t is a number.
func (t mavenToken) numeric() bool { return t.text != "" && countDigits(t.text) == len(t.text) }

// maven orders versions as "Version Order Specification" in Maven's POM
// reference (maven.apache.org/pom.html) says.
func maven(a, b string) int {
	x, y := mavenTokens(a), mavenTokens(b)
	for i := range max(len(x), len(y)) {
		if c := compareMaven(at(x, y, i), at(y, x, i)); c != 0 {
			return c
		}
	}
	return 0
}

// at returns the token i of v, which is padded as far as other reaches.
func at(v, other []mavenToken, i int) mavenToken {
	if i < len(v) {
		return v[i]
	}
	if other[i].separator == '.' && other[i].numeric() {
		return mavenToken{'.', "0"}
	}
	if other[i].numeric() {
		return mavenToken{'-', "0"}
	}
	return mavenToken{other[i].separator, ""}
}

func mavenTokens(version string) []mavenToken {
	var tokens []mavenToken
	separator := byte('.')
	add := func(text string, followed bool) {
		if text == "" {
			text = "0"
		}
		tokens = append(tokens, mavenToken{separator, qualifier(text, followed)})
	}
	rest := strings.ToLower(version)
	for {
		end := strings.IndexAny(rest, ".-_")
		part := rest
		if end >= 0 {
			part = rest[:end]
		}
		for {
			n := countDigits(part)
			if n == 0 {
				n = strings.IndexAny(part+"0", digits)
			}
			if n == len(part) {
				add(part, false)
				break
			}
			add(part[:n], countDigits(part) == 0)
			part, separator = part[n:], '-' // between digits and letters is a -
		}
		if end < 0 {
			return trimMaven(tokens)
		}
		separator = '.'
		if rest[end] != '.' {
			separator = '-'
		}
		rest = rest[end+1:]
	}
}

// qualifier returns the token that text stands for: a, b and m do so in front
// of a number.
func qualifier(text string, followed bool) string {
	switch {
	case text == "cr":
		return "rc"
	case text == "ga" || text == "final" || text == "release":
		return ""
	case followed && text == "a":
		return "alpha"
	case followed && text == "b":
		return "beta"
	case followed && text == "m":
		return "milestone"
	}
	return text
}

// trimMaven drops the zeros and empty tokens at the end, and in front of each -.
func trimMaven(tokens []mavenToken) []mavenToken {
	var kept []mavenToken
	for i, t := range tokens {
		kept = append(kept, t)
		if i+1 < len(tokens) && tokens[i+1].separator != '-' {
			continue
		}
		for len(kept) > 0 && strings.Trim(kept[len(kept)-1].text, "0") == "" {
			kept = kept[:len(kept)-1]
		}
	}
	return kept
}

// qualifiers are the known ones, in order; others come after them.
var qualifiers = []string{"alpha", "beta", "milestone", "rc", "snapshot", "", "sp"}

func compareMaven(a, b mavenToken) int {
	if x, y := kindOfMaven(a), kindOfMaven(b); x != y {
		return cmp.Compare(x, y)
	}
	if a.numeric() {
		return number(a.text, b.text)
	}
	x, y := slices.Index(qualifiers, a.text), slices.Index(qualifiers, b.text)
	switch {
	case x >= 0 && y >= 0:
		return cmp.Compare(x, y)
	case x >= 0:
		return -1
	case y >= 0:
		return 1
	}
	return cmp.Compare(a.text, b.text)
}

// kindOfMaven orders tokens of different sorts: qualifiers, -1, .1.
func kindOfMaven(t mavenToken) int {
	switch {
	case !t.numeric():
		return 0
	case t.separator == '-':
		return 1
	}
	return 2
}
