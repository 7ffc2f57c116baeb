// Package sarif reads the findings in reports of the format SARIF 2.1.0
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), as far as a verdict on a
// patch needs them: result by result, whatever else is in the report. It also
// reads what Checkstyle, PMD and FindBugs write instead.
package sarif

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/quality/input"
)

const (
	// maxFindings is how many a build may have.
	maxFindings = 100_000
	// maxRules is how many a run's tool may tell of.
	maxRules = 100_000
	// maxDepth is how deep values may be in each other.
	maxDepth = 100
	// maxMessage and maxName are in bytes.
	maxMessage = 500
	maxName    = 200
)

// Findings are those of a build, without those that are no problem: what has
// passed, was suppressed, or was there in the baseline of the analyser.
type Findings struct {
	List []api.Finding

	known map[string]bool // with a fingerprint
}

// Read adds the findings of a report. After an error some may be there.
func (f *Findings) Read(file string, data []byte) error {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")) {
		return f.readXML(file, data)
	}
	p := &parser{file: file, data: data, findings: f, decoder: json.NewDecoder(bytes.NewReader(data))}
	versioned, runs := false, false
	err := p.object("the report", func(key string) error {
		switch key {
		case "version":
			versioned = true
			return p.version()
		case "runs":
			runs = true
			return p.list("runs", p.run)
		}
		return p.skip()
	})
	if err == nil && (!versioned || !runs) {
		return input.Errorf(file, 1, `it is no SARIF report: it has no "version" and "runs"`)
	}
	return err
}

// parser reads a report.
type parser struct {
	file     string
	data     []byte
	findings *Findings
	decoder  *json.Decoder
}

func (p *parser) errorf(format string, args ...any) error {
	return input.Errorf(p.file, input.LineAt(p.data, p.decoder.InputOffset()), format, args...)
}

func (p *parser) broken(err error) error {
	return p.errorf("it is no SARIF report: %s", input.Brief(err.Error(), 200))
}

// token returns the next token, which there must be.
func (p *parser) token() (json.Token, error) {
	t, err := p.decoder.Token()
	if err != nil {
		return nil, p.broken(err)
	}
	return t, nil
}

// object calls field for each key of the object that comes next; it reads the
// value.
func (p *parser) object(what string, field func(key string) error) error {
	t, err := p.token()
	if err != nil {
		return err
	}
	if t != json.Delim('{') {
		return p.errorf("it is no SARIF report: %s must be an object", what)
	}
	for p.decoder.More() {
		key, err := p.token()
		if err != nil {
			return err
		}
		if err := field(fmt.Sprint(key)); err != nil {
			return err
		}
	}
	_, err = p.token()
	return err
}

// list calls item for each value of the list that comes next, or of nothing if
// it is null; it reads the value.
func (p *parser) list(what string, item func() error) error {
	t, err := p.token()
	if err != nil || t == nil {
		return err
	}
	if t != json.Delim('[') {
		return p.errorf("it is no SARIF report: %s must be a list", what)
	}
	for p.decoder.More() {
		if err := item(); err != nil {
			return err
		}
	}
	_, err = p.token()
	return err
}

// skip reads a value that does not matter.
func (p *parser) skip() error {
	for depth := 0; ; {
		t, err := p.token()
		if err != nil {
			return err
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			if depth++; depth > maxDepth {
				return p.errorf("values are nested more than %d deep", maxDepth)
			}
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// decode reads the value that comes next into v.
func (p *parser) decode(v any) error {
	if err := p.decoder.Decode(v); err != nil {
		return p.broken(err)
	}
	return nil
}

func (p *parser) version() error {
	var v string
	if err := p.decode(&v); err != nil {
		return err
	}
	if !strings.HasPrefix(v, "2.") {
		return p.errorf("it is SARIF %s: write version 2.1.0", input.Brief(v, 20))
	}
	return nil
}

// tool is what a run says of its tool.
type tool struct {
	name  string
	rules []rule
	level map[string]string // by rule
}

type rule struct {
	ID      string `json:"id"`
	Default struct {
		Level string `json:"level"`
	} `json:"defaultConfiguration"`
}

// run reads a run. Its results may come before its rules, so that their levels
// are known only in the end.
func (p *parser) run() error {
	t := tool{level: map[string]string{}}
	var found []result
	err := p.object("a run", func(key string) error {
		switch key {
		case "tool":
			return p.tool(&t)
		case "results":
			return p.list("results", func() error {
				var r result
				if err := p.decode(&r); err != nil {
					return err
				}
				if len(p.findings.List)+len(found) >= maxFindings {
					return p.errorf("the build has more than %d findings", maxFindings)
				}
				r.shorten()
				found = append(found, r)
				return nil
			})
		}
		return p.skip()
	})
	if err != nil {
		return err
	}
	for _, r := range found {
		if x := r.finding(t); x.Level != none && r.counts() {
			p.findings.add(x)
		}
	}
	return nil
}

func (p *parser) tool(t *tool) error {
	return p.object("a run's tool", func(key string) error {
		if key != "driver" {
			return p.skip()
		}
		return p.object("a tool's driver", func(key string) error {
			switch key {
			case "name":
				return p.decode(&t.name)
			case "rules":
				return p.list("rules", func() error {
					var r rule
					if err := p.decode(&r); err != nil {
						return err
					}
					if len(t.rules) >= maxRules {
						return p.errorf("the tool has more than %d rules", maxRules)
					}
					t.rules = append(t.rules, r)
					t.level[r.ID] = r.Default.Level
					return nil
				})
			}
			return p.skip()
		})
	})
}

// add adds a finding, unless another report has it too.
func (f *Findings) add(x api.Finding) {
	if x.Fingerprint != "" {
		id := strings.Join([]string{x.Tool, x.Rule, x.File, fmt.Sprint(x.Line), x.Fingerprint}, "\x00")
		if f.known[id] {
			return
		}
		if f.known == nil {
			f.known = map[string]bool{}
		}
		f.known[id] = true
	}
	f.List = append(f.List, x)
}

// fileOf returns the path that a URI of a location leads to.
func fileOf(uri string) string {
	if u, err := url.Parse(uri); err == nil && (u.Scheme == "" || u.Scheme == "file") && u.Path != "" {
		return u.Path
	}
	return uri
}

// fingerprint returns a text for all of what a result is known by.
func fingerprint(all map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, k+"="+all[k])
	}
	return input.Brief(strings.Join(parts, " "), maxName)
}
