// Package baseline tells findings that were there before from new ones, also
// where their lines have moved.
package baseline

import (
	"crypto/sha256"
	"fmt"
	"strings"

	"landfall.dev/api"
)

// Lines returns the lines of a file in one version of the sources, nil if they
// are not known.
type Lines func(file string) []string

// Version is what an analyser has found in one version of the sources. The files
// of its findings are those of the sources.
type Version struct {
	Findings []api.Finding
	Lines    Lines
}

// Known tells of each finding of now that is on a new line whether it was in
// before too: one with the same fingerprint or, where the analyser gives none,
// of the same rule in the same file on the same line with the same neighbours,
// wherever they are. Findings of now that are not on new lines are taken to be
// the ones that were there, so that a copy of what is wrong is new.
func Known(before, now Version, isNew func(api.Finding) bool) []bool {
	files := map[string]bool{} // in which there are new ones
	for _, f := range now.Findings {
		files[f.File] = files[f.File] || isNew(f)
	}
	count := map[string]int{}
	for _, f := range before.Findings {
		if f.Fingerprint != "" || files[f.File] {
			count[key(f, before.Lines)]++
		}
	}
	for _, f := range now.Findings {
		if !isNew(f) && (f.Fingerprint != "" || files[f.File]) {
			count[key(f, now.Lines)]--
		}
	}
	delete(count, "")
	known := make([]bool, len(now.Findings))
	for i, f := range now.Findings {
		if !isNew(f) {
			continue
		}
		if k := key(f, now.Lines); count[k] > 0 {
			known[i] = true
			count[k]--
		}
	}
	return known
}

// key is what a finding is known by in another version; empty if by nothing.
func key(f api.Finding, lines Lines) string {
	if f.Fingerprint != "" {
		return strings.Join([]string{f.Tool, f.Rule, f.Fingerprint}, "\x00")
	}
	all := lines(f.File)
	if f.Line < 1 || f.Line > len(all) {
		return ""
	}
	around := make([]string, 3)
	for i := range around {
		if n := f.Line - 2 + i; n >= 0 && n < len(all) {
			around[i] = strings.TrimSpace(all[n])
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(around, "\n")))
	return strings.Join([]string{f.Tool, f.Rule, f.File, fmt.Sprintf("%x", sum[:16])}, "\x00")
}
