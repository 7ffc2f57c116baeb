package jjb

import (
	"slices"
	"strings"

	"landfall.dev/capability/job/definition/yaml11"
	"landfall.dev/cmd/landfall/jobs"
)

// fromLandfall returns what is compared of our jobs, by name.
func fromLandfall(list []jobs.Job) map[string]Job {
	all := map[string]Job{}
	for _, ours := range list {
		j := Job{Description: ours.Description}
		for kind, list := range ours.Components {
			for _, c := range list {
				j.take(kind, c)
			}
		}
		all[ours.Name] = j
	}
	return all
}

// take adds a component as the modules of jenkins-jobs write it.
func (j *Job) take(kind string, c jobs.Component) {
	m := c.Args.Map()
	switch kind + " " + c.Type {
	case "builders shell":
		script := c.Args
		if m != nil {
			script = m.Lookup("command")
		}
		j.Scripts = append(j.Scripts, text(script))
	case "builders inject":
		j.Others = append(j.Others, "inject "+text(m.Lookup("properties-content")))
	case "parameters string", "parameters bool", "parameters text", "parameters choice":
		j.Parameters = append(j.Parameters, parameter(c.Type, m))
	case "triggers timed":
		j.Triggers = append(j.Triggers, "timed "+text(c.Args))
	case "triggers pollscm":
		j.Triggers = append(j.Triggers, "pollscm "+text(or(m.Lookup("cron"), c.Args)))
	case "triggers reverse":
		j.Triggers = append(j.Triggers, "reverse "+strings.Join(texts(m.Lookup("jobs")), ","))
	case "publishers archive":
		j.Others = append(j.Others, "archive "+text(m.Lookup("artifacts"))+" "+lower(m.Lookup("allow-empty")))
	case "wrappers build-name":
		j.Others = append(j.Others, "build-name "+text(m.Lookup("name")))
	case "properties github":
		j.Others = append(j.Others, "github "+text(m.Lookup("url")))
	case "scm git":
		j.Others = append(j.Others, "git "+text(m.Lookup("url")))
		for _, b := range texts(m.Lookup("branches")) {
			j.Others = append(j.Others, "branch "+b)
		}
	}
	for _, inside := range c.Children {
		j.take(inside.Kind, inside)
	}
}

func parameter(kind string, m yaml11.Map) Parameter {
	p := Parameter{Type: kind, Name: text(m.Lookup("name")), Description: text(m.Lookup("description"))}
	switch kind {
	case "bool":
		p.Default = lower(m.Lookup("default"))
	case "choice":
		p.Choices = texts(m.Lookup("choices"))
	default:
		p.Default = text(m.Lookup("default"))
	}
	return p
}

func or(v, otherwise *yaml11.Value) *yaml11.Value {
	if v != nil {
		return v
	}
	return otherwise
}

// text returns v as Python's str does; nothing for None.
func text(v *yaml11.Value) string {
	if v == nil || v.Data == nil {
		return ""
	}
	return v.TextAs(true)
}

// lower returns a switch as it is written in XML.
func lower(v *yaml11.Value) string { return strings.ToLower(text(v)) }

func texts(v *yaml11.Value) []string {
	var all []string
	for _, item := range v.List() {
		all = append(all, text(item))
	}
	return all
}

// sorted returns j so that it can be compared: in XML the others stand in an
// order of their own.
func (j Job) sorted() Job {
	slices.Sort(j.Others)
	return j
}
