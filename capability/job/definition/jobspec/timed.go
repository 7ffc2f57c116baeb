package jobspec

import (
	"slices"

	"landfall.dev/api"
	"landfall.dev/capability/job/cron"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

var (
	scheduleFields  = []string{"missed", "overlap"}
	missedPolicies  = []string{string(api.MissedSkip), string(api.MissedOne), string(api.MissedAll)}
	overlapPolicies = []string{string(api.OverlapForbid), string(api.OverlapReplace), string(api.OverlapAllow)}
)

// schedule returns the times of the triggers of the job called name, with what
// the field schedule says of them; nil if there are none.
func (d *decoder) schedule(name string, triggers, policies *yaml11.Value, components []definition.Component) *api.ScheduleSpec {
	d.list("triggers", triggers)
	var spec api.ScheduleSpec
	for _, c := range components {
		at := c.Args
		if at == nil {
			at = yaml11.New(c.At, nil)
		}
		if c.Type != "timed" {
			d.fail(at, "a job of Landfall is triggered by timed only, not by %s: what a change or a landing starts is up to the pipeline", c.Type)
			continue
		}
		lines := d.text("timed", at)
		if _, err := cron.Parse(name, lines); err != nil {
			d.fail(at, "timed: %v", err)
			continue
		}
		spec.Timed = append(spec.Timed, lines)
	}
	for _, e := range d.entries("schedule", policies) {
		switch key, _ := e.Key.Data.(string); key {
		case "missed":
			spec.Missed = api.MissedPolicy(d.oneOf("missed", e.Value, missedPolicies))
		case "overlap":
			spec.Overlap = api.OverlapPolicy(d.oneOf("overlap", e.Value, overlapPolicies))
		default:
			d.fail(e.Key, "schedule has no %q%s", key, yaml11.Suggest(key, scheduleFields))
		}
	}
	if len(spec.Timed) == 0 {
		if policies != nil && policies.Data != nil && len(components) == 0 {
			d.fail(policies, "a schedule needs times: add triggers with a timed")
		}
		return nil
	}
	return &spec
}

// oneOf returns v, which must be one of the words.
func (d *decoder) oneOf(what string, v *yaml11.Value, words []string) string {
	text := d.text(what, v)
	if !slices.Contains(words, text) {
		d.fail(v, "%s must be %s, %s or %s, not %q", what, words[0], words[1], words[2], text)
	}
	return text
}

// flag returns v, which must be true or false.
func (d *decoder) flag(what string, v *yaml11.Value) bool {
	if v == nil || v.Data == nil {
		return false
	}
	b, ok := v.Data.(bool)
	if !ok {
		d.fail(v, "%s must be true or false, but is %s", what, yaml11.KindOf(v))
	}
	return b
}
