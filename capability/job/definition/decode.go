package definition

import (
	"math/big"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"landfall.dev/api"
)

// fieldNames lists what a job consists of.
var fieldNames = []string{
	"description", "image", "script", "builders", "env", "timeout", "artifacts", "pack",
}

var packFields = []string{"repository", "base", "files", "entrypoint", "env"}

// maxTimeout is the longest time that a build may be given.
const maxTimeout = 7 * 24 * time.Hour

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// decode returns the job that formatted fields describe, and reports whether
// all of them were right.
func decode(name *value, fields map[string]*value, report func(*Error)) (api.JobSpec, bool) {
	d := decoder{report: report}
	spec := api.JobSpec{
		Name:        d.text("name", name),
		Description: d.text("description", fields["description"]),
		Image:       d.text("image", fields["image"]),
		Script:      d.script(fields["script"], fields["builders"]),
		Env:         d.env(fields["env"]),
		Artifacts:   d.artifacts(fields["artifacts"]),
		Pack:        d.pack(fields["pack"]),
	}
	spec.TimeoutSeconds = d.timeout(fields["timeout"])
	if spec.Name == "" || strings.TrimSpace(spec.Name) != spec.Name || strings.ContainsFunc(spec.Name, unicode.IsControl) {
		d.fail(name, "the name %q of a job must not be empty, contain control characters, or begin or end with a space", brief(spec.Name))
	}
	return spec, !d.failed
}

// decoder reads formatted values. What is absent (nil or empty in YAML) is the
// zero value.
type decoder struct {
	report func(*Error)
	failed bool
}

func (d *decoder) fail(v *value, format string, args ...any) {
	d.failed = true
	d.report(v.at.errorf(format, args...))
}

// text returns v, which must be text or a number, as text.
func (d *decoder) text(what string, v *value) string {
	if v == nil || v.data == nil {
		return ""
	}
	switch v.data.(type) {
	case string, *big.Int, float64:
		return v.text()
	case bool:
		d.fail(v, "%s must be text, but is a boolean: quote it", what)
	default:
		d.fail(v, "%s must be text, but is %s", what, kindOf(v))
	}
	return ""
}

// list returns the items of v, which must be a list.
func (d *decoder) list(what string, v *value) []*value {
	if v == nil || v.data == nil {
		return nil
	}
	items, ok := v.data.([]*value)
	if !ok {
		d.fail(v, "%s must be a list (\"- item\" in each line), but is %s", what, kindOf(v))
	}
	return items
}

// texts returns v, which must be a list of texts that are not empty.
func (d *decoder) texts(what string, v *value) []string {
	var all []string
	for _, item := range d.list(what, v) {
		if item.data == nil || item.data == "" {
			d.fail(item, "an item of %s is empty: remove it or fill it in", what)
		}
		all = append(all, d.text("an item of "+what, item))
	}
	return all
}

// entries returns the entries of v, which must be a map.
func (d *decoder) entries(what string, v *value) mapping {
	if v == nil || v.data == nil {
		return nil
	}
	m, ok := v.data.(mapping)
	if !ok {
		d.fail(v, "%s must be a map (\"key: value\"), but is %s", what, kindOf(v))
	}
	return m
}

// script returns the shell steps: a text, a list of texts, or builders of the
// kind shell.
func (d *decoder) script(script, builders *value) []string {
	steps := []string{}
	if script != nil && kindOf(script) == "a list" {
		return append(steps, d.texts("script", script)...)
	}
	if text := d.text("script", script); text != "" {
		steps = append(steps, text)
	}
	for _, b := range d.list("builders", builders) {
		m, ok := b.data.(mapping)
		switch {
		case !ok:
			d.fail(b, "an item of builders must be \"shell: text\", but is %s", kindOf(b))
		case len(m) != 1:
			d.fail(b, "an item of builders must have one key, shell, but has %d", len(m))
		case m[0].key.data != "shell":
			d.fail(m[0].key, "unknown builder %q%s (there is only shell)",
				brief(m[0].key.text()), suggest(m[0].key.text(), []string{"shell"}))
		default:
			steps = append(steps, d.text("shell", m[0].value))
		}
	}
	return steps
}

// env returns an environment. Values that YAML takes for something else than
// text or a number must be quoted, because what the shell sees would surprise.
func (d *decoder) env(v *value) map[string]string {
	m := d.entries("env", v)
	if len(m) == 0 {
		return nil
	}
	env := make(map[string]string, len(m))
	for _, e := range m {
		key, ok := e.key.data.(string)
		if !ok || !envName.MatchString(key) {
			d.fail(e.key, "the name %q in env must be text of letters, digits and underscores; it is %s",
				brief(e.key.text()), kindOf(e.key))
			continue
		}
		env[key] = d.text("the value of "+brief(key)+" in env", e.value)
	}
	return env
}

// timeout returns the seconds of a number of minutes or a duration as in Go.
func (d *decoder) timeout(v *value) int {
	if v == nil || v.data == nil {
		return 0
	}
	text := d.text("timeout", v)
	if _, isFloat := v.data.(float64); isFloat || text != "" && strings.Trim(text, "0123456789") == "" {
		text += "m"
	}
	t, err := time.ParseDuration(text)
	if err != nil || t < time.Second || t > maxTimeout {
		d.fail(v, "timeout must be a number of minutes or a duration as 90s or 1h30m, from 1s to 168h, but is %q", brief(v.text()))
		return 0
	}
	return int(t.Round(time.Second) / time.Second)
}

// artifacts returns patterns of files.
func (d *decoder) artifacts(v *value) []string {
	all := d.texts("artifacts", v)
	for i, pattern := range all {
		item := v.data.([]*value)[i]
		if pattern != "" && !filepath.IsLocal(pattern) {
			d.fail(item, "the artifact %q must be a path inside the sources, without / at its beginning and without ..", brief(pattern))
		}
		for segment := range strings.SplitSeq(pattern, "/") {
			if _, err := path.Match(segment, ""); err != nil {
				d.fail(item, "the artifact %q is no pattern: a [ needs its ], and \\ a character after it", brief(pattern))
				break
			}
		}
	}
	return all
}

// pack returns how to make an image.
func (d *decoder) pack(v *value) *api.PackSpec {
	if v == nil || v.data == nil {
		return nil
	}
	fields := map[string]*value{}
	for _, e := range d.entries("pack", v) {
		key := e.key.text()
		if !slices.Contains(packFields, key) {
			d.fail(e.key, "unknown field %q in pack%s (pack has %s)",
				brief(key), suggest(key, packFields), strings.Join(packFields, ", "))
			continue
		}
		fields[key] = e.value
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
func (d *decoder) files(v *value) map[string]string {
	files := map[string]string{}
	for _, e := range d.entries("files", v) {
		from, to := d.text("a path in files", e.key), d.text("a path in files", e.value)
		if !d.failed && (!filepath.IsLocal(from) || to == "") {
			d.fail(e.key, "files must map a path inside the sources, without / at its beginning and without .., "+
				"to a path in the image, but there is %q: %q", brief(from), brief(to))
		}
		files[from] = to
	}
	return files
}
