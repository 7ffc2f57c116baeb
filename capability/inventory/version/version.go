// Package version orders versions as the ecosystems of packages do.
package version

import (
	"cmp"
	"fmt"
	"strings"

	"golang.org/x/mod/semver"
)

// maxVersion is how long a version may be, in bytes.
const maxVersion = 200

// Compare tells which of two versions comes first, -1 for a: by the rules of
// the ecosystem, as OSV names it ("Go", "npm", "crates.io", "Maven", "PyPI",
// "Debian", "Ubuntu").
func Compare(ecosystem, a, b string) (int, error) {
	if len(a) > maxVersion || len(b) > maxVersion {
		return 0, fmt.Errorf("a version has more than %d bytes", maxVersion)
	}
	switch ecosystem {
	case "Go", "npm", "crates.io":
		return semantic(a, b)
	case "Maven":
		return maven(a, b), nil
	case "PyPI":
		return python(a, b)
	case "Debian", "Ubuntu":
		return debian(a, b), nil
	}
	return 0, fmt.Errorf("how versions of %.40q are ordered is not known", ecosystem)
}

// Ordered tells whether Compare knows the ecosystem.
func Ordered(ecosystem string) bool {
	_, err := Compare(ecosystem, "1", "1")
	return err == nil
}

// semantic orders versions by semver.org, version 2, with or without v.
func semantic(a, b string) (int, error) {
	a, b = "v"+strings.TrimPrefix(a, "v"), "v"+strings.TrimPrefix(b, "v")
	for _, v := range []string{a, b} {
		if !semver.IsValid(v) {
			return 0, fmt.Errorf("%q is no semantic version", v[1:])
		}
	}
	return semver.Compare(a, b), nil
}

// debian orders versions as deb-version(7) says: epoch:upstream-revision.
func debian(a, b string) int {
	epochA, upstreamA, revisionA := debianParts(a)
	epochB, upstreamB, revisionB := debianParts(b)
	return cmp.Or(number(epochA, epochB), debianPart(upstreamA, upstreamB), debianPart(revisionA, revisionB))
}

func debianParts(v string) (epoch, upstream, revision string) {
	if i := strings.IndexByte(v, ':'); i >= 0 {
		epoch, v = v[:i], v[i+1:]
	}
	if i := strings.LastIndexByte(v, '-'); i >= 0 {
		return epoch, v[:i], v[i+1:]
	}
	return epoch, v, ""
}

// debianPart compares parts without digits and numbers in turn.
func debianPart(a, b string) int {
	for a != "" || b != "" {
		i, j := strings.IndexAny(a+"0", digits), strings.IndexAny(b+"0", digits)
		if c := debianText(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
		i, j = countDigits(a), countDigits(b)
		if c := number(a[:i], b[:j]); c != 0 {
			return c
		}
		a, b = a[i:], b[j:]
	}
	return 0
}

// debianText orders ~ before the end, the end before letters, and these before
// all else.
func debianText(a, b string) int {
	order := func(s string, i int) int {
		switch {
		case i >= len(s):
			return 0
		case s[i] == '~':
			return -1
		case s[i] >= 'a' && s[i] <= 'z' || s[i] >= 'A' && s[i] <= 'Z':
			return int(s[i])
		}
		return int(s[i]) + 256
	}
	for i := range max(len(a), len(b)) {
		if c := cmp.Compare(order(a, i), order(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

const digits = "0123456789"

func countDigits(s string) int { return len(s) - len(strings.TrimLeft(s, digits)) }

// number compares decimal numbers of any length.
func number(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}
