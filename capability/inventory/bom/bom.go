// Package bom reads what tools write about dependencies: bills of materials in
// CycloneDX JSON, versions 1.2 to 1.7 (cyclonedx.org/docs), as syft, trivy,
// osv-scalibr and cyclonedx-gomod make them, and reports of osv-scanner.
//
// Builds write these files, of patches that nobody has reviewed yet, so they
// may hold anything: errors name the file and the line.
package bom

import (
	"cmp"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/purl"
)

const (
	// maxComponents is how many components a build may have.
	maxComponents = 50_000
	// maxVulnerabilities is how many times one of them may have one.
	maxVulnerabilities = 50_000
	// maxLicences is how many licences of a component are read.
	maxLicences = 20
	// maxText and maxLicence are in bytes.
	maxText    = 300
	maxLicence = 500
)

// Bill is all that the files of a build say.
type Bill struct {
	// Components are without files and operating systems.
	Components      []api.Component
	Vulnerabilities []api.Vulnerability

	// Packages are the package URLs of Components, in their order, with
	// qualifiers; zero where there is none.
	Packages []purl.PURL

	known map[string]int // place in Components, by package URL or name and version
	found map[string]bool
}

// component is what is read of a CycloneDX component.
type component struct {
	Type     string        `json:"type"`
	Ref      string        `json:"bom-ref"`
	Group    string        `json:"group"`
	Name     string        `json:"name"`
	Version  string        `json:"version"`
	PURL     string        `json:"purl"`
	Licences []licenceItem `json:"licenses"`
	Evidence struct {
		Licences []licenceItem `json:"licenses"`
	} `json:"evidence"`
}

// licenceItem is a licence of a component: an expression, an identifier or a
// name.
type licenceItem struct {
	Expression string `json:"expression"`
	Licence    struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"license"`
}

// licences returns what a tool declares or, where it declares nothing, what it
// has found in the files.
func (c component) licences() []string {
	items := c.Licences
	if len(items) == 0 {
		items = c.Evidence.Licences
	}
	var all []string
	for _, i := range items[:min(len(items), maxLicences)] {
		text := brief(cmp.Or(i.Expression, i.Licence.ID, i.Licence.Name), maxLicence)
		if text != "" && !strings.EqualFold(text, "NOASSERTION") && !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}

// add adds a dependency, or its licences to one that is known already, and
// returns what it is known by.
func (b *Bill) add(c component) string {
	x := api.Component{Name: c.Name, Version: brief(c.Version, maxText), Licences: c.licences()}
	if c.Group != "" {
		x.Name = c.Group + "/" + c.Name
	}
	p, ok := purl.Parse(c.PURL)
	if ok {
		if p.Version == "" {
			p.Version = c.Version
		}
		x.PURL = brief(p.String(), maxText)
		x.Version = cmp.Or(x.Version, brief(p.Version, maxText))
	}
	x.Name = brief(cmp.Or(x.Name, p.Name), maxText)
	key := cmp.Or(x.PURL, x.Name+" "+x.Version)
	if i, ok := b.known[key]; ok {
		if len(b.Components[i].Licences) == 0 {
			b.Components[i].Licences = x.Licences
		}
		return key
	}
	if b.known == nil {
		b.known = map[string]int{}
	}
	b.known[key] = len(b.Components)
	b.Components, b.Packages = append(b.Components, x), append(b.Packages, p)
	return key
}

// Find adds a vulnerability of a component, unless it is there already, be it
// by an alias.
func (b *Bill) Find(v api.Vulnerability) {
	ids := append([]string{v.ID}, v.Aliases...)
	for _, id := range ids {
		if b.found[v.Component+"\x00"+id] {
			return
		}
	}
	if b.found == nil {
		b.found = map[string]bool{}
	}
	for _, id := range ids {
		b.found[v.Component+"\x00"+id] = true
	}
	b.Vulnerabilities = append(b.Vulnerabilities, v)
}
