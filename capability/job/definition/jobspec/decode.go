package jobspec

import (
	"math/big"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/catalog"
	"landfall.dev/capability/job/definition/yaml11"
)

var packFields = []string{"repository", "base", "files", "entrypoint", "env"}

// maxTimeout is the longest time that a build may be given.
const maxTimeout = 7 * 24 * time.Hour

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// decoder reads formatted values. What is absent (nil or empty in YAML) is the
// zero value.
type decoder struct {
	report func(*definition.Error)
	failed bool
}

// job returns j as a spec.
func (d *decoder) job(j definition.Job) api.JobSpec {
	fields := map[string]*yaml11.Value{}
	for _, e := range j.Keys {
		key, _ := e.Key.Data.(string)
		switch {
		case slices.Contains(catalog.OwnKeys, key):
			fields[key] = e.Value
		case (slices.Contains(catalog.JobKeys, key) || catalog.IsList(key)) && key != "project-type" && key != "folder":
			d.fail(e.Value, "Landfall does not run %q of a job: remove it", key)
		}
	}
	spec := api.JobSpec{
		Name:           j.Name,
		MovedFrom:      d.text("moved-from", fields["moved-from"]),
		Description:    d.text("description", fields["description"]),
		Image:          d.image(fields["image"]),
		Labels:         d.texts("label", fields["labels"]),
		Services:       d.services(fields["services"]),
		Resources:      d.resources(fields["resources"]),
		Script:         d.script(fields["script"], fields["builders"], j.Components["builders"]),
		Env:            d.env(fields["env"]),
		Secrets:        d.secrets(fields["secrets"]),
		Artifacts:      d.patterns("artifact", fields["artifacts"]),
		Reports:        d.reports(fields["reports"]),
		Pack:           d.pack(fields["pack"]),
		TimeoutSeconds: d.timeout(fields["timeout"]),
		Once:           d.flag("once", fields["once"]),
		Pipeline:       d.flag("starts-pipeline", fields["starts-pipeline"]),
		Schedule:       d.schedule(j.Name, fields["triggers"], fields["schedule"], j.Components["triggers"]),
		Origin:         j.Origin,
	}
	spec.Cache, spec.CacheMB = d.cache(fields["cache"])
	if spec.Name == "" || strings.TrimSpace(spec.Name) != spec.Name || strings.ContainsFunc(spec.Name, unicode.IsControl) {
		d.fail(j.Keys.Lookup("name"), "the name %q of a job must not be empty, contain control characters, or begin or end with a space", yaml11.Brief(spec.Name))
	}
	return spec
}

func (d *decoder) fail(v *yaml11.Value, format string, args ...any) {
	d.failed = true
	d.report(v.At.Errorf(format, args...))
}

// text returns v, which must be text or a number, as text.
func (d *decoder) text(what string, v *yaml11.Value) string {
	if v == nil || v.Data == nil {
		return ""
	}
	switch v.Data.(type) {
	case string, *big.Int, float64:
		return v.Text()
	case bool:
		d.fail(v, "%s must be text, but is a boolean: quote it", what)
	default:
		d.fail(v, "%s must be text, but is %s", what, yaml11.KindOf(v))
	}
	return ""
}

// list returns the items of v, which must be a list.
func (d *decoder) list(what string, v *yaml11.Value) []*yaml11.Value {
	if v == nil || v.Data == nil {
		return nil
	}
	items, ok := v.Data.([]*yaml11.Value)
	if !ok {
		d.fail(v, "%s must be a list (\"- item\" in each line), but is %s", what, yaml11.KindOf(v))
	}
	return items
}

// texts returns v, which must be a list of texts that are not empty.
func (d *decoder) texts(what string, v *yaml11.Value) []string {
	var all []string
	for _, item := range d.list(what, v) {
		if item.Data == nil || item.Data == "" {
			d.fail(item, "an item of %s is empty: remove it or fill it in", what)
		}
		all = append(all, d.text("an item of "+what, item))
	}
	return all
}

// entries returns the entries of v, which must be a map.
func (d *decoder) entries(what string, v *yaml11.Value) yaml11.Map {
	if v == nil || v.Data == nil {
		return nil
	}
	m, ok := v.Data.(yaml11.Map)
	if !ok {
		d.fail(v, "%s must be a map (\"key: value\"), but is %s", what, yaml11.KindOf(v))
	}
	return m
}

