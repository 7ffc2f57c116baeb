package bom

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/osv"
)

// scanned is what osv-scanner says of a package.
type scanned struct {
	Package struct {
		Name      string `json:"name"`
		Version   string `json:"version"`
		Ecosystem string `json:"ecosystem"`
	} `json:"package"`
	Licences        []string     `json:"licenses"`
	Vulnerabilities []osv.Record `json:"vulnerabilities"`
	// Groups are of advisories about the same.
	Groups []struct {
		IDs         []string `json:"ids"`
		MaxSeverity string   `json:"max_severity"` // a CVSS score
	} `json:"groups"`
}

// types are the types of package URLs of ecosystems.
var types = map[string]string{
	"Go": "golang", "npm": "npm", "Maven": "maven", "PyPI": "pypi", "crates.io": "cargo",
	"RubyGems": "gem", "NuGet": "nuget", "Packagist": "composer", "Hex": "hex", "Pub": "pub",
}

// ReadOSV adds what is in a report of osv-scanner (google.github.io/osv-scanner,
// "Output": JSON). After an error some may be there.
func (b *Bill) ReadOSV(file string, data []byte) error {
	w := walk(file, "report of osv-scanner", data)
	results, packages, found := false, 0, 0
	onePackage := func() error {
		if packages++; packages > maxComponents {
			return w.errorf("it has more than %d packages", maxComponents)
		}
		var raw json.RawMessage
		if err := w.read(&raw); err != nil {
			return err
		}
		var s scanned
		if err := json.Unmarshal(raw, &s); err != nil {
			return w.broken(err)
		}
		if found += len(s.Vulnerabilities); found > maxVulnerabilities {
			return w.errorf("it has more than %d vulnerabilities", maxVulnerabilities)
		}
		b.scanned(file, s)
		return nil
	}
	oneResult := func() error {
		return w.object("a result", func(key string) error {
			if key == "packages" {
				return w.list("packages", onePackage)
			}
			return w.skip()
		})
	}
	err := w.object("the file", func(key string) error {
		if key == "results" {
			results = true
			return w.list("results", oneResult)
		}
		return w.skip()
	})
	if err == nil && !results {
		return w.errorf(`it is no report of osv-scanner: it has no "results"`)
	}
	return err
}

// scanned adds a package and what is known of it.
func (b *Bill) scanned(file string, s scanned) {
	if s.Package.Name == "" {
		return
	}
	c := component{Name: s.Package.Name, Version: s.Package.Version, PURL: packageURL(s)}
	for _, l := range s.Licences {
		c.Licences = append(c.Licences, licenceItem{Expression: l})
	}
	known := b.add(c)
	for _, r := range s.Vulnerabilities {
		if r.ID == "" || r.Withdrawn != nil {
			continue
		}
		v := api.Vulnerability{ID: brief(r.ID, maxText), Severity: api.SeverityUnknown, Component: known, Summary: osv.Brief(r, maxText), Source: brief(file, maxText)}
		for _, alias := range r.Aliases[:min(len(r.Aliases), maxLicences)] {
			v.Aliases = append(v.Aliases, brief(alias, maxText))
		}
		for _, a := range r.Affected {
			if a.Package.Name != s.Package.Name || a.Package.Ecosystem != s.Package.Ecosystem {
				continue
			}
			v.Severity = r.Worst(a)
			_, v.Fixed, _ = osv.Affects(s.Package.Ecosystem, a.Ranges, nil, s.Package.Version) // without an order nothing is known to be fixed
		}
		for _, g := range s.Groups {
			if score, err := strconv.ParseFloat(g.MaxSeverity, 64); err == nil && v.Severity == api.SeverityUnknown && slices.Contains(g.IDs, r.ID) {
				v.Severity = osv.Scored(score)
			}
		}
		b.Find(v)
	}
}

// packageURL returns the package URL of a package, empty if its type is not
// known.
func packageURL(s scanned) string {
	t, name, v := types[s.Package.Ecosystem], s.Package.Name, s.Package.Version
	switch {
	case t == "":
		return ""
	case t == "maven":
		name = strings.Replace(name, ":", "/", 1)
	case t == "golang" && v != "" && v[0] != 'v' && name != "stdlib":
		v = "v" + v
	}
	return "pkg:" + t + "/" + name + "@" + v
}
