package bom

import (
	"bytes"
	"encoding/json"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/osv"
)

// vulnerability is what is read of a CycloneDX vulnerability.
type vulnerability struct {
	ID          string `json:"id"`
	Description string `json:"description"`
	Ratings     []struct {
		Severity string   `json:"severity"`
		Score    *float64 `json:"score"`
	} `json:"ratings"`
	Affects []struct {
		Ref string `json:"ref"`
	} `json:"affects"`
	Analysis struct {
		State string `json:"state"`
	} `json:"analysis"`
	References []struct {
		ID string `json:"id"`
	} `json:"references"`
}

// harmless are the states of an analysis after which a vulnerability does not
// count.
var harmless = map[string]bool{"not_affected": true, "false_positive": true, "resolved": true, "resolved_with_pedigree": true}

// cyclonedx is a bill of materials while it is read.
type cyclonedx struct {
	*walker
	bill       *Bill
	components int
	found      int
	refs       map[string]string // what components are known by, by bom-ref
	pending    []vulnerability   // they may come before the components
}

// ReadCycloneDX adds the dependencies in a bill of materials. After an error
// some may be there.
func (b *Bill) ReadCycloneDX(file string, data []byte) error {
	c := cyclonedx{walker: walk(file, "CycloneDX bill of materials", data), bill: b, refs: map[string]string{}}
	if bytes.HasPrefix(bytes.TrimSpace(c.data), []byte("<")) {
		return c.errorf("it is XML: write JSON")
	}
	format := ""
	err := c.object("the file", func(key string) error {
		switch key {
		case "bomFormat":
			return c.read(&format)
		case "components":
			return c.componentsOf(0)
		case "vulnerabilities":
			return c.list("vulnerabilities", c.vulnerability)
		case "spdxVersion", "SPDXID":
			return c.errorf("it is SPDX: write CycloneDX JSON")
		}
		return c.skip()
	})
	if err != nil {
		return err
	}
	if format != "CycloneDX" {
		return c.errorf(`it is no CycloneDX bill of materials: it has no "bomFormat" that says so`)
	}
	for _, v := range c.pending {
		c.resolve(v)
	}
	return nil
}

// componentsOf reads a list of components, which can have components of their
// own.
func (c *cyclonedx) componentsOf(depth int) error {
	if depth > maxDepth {
		return c.errorf("components are nested more than %d deep", maxDepth)
	}
	return c.list("components", func() error { return c.component(depth) })
}

func (c *cyclonedx) component(depth int) error {
	if c.components++; c.components > maxComponents {
		return c.errorf("it has more than %d components", maxComponents)
	}
	var x component
	fields := map[string]any{
		"type": &x.Type, "bom-ref": &x.Ref, "group": &x.Group, "name": &x.Name, "version": &x.Version, "purl": &x.PURL,
		"licenses": &x.Licences, "evidence": &x.Evidence,
	}
	err := c.object("a component", func(key string) error {
		if v, ok := fields[key]; ok {
			return c.read(v)
		}
		if key == "components" {
			return c.componentsOf(depth + 1)
		}
		return c.skip()
	})
	if err != nil || x.Type == "file" || x.Type == "operating-system" || x.Name == "" && x.PURL == "" {
		return err
	}
	known := c.bill.add(x)
	if x.Ref != "" {
		c.refs[x.Ref] = known
	}
	return nil
}

func (c *cyclonedx) vulnerability() error {
	var raw json.RawMessage
	if err := c.read(&raw); err != nil {
		return err
	}
	var v vulnerability
	if err := json.Unmarshal(raw, &v); err != nil {
		return c.broken(err)
	}
	if c.found += max(len(v.Affects), 1); c.found > maxVulnerabilities {
		return c.errorf("it has more than %d vulnerabilities", maxVulnerabilities)
	}
	if v.ID != "" && !harmless[v.Analysis.State] {
		v.ID, v.Description = brief(v.ID, maxText), brief(v.Description, maxText)
		c.pending = append(c.pending, v)
	}
	return nil
}

// resolve adds a vulnerability of each component that it affects.
func (c *cyclonedx) resolve(v vulnerability) {
	x := api.Vulnerability{ID: v.ID, Severity: worst(v), Summary: v.Description, Source: brief(c.file, maxText)}
	for _, r := range v.References[:min(len(v.References), maxLicences)] {
		if r.ID != "" {
			x.Aliases = append(x.Aliases, brief(r.ID, maxText))
		}
	}
	for _, a := range v.Affects {
		ref := a.Ref
		if link, ok := strings.CutPrefix(ref, "urn:cdx:"); ok { // BOM-Link: serial/version#ref
			_, ref, _ = strings.Cut(link, "#")
		}
		x.Component = c.refs[ref]
		if x.Component == "" {
			x.Component = brief(a.Ref, maxText)
		}
		c.bill.Find(x)
	}
}

// worst returns the worst severity that somebody has rated v with.
func worst(v vulnerability) api.Severity {
	s := api.SeverityUnknown
	for _, r := range v.Ratings {
		rated := osv.Named(r.Severity)
		if rated == api.SeverityUnknown && r.Score != nil {
			rated = osv.Scored(*r.Score)
		}
		if rated != api.SeverityUnknown && (s == api.SeverityUnknown || osv.Rank(rated) > osv.Rank(s)) {
			s = rated
		}
	}
	return s
}
