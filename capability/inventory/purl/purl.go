// Package purl reads package URLs (github.com/package-url/purl-spec), and tells
// by which name OSV knows their packages.
package purl

import (
	"net/url"
	"strings"
)

// PURL is a package URL, decoded.
type PURL struct {
	Type, Namespace, Name, Version string
	Qualifiers                     url.Values
}

// Parse reads a package URL; ok tells whether it is one.
func Parse(text string) (p PURL, ok bool) {
	rest, ok := strings.CutPrefix(text, "pkg:")
	if !ok {
		return p, false
	}
	rest, _, _ = strings.Cut(rest, "#")
	rest, qualifiers, _ := strings.Cut(rest, "?")
	p.Qualifiers, _ = url.ParseQuery(strings.ReplaceAll(qualifiers, "+", "%2B")) // what is malformed is left out
	rest = strings.Trim(rest, "/")
	slash := strings.LastIndexByte(rest, '/')
	if i := strings.LastIndexByte(rest, '@'); i > slash+1 {
		p.Version, rest = decoded(rest[i+1:]), rest[:i]
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 2 || parts[0] == "" || parts[len(parts)-1] == "" {
		return p, false
	}
	p.Type = strings.ToLower(parts[0])
	p.Name = decoded(parts[len(parts)-1])
	p.Namespace = decoded(strings.Join(parts[1:len(parts)-1], "/"))
	return p, true
}

func decoded(s string) string {
	if d, err := url.PathUnescape(s); err == nil {
		return d
	}
	return s
}

// String returns p without qualifiers, readable: without escapes.
func (p PURL) String() string {
	s := p.Package()
	if p.Version != "" {
		s += "@" + p.Version
	}
	return s
}

// Package returns p without its version and qualifiers.
func (p PURL) Package() string {
	s := "pkg:" + p.Type + "/"
	if p.Namespace != "" {
		s += p.Namespace + "/"
	}
	return s + p.Name
}

// ecosystems are OSV's names for types of packages.
var ecosystems = map[string]string{
	"golang": "Go", "npm": "npm", "maven": "Maven", "pypi": "PyPI", "cargo": "crates.io",
	"gem": "RubyGems", "nuget": "NuGet", "composer": "Packagist", "hex": "Hex", "pub": "Pub",
}

// Advised is a package as OSV knows it.
type Advised struct {
	Ecosystem string // without the release
	Release   string // "12" of Debian 12
	Name      string
	Version   string
}

// Advised returns by what OSV knows the package; ok is false if it knows none
// of the kind.
func (p PURL) Advised() (a Advised, ok bool) {
	a = Advised{Ecosystem: ecosystems[p.Type], Name: p.Name, Version: p.Version}
	switch p.Type {
	case "golang":
		a.Name = strings.TrimPrefix(p.Namespace+"/"+p.Name, "/")
		if a.Name == "std" || a.Name == "stdlib" {
			a.Name, a.Version = "stdlib", strings.TrimPrefix(a.Version, "go")
		}
	case "npm", "composer":
		a.Name = strings.TrimPrefix(p.Namespace+"/"+p.Name, "/")
	case "maven":
		a.Name = p.Namespace + ":" + p.Name
	case "pypi":
		a.Name = Python(p.Name)
	case "deb":
		return p.debian()
	}
	return a, a.Ecosystem != ""
}

// Python returns the normal form of the name of a Python package (PEP 503).
func Python(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-_.", r) }), "-")
}

// debian returns the source package, which is what advisories name, of the
// release that the package is for.
func (p PURL) debian() (a Advised, ok bool) {
	distro, release, _ := strings.Cut(p.Qualifiers.Get("distro"), "-")
	switch {
	case p.Namespace == "debian" && distro == "debian":
		a.Ecosystem = "Debian"
		release, _, _ = strings.Cut(release, ".") // advisories are for 12, not for 12.5
	case p.Namespace == "ubuntu" && distro == "ubuntu":
		a.Ecosystem = "Ubuntu"
	default:
		return a, false
	}
	a.Release, a.Name, a.Version = release, p.Name, p.Version
	if source := p.Qualifiers.Get("upstream"); source != "" {
		name, version, of := strings.Cut(source, "@")
		if a.Name = name; of {
			a.Version = version
		}
	}
	return a, true
}
