package native

import (
	"encoding/json"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

// What is around the steps: parameters, triggers, wrappers and properties.

func parameter(t *translation, a args) {
	p := api.Parameter{Name: a.text("name"), Description: a.text("description"), Default: a.text("default")}
	switch a.c.Type {
	case "bool":
		p.Default = strings.ToLower(or(p.Default, "false"))
	case "choice", "extended-choice":
		p.Choices = words(a.get("choices"))
		if a.c.Type == "extended-choice" {
			p.Choices, p.Default = nil, or(a.text("default-value"), p.Default)
		}
	case "random-string":
		p.Random = true
	case "password", "hidden-password", "non-stored-password":
		p.Secret = true
	}
	if p.Name == "" {
		t.miss(a.c, Cannot, "it has no name")
		return
	}
	if i := slices.IndexFunc(t.spec.Parameters, func(o api.Parameter) bool { return o.Name == p.Name }); i >= 0 {
		t.spec.Parameters[i] = p
		return
	}
	t.spec.Parameters = append(t.spec.Parameters, p)
}

// timed makes a schedule. Its argument is the text of a crontab.
func timed(t *translation, a args) {
	if t.spec.Schedule == nil {
		t.spec.Schedule = &api.ScheduleSpec{}
	}
	t.spec.Schedule.Timed = append(t.spec.Schedule.Timed, text(a.value))
}

// trigger keeps what would start the job elsewhere.
func trigger(t *translation, a args) {
	tr := api.Trigger{Type: a.c.Type, Fields: map[string]string{}}
	if a.m == nil && a.value != nil {
		tr.Fields["value"] = text(a.value)
	}
	for _, e := range a.m {
		key := text(e.Key)
		if key == "trigger-on" {
			tr.On = events(e.Value)
			continue
		}
		if set(e.Value) {
			tr.Fields[key] = data(e.Value)
		}
	}
	if len(tr.Fields) == 0 {
		tr.Fields = nil
	}
	t.spec.Triggers = append(t.spec.Triggers, tr)
}

// data is v as text: in JSON if it has parts.
func data(v *yaml11.Value) string {
	if v.Map() == nil && v.List() == nil {
		return text(v)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return v.Text() // it has a number that JSON has not
	}
	return string(b)
}

// events are the names of what a gerrit trigger reacts on.
func events(v *yaml11.Value) []string {
	var all []string
	for _, item := range v.List() {
		name := text(item)
		for _, e := range item.Map() {
			name = text(e.Key)
			break
		}
		all = append(all, name)
	}
	return all
}

func timeout(t *translation, a args) {
	minutes := a.number("timeout")
	switch kind := or(a.text("type"), "absolute"); kind {
	case "absolute":
		t.spec.TimeoutSeconds = or0(minutes, 3) * 60
	case "no-activity":
		t.spec.QuietSeconds = or0(minutes, 3) * 60
		// As in Jenkins, there is no other limit then.
		t.spec.TimeoutSeconds = noLimit
	case "elastic", "likely-stuck":
		t.spec.TimeoutSeconds = or0(a.number("elastic-default-timeout"), or0(minutes, 30)) * 60
		t.miss(a.c, Without, "a limit that follows the time of earlier builds: it is always %d minutes", t.spec.TimeoutSeconds/60)
	default:
		t.miss(a.c, Without, "a limit of the type %q: it is 30 minutes", yaml11.Brief(kind))
	}
	t.spec.TimeoutFails = a.flag("fail", false)
	if name := a.text("timeout-var"); name != "" {
		t.env(name, strconv.Itoa(t.limit()*1000)) // milliseconds, as in Jenkins
	}
}

// limit is after how many seconds of work or silence a build is ended.
func (t *translation) limit() int { return or0(t.spec.QuietSeconds, t.spec.TimeoutSeconds) }

// machines makes machines for a build. That it alone uses the one that it runs
// on is so anyway.
func machines(t *translation, a args) {
	if set(a.get("instances")) {
		t.miss(a.c, Cannot, "no machines are made for a build")
	}
}

// noLimit is the longest time that a build may be given, in seconds.
const noLimit = 7 * 24 * 60 * 60

func or0(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

func (t *translation) env(name, value string) {
	if t.spec.Env == nil {
		t.spec.Env = map[string]string{}
	}
	t.spec.Env[name] = value
}

func buildName(t *translation, a args) {
	t.spec.BuildName = t.expand(a.c, or(a.text("name"), a.text("template")))
	if d := a.text("description"); d != "" {
		t.spec.Describe = &api.Describe{Text: t.expand(a.c, d)}
	}
}

// injectFirst sets variables before the first step.
func injectFirst(t *translation, a args) {
	if !a.flag("enabled", true) {
		return
	}
	t.first = append(t.first, inject(t, a)...)
}

// stepsFirst runs steps before the others.
func stepsFirst(t *translation, a args) {
	for _, child := range a.c.Children {
		t.first = append(t.first, t.builder(child)...)
	}
}

// filesFirst provides files before the first step.
func filesFirst(t *translation, a args) { t.first = append(t.first, managedFiles(t, a)...) }

// image makes the build run in the image that the wrapper names.
func image(t *translation, a args) {
	name := or(a.text("image"), a.text("docker-image"))
	if name == "" {
		t.miss(a.c, Cannot, "it names no image: Landfall does not build one for a build")
		return
	}
	t.spec.Image = name
}

// sources says what is not fetched as git would.
func sources(t *translation, a args) {
	dir := path.Clean(or(t.expand(a.c, a.text("basedir")), "."))
	switch {
	case dir == ".":
	case !filepath.IsLocal(dir) || strings.Contains(dir, "$"):
		t.miss(a.c, Cannot, "basedir %q: it must be a folder in the workspace, without variables", yaml11.Brief(dir))
	case len(t.job.Components["scm"]) > 1:
		t.miss(a.c, Cannot, "basedir %q among several: a build has the sources of one project", yaml11.Brief(dir))
	default:
		t.spec.SourceDir = dir
	}
	if n := len(a.get("remotes").List()); n > 1 {
		t.miss(a.c, Cannot, "%d remotes: a build has the sources of one project", n)
	}
	if sub := a.get("submodule").Map(); len(sub) > 0 && !set(sub.Lookup("disable")) {
		t.miss(a.c, Without, "submodules are not fetched")
	}
}
