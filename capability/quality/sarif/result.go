package sarif

import (
	"landfall.dev/api"
	"landfall.dev/capability/quality/input"
)

// result is what is read of a result.
type result struct {
	RuleID    string `json:"ruleId"`
	RuleIndex *int   `json:"ruleIndex"`
	Rule      struct {
		ID    string `json:"id"`
		Index *int   `json:"index"`
	} `json:"rule"`
	Kind     string `json:"kind"`
	Level    string `json:"level"`
	Baseline string `json:"baselineState"`
	Message  struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown"`
		ID       string `json:"id"`
	} `json:"message"`
	Locations    []location        `json:"locations"`
	Suppressions []suppression     `json:"suppressions"`
	Partial      map[string]string `json:"partialFingerprints"`
	Full         map[string]string `json:"fingerprints"`

	fingerprint string
}

// none is the level of what is no problem.
const none = "none"

type location struct {
	Physical struct {
		Artifact struct {
			URI string `json:"uri"`
		} `json:"artifactLocation"`
		Region struct {
			Line int `json:"startLine"`
		} `json:"region"`
	} `json:"physicalLocation"`
}

type suppression struct {
	Status string `json:"status"`
}

// shorten drops what a finding has no use of.
func (r *result) shorten() {
	if r.Message.Text == "" {
		r.Message.Text = r.Message.Markdown
	}
	if r.Message.Text == "" {
		r.Message.Text = r.Message.ID
	}
	r.Message.Text, r.Message.Markdown, r.Message.ID = input.Brief(r.Message.Text, maxMessage), "", ""
	if len(r.Locations) > 1 {
		r.Locations = r.Locations[:1:1]
	}
	if r.fingerprint = fingerprint(r.Partial); r.fingerprint == "" {
		r.fingerprint = fingerprint(r.Full)
	}
	r.Partial, r.Full = nil, nil
}

// counts tells whether r is a problem that was not there before. Only a result
// of the kind fail, which is the default, is one; a suppression holds unless it
// is under review or was rejected.
func (r *result) counts() bool {
	if r.Kind != "" && r.Kind != "fail" || r.Baseline == "unchanged" || r.Baseline == "absent" {
		return false
	}
	for _, s := range r.Suppressions {
		if s.Status == "" || s.Status == "accepted" {
			return false
		}
	}
	return true
}

// finding returns r with what its tool says of its rule: also that it is none.
func (r *result) finding(t tool) api.Finding {
	id, index := r.RuleID, r.RuleIndex
	if id == "" {
		id = r.Rule.ID
	}
	if index == nil {
		index = r.Rule.Index
	}
	level := r.Level
	if index != nil && *index >= 0 && *index < len(t.rules) {
		if id == "" {
			id = t.rules[*index].ID
		}
		if level == "" {
			level = t.rules[*index].Default.Level
		}
	}
	if level == "" {
		level = t.level[id]
	}
	if level != "note" && level != "error" && level != none {
		level = "warning" // the format's default
	}
	f := api.Finding{
		Tool: input.Brief(t.name, maxName), Rule: input.Brief(id, maxName), Level: level,
		Message: r.Message.Text, Fingerprint: r.fingerprint,
	}
	if len(r.Locations) > 0 {
		f.File, f.Line = fileOf(r.Locations[0].Physical.Artifact.URI), r.Locations[0].Physical.Region.Line
	}
	return f
}
