// Package osv reads advisories in the Open Source Vulnerability format
// (ossf.github.io/osv-schema), keeps them in a file that can be searched, and
// tells which versions of packages they are about.
package osv

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/version"
)

// Record is what is read of an advisory.
type Record struct {
	ID        string     `json:"id"`
	Modified  time.Time  `json:"modified"`
	Withdrawn *time.Time `json:"withdrawn"`
	Aliases   []string   `json:"aliases"`
	Upstream  []string   `json:"upstream"` // of a distribution's advisory: that of the program
	Summary   string     `json:"summary"`
	Details   string     `json:"details"`
	Severity  []Score    `json:"severity"`
	Affected  []Affected `json:"affected"`
	Specific  struct {
		Severity string `json:"severity"`
	} `json:"database_specific"`
}

// Score is a severity by a scoring system: "CVSS_V3" and its vector.
type Score struct {
	Type  string `json:"type"`
	Score string `json:"score"`
}

// Affected is a package that an advisory is about.
type Affected struct {
	Package struct {
		Ecosystem string `json:"ecosystem"`
		Name      string `json:"name"`
	} `json:"package"`
	Severity []Score  `json:"severity"`
	Ranges   []Range  `json:"ranges"`
	Versions []string `json:"versions"`
}

// Range is versions from some on and before others.
type Range struct {
	Type   string  `json:"type"` // SEMVER, ECOSYSTEM; GIT is of commits
	Events []Event `json:"events"`
}

// Event is a version at which something begins or ends to be so; one of its
// fields is set.
type Event struct {
	Introduced   string `json:"introduced,omitempty"` // "0" is before all versions
	Fixed        string `json:"fixed,omitempty"`
	LastAffected string `json:"last_affected,omitempty"`
	Limit        string `json:"limit,omitempty"`
}

func (e Event) version() string {
	return cmp.Or(e.Introduced, e.Fixed, e.LastAffected, e.Limit)
}

// Affects tells whether a version of a package is affected by what the ranges
// and the listed versions say, and the first version after it that is not, empty
// if there is none. Its error is of versions that cannot be put in order.
func Affects(ecosystem string, ranges []Range, versions []string, v string) (affected bool, fixed string, err error) {
	affected = slices.Contains(versions, v)
	if !version.Ordered(ecosystem) {
		return affected, "", nil
	}
	for _, r := range ranges {
		if r.Type != "SEMVER" && r.Type != "ECOSYSTEM" {
			continue
		}
		in, end, err := r.contains(ecosystem, v)
		if err != nil {
			return affected, "", err
		}
		if in {
			return true, end, nil
		}
	}
	return affected, "", nil
}

// contains evaluates the events as "Evaluation" in the schema's description
// does: in their order, those up to v.
func (r Range) contains(ecosystem, v string) (in bool, fixed string, err error) {
	order := func(a, b string) int {
		if a == b {
			return 0
		}
		if a == "0" {
			return -1
		}
		if b == "0" {
			return 1
		}
		c, e := version.Compare(ecosystem, a, b)
		err = cmp.Or(err, e)
		return c
	}
	events := slices.Clone(r.Events)
	slices.SortStableFunc(events, func(a, b Event) int { return order(a.version(), b.version()) })
	for _, e := range events {
		c := order(v, e.version())
		switch {
		case e.Introduced != "" && c >= 0:
			in = true
		case e.Fixed != "" && c >= 0, e.LastAffected != "" && c > 0:
			in = false
		case e.Fixed != "" && in && fixed == "":
			fixed = e.Fixed
		}
		if e.Limit != "" && c >= 0 {
			in = false
		}
	}
	return in, fixed, err
}

// Worst returns how bad r is for a package, by what its database says in a word,
// or else by the first score of CVSS, of version 4 or 3.
func (r Record) Worst(a Affected) api.Severity {
	if s := Named(r.Specific.Severity); s != api.SeverityUnknown {
		return s
	}
	for _, s := range slices.Concat(a.Severity, r.Severity) {
		score, ok := cvss3(s.Score)
		if !ok {
			score, ok = cvss4(s.Score)
		}
		if ok {
			return Scored(score)
		}
	}
	return api.SeverityUnknown
}

// severities are the words for severities, in different databases.
var severities = map[string]api.Severity{
	"low": api.SeverityLow, "moderate": api.SeverityMedium, "medium": api.SeverityMedium,
	"high": api.SeverityHigh, "critical": api.SeverityCritical,
}

// Named returns the severity that a word stands for.
func Named(word string) api.Severity {
	return cmp.Or(severities[strings.ToLower(word)], api.SeverityUnknown)
}

// Rank orders severities, from 0; one that nobody has said counts as high.
func Rank(s api.Severity) int {
	if s == api.SeverityUnknown {
		s = api.SeverityHigh
	}
	return slices.Index([]api.Severity{api.SeverityLow, api.SeverityMedium, api.SeverityHigh, api.SeverityCritical}, s)
}