// script returns the shell steps: a text, a list of texts, or builders of the
// kind shell.
func (d *decoder) script(script, builders *yaml11.Value, components []definition.Component) []string {
	steps := []string{}
	if script != nil && yaml11.KindOf(script) == "a list" {
		return append(steps, d.texts("script", script)...)
	}
	if text := d.text("script", script); text != "" {
		steps = append(steps, text)
	}
	d.list("builders", builders)
	for _, c := range components {
		if c.Type != "shell" || c.Args == nil {
			if catalog.Has("builders", c.Type) {
				d.fail(yaml11.New(c.At, nil), "Landfall does not run the builder %q so: there is only shell, with its text", c.Type)
			}
			continue
		}
		command := c.Args
		if m := command.Map(); len(m) == 1 && m.Lookup("command") != nil {
			command = m.Lookup("command")
		}
		steps = append(steps, d.text("shell", command))
	}
	return steps
}

// env returns an environment. Values that YAML takes for something else than
// text or a number must be quoted, because what the shell sees would surprise.
func (d *decoder) env(v *yaml11.Value) map[string]string {
	m := d.entries("env", v)
	if len(m) == 0 {
		return nil
	}
	env := make(map[string]string, len(m))
	for _, e := range m {
		key, ok := e.Key.Data.(string)
		if !ok || !envName.MatchString(key) {
			d.fail(e.Key, "the name %q in env must be text of letters, digits and underscores; it is %s",
				yaml11.Brief(e.Key.Text()), yaml11.KindOf(e.Key))
			continue
		}
		env[key] = d.text("the value of "+yaml11.Brief(key)+" in env", e.Value)
	}
	return env
}

// timeout returns the seconds of a number of minutes or a duration as in Go.
func (d *decoder) timeout(v *yaml11.Value) int {
	if v == nil || v.Data == nil {
		return 0
	}
	text := d.text("timeout", v)
	if _, isFloat := v.Data.(float64); isFloat || text != "" && strings.Trim(text, "0123456789") == "" {
		text += "m"
	}
	t, err := time.ParseDuration(text)
	if err != nil || t < time.Second || t > maxTimeout {
		d.fail(v, "timeout must be a number of minutes or a duration as 90s or 1h30m, from 1s to 168h, but is %q", yaml11.Brief(v.Text()))
		return 0
	}
	return int(t.Round(time.Second) / time.Second)
}

// pack returns how to make an image.
func (d *decoder) pack(v *yaml11.Value) *api.PackSpec {
	if v == nil || v.Data == nil {
		return nil
	}
	fields := map[string]*yaml11.Value{}
	for _, e := range d.entries("pack", v) {
		key := e.Key.Text()
		if !slices.Contains(packFields, key) {
			d.fail(e.Key, "unknown field %q in pack%s (pack has %s)",
				yaml11.Brief(key), yaml11.Suggest(key, packFields), strings.Join(packFields, ", "))
			continue
		}
		fields[key] = e.Value
	}
	p := &api.PackSpec{
		Repository: d.text("repository", fields["repository"]),
		Base:       d.text("base", fields["base"]),
		Files:      d.files(fields["files"]),
		Entrypoint: d.texts("entrypoint", fields["entrypoint"]),
		Env:        d.env(fields["env"]),
	}
	if !d.failed && (p.Repository == "" || len(p.Files) == 0 || len(p.Entrypoint) == 0) {
		d.fail(v, "pack needs repository (a name), files (paths in the sources: paths in the image) and entrypoint (a list)")
	}
	return p
}

// files returns which files of the sources go where in an image.
func (d *decoder) files(v *yaml11.Value) map[string]string {
	files := map[string]string{}
	for _, e := range d.entries("files", v) {
		from, to := d.text("a path in files", e.Key), d.text("a path in files", e.Value)
		if !d.failed && (!filepath.IsLocal(from) || to == "") {
			d.fail(e.Key, "files must map a path inside the sources, without / at its beginning and without .., "+
				"to a path in the image, but there is %q: %q", yaml11.Brief(from), yaml11.Brief(to))
		}
		files[from] = to
	}
	return files
}
