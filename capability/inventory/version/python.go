package version

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// pep440 is the form of versions in "Version specifiers" of the Python
// packaging user guide (PEP 440), appendix B.
var pep440 = regexp.MustCompile(`^v?(?:(\d+)!)?(\d+(?:\.\d+)*)` +
	`(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?` +
	`(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?` +
	`(?:[-_.]?(dev)[-_.]?(\d*))?` +
	`(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?$`)

// pythonVersion is a version in parts that can be compared.
type pythonVersion struct {
	epoch   string
	release []string
	// phase orders what is left: a development release of the final version
	// alone comes before its pre-releases, and these before the final one.
	phase     int
	pre       string
	post, dev string // "" without one
	local     []string
}

// python orders versions as PEP 440 does.
func python(a, b string) (int, error) {
	x, err := parsePython(a)
	if err != nil {
		return 0, err
	}
	y, err := parsePython(b)
	if err != nil {
		return 0, err
	}
	return cmp.Or(
		number(x.epoch, y.epoch),
		slices.CompareFunc(x.release, y.release, number),
		cmp.Compare(x.phase, y.phase), number(x.pre, y.pre),
		optional(x.post, y.post, -1), optional(x.dev, y.dev, 1),
		slices.CompareFunc(x.local, y.local, localPart),
	), nil
}

// optional compares numbers that may be missing; missing is how such a one
// compares to one that is there.
func optional(a, b string, missing int) int {
	switch {
	case a == "" && b != "":
		return missing
	case a != "" && b == "":
		return -missing
	}
	return number(a, b)
}

// localPart orders the parts of a local version: numbers come after texts.
func localPart(a, b string) int {
	x, y := countDigits(a) == len(a), countDigits(b) == len(b)
	switch {
	case x && y:
		return number(a, b)
	case x:
		return 1
	case y:
		return -1
	}
	return cmp.Compare(a, b)
}

// The phases of a version.
const (
	phaseDev = iota
	phaseAlpha
	phaseBeta
	phaseCandidate
	phaseFinal
)

func parsePython(text string) (v pythonVersion, err error) {
	m := pep440.FindStringSubmatch(strings.ToLower(strings.TrimSpace(text)))
	if m == nil {
		return v, fmt.Errorf("%q is no version of a Python package", text)
	}
	v.epoch, v.release, v.phase, v.pre = m[1], strings.Split(m[2], "."), phaseFinal, m[4]
	for len(v.release) > 1 && strings.Trim(v.release[len(v.release)-1], "0") == "" {
		v.release = v.release[:len(v.release)-1]
	}
	if m[6] != "" || m[5] != "" {
		v.post = cmp.Or(m[5], m[7], "0")
	}
	if m[8] != "" {
		v.dev = cmp.Or(m[9], "0")
	}
	switch m[3] {
	case "":
		if v.dev != "" && v.post == "" {
			v.phase = phaseDev
		}
	case "a", "alpha":
		v.phase = phaseAlpha
	case "b", "beta":
		v.phase = phaseBeta
	default:
		v.phase = phaseCandidate
	}
	if m[10] != "" {
		v.local = strings.FieldsFunc(m[10], func(r rune) bool { return strings.ContainsRune("-_.", r) })
	}
	return v, nil
}
