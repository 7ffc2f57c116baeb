package bom

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/licence"
	"landfall.dev/capability/inventory/purl"
)

// document is a bill of materials as it is written.
type document struct {
	Format          string     `json:"bomFormat"`
	Spec            string     `json:"specVersion"`
	Version         int        `json:"version"`
	Metadata        metadata   `json:"metadata"`
	Components      []part     `json:"components"`
	Vulnerabilities []weakness `json:"vulnerabilities,omitempty"`
}

type metadata struct {
	Component part `json:"component"`
}

type part struct {
	Ref      string           `json:"bom-ref,omitempty"`
	Type     string           `json:"type"`
	Name     string           `json:"name"`
	Version  string           `json:"version,omitempty"`
	PURL     string           `json:"purl,omitempty"`
	Licences []map[string]any `json:"licenses,omitempty"`
}

type weakness struct {
	Ref            string              `json:"bom-ref"`
	ID             string              `json:"id"`
	Description    string              `json:"description,omitempty"`
	Ratings        []map[string]string `json:"ratings,omitempty"`
	Affects        []map[string]string `json:"affects"`
	Recommendation string              `json:"recommendation,omitempty"`
}

// Write writes b as CycloneDX 1.6 JSON about the thing with that name and
// version, with the vulnerabilities given.
func (b *Bill) Write(w io.Writer, name, version string, vulnerabilities []api.Vulnerability) error {
	d := document{Format: "CycloneDX", Spec: "1.6", Version: 1, Components: []part{}}
	d.Metadata.Component = part{Type: "application", Name: name, Version: version}
	refs := map[string]string{}
	for i, c := range b.Components {
		ref := fmt.Sprintf("component-%d", i+1)
		refs[c.PURL], refs[c.Name+" "+c.Version] = ref, ref
		p := part{Ref: ref, Type: "library", Name: c.Name, Version: c.Version, Licences: written(c.Licences)}
		if x := b.Packages[i]; x.Type != "" {
			p.PURL = escaped(x)
		}
		d.Components = append(d.Components, p)
	}
	for i, v := range vulnerabilities {
		ref := refs[v.Component]
		if ref == "" {
			ref = v.Component
		}
		x := weakness{
			Ref: fmt.Sprintf("vulnerability-%d", i+1), ID: v.ID, Description: v.Summary,
			Ratings: []map[string]string{{"severity": string(v.Severity)}}, Affects: []map[string]string{{"ref": ref}},
		}
		if v.Fixed != "" {
			x.Recommendation = "Upgrade to " + v.Fixed
		}
		d.Vulnerabilities = append(d.Vulnerabilities, x)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(d)
}

// written returns licences as a component has them: one expression of all or,
// where one of them is none, names.
func written(licences []string) (list []map[string]any) {
	var all []string
	for _, l := range licences {
		list = append(list, map[string]any{"license": map[string]string{"name": l}})
		if x, err := licence.Parse(l); err == nil {
			if x.Combined() && len(licences) > 1 {
				l = "(" + l + ")"
			}
			all = append(all, l)
		}
	}
	if len(all) == 0 || len(all) < len(licences) {
		return list
	}
	return []map[string]any{{"expression": strings.Join(all, " AND ")}}
}

// escaped returns a package URL with its escapes and qualifiers.
func escaped(p purl.PURL) string {
	plain := func(s string) string {
		return strings.ReplaceAll(strings.ReplaceAll(url.PathEscape(s), "%2F", "/"), "@", "%40")
	}
	s := "pkg:" + p.Type + "/"
	if p.Namespace != "" {
		s += plain(p.Namespace) + "/"
	}
	s += plain(p.Name)
	if p.Version != "" {
		s += "@" + plain(p.Version)
	}
	if q := p.Qualifiers.Encode(); q != "" {
		s += "?" + strings.ReplaceAll(q, "+", "%20")
	}
	return s
}
