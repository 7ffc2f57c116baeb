package native

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

func archive(t *translation, a args) {
	t.spec.Artifacts = append(t.spec.Artifacts, antPatterns(a.get("artifacts"))...)
	t.spec.ArtifactsExcept = append(t.spec.ArtifactsExcept, antPatterns(a.get("excludes"))...)
	t.spec.ArtifactsAlways = t.spec.ArtifactsAlways || !a.flag("only-if-success", false)
	t.spec.ArtifactsNeeded = t.spec.ArtifactsNeeded || !a.flag("allow-empty", false)
}

func (t *translation) reports() *api.ReportPatterns {
	if t.spec.Reports == nil {
		t.spec.Reports = &api.ReportPatterns{}
	}
	return t.spec.Reports
}

func junit(t *translation, a args) {
	r := t.reports()
	r.JUnit = append(r.JUnit, antPatterns(a.get("results"))...)
}

func cobertura(t *translation, a args) {
	pattern := a.get("report-file")
	if pattern == nil {
		pattern = yaml11.New(a.c.At, "**/coverage.xml")
	}
	r := t.reports()
	r.Coverage = append(r.Coverage, antPatterns(pattern)...)
}

func tap(t *translation, a args) {
	r := t.reports()
	r.JUnit = append(r.JUnit, antPatterns(a.get("results"))...)
}

// robot keeps what Robot Framework has written, and reads its results.
func robot(t *translation, a args) {
	dir := a.text("output-path")
	in := func(name string) string { return path.Join(dir, name) }
	r := t.reports()
	r.JUnit = append(r.JUnit, in(or(a.text("output-xml"), "output.xml")))
	t.keep(in(or(a.text("report-html"), "report.html")), in(or(a.text("log-html"), "log.html")))
	for _, name := range list(a.get("other-files")) {
		t.keep(in(name))
	}
}

// keep keeps files, whatever the result.
func (t *translation) keep(patterns ...string) {
	t.spec.Artifacts = append(t.spec.Artifacts, patterns...)
	t.spec.ArtifactsAlways = true
}

func jacoco(t *translation, a args) {
	t.keep(antPatterns(yaml11.New(a.c.At, or(a.text("exec-pattern"), "**/*.exec")))...)
	t.miss(a.c, Without, "its binary reports are kept, but not read: let it write XML and name that in reports, as coverage")
}

// pages keeps what Jenkins would show as pages.
func pages(t *translation, a args) {
	dir := path.Clean(or(a.text("dir"), "."))
	if dir == "." || !filepath.IsLocal(dir) {
		t.miss(a.c, Without, "dir %q: it must be a folder in the workspace", yaml11.Brief(dir))
		return
	}
	t.keep(dir + "/**")
	t.miss(a.c, Without, "they are kept as files, and not shown as pages")
}

// findings are what an analyser has found in the sources.
func findings(t *translation, a args, pattern string) {
	r := t.reports()
	r.SARIF = append(r.SARIF, antPatterns(yaml11.New(a.c.At, or(a.text("pattern"), pattern)))...)
}

func describeAfter(t *translation, a args) {
	describe(t, a)
}

// results of a list build-on, SUCCESS if there is none.
func (t *translation) results(c definition.Component, v *yaml11.Value) []api.Result {
	var on []api.Result
	for _, name := range list(v) {
		switch r := api.Result(strings.ToUpper(name)); r {
		case api.ResultSuccess, api.ResultUnstable, api.ResultFailure, api.ResultAborted:
			on = append(on, r)
		case "NOT_BUILT": // never is a result here
		default:
			t.miss(c, Without, "the result %q in build-on is not known%s", yaml11.Brief(name),
				yaml11.Suggest(name, []string{"SUCCESS", "UNSTABLE", "FAILURE", "ABORTED", "NOT_BUILT"}))
		}
	}
	if v == nil {
		on = []api.Result{api.ResultSuccess}
	}
	return on
}

// postbuild makes steps for after the build.
func postbuild(t *translation, a args) {
	unstable := a.flag("mark-unstable-if-failed", false)
	add := func(on []api.Result, steps []api.Step) {
		if len(steps) > 0 && len(on) > 0 {
			t.spec.After = append(t.spec.After, api.After{On: on, Steps: steps, Unstable: unstable})
		}
	}
	older := t.olderResults(a)
	for _, s := range a.get("generic-script").List() {
		on, path := older, text(s)
		if m := s.Map(); m != nil {
			on, path = t.results(a.c, m.Lookup("build-on")), text(m.Lookup("file-path"))
		}
		add(on, script(inShell(path)))
	}
	for _, name := range []string{"groovy", "groovy-script"} {
		if set(a.get(name)) {
			t.miss(a.c, Without, "%s is in Groovy, which nothing here runs", name)
		}
	}
	groups := a.get("builders").List()
	if len(groups) == 0 {
		return
	}
	if groups[0].Map().Lookup("build-steps") == nil { // steps, as in older versions
		var steps []api.Step
		for _, child := range a.c.Children {
			steps = append(steps, t.builder(child)...)
		}
		add(older, steps)
		return
	}
	rest := a.c.Children
	for i, g := range groups {
		var mine []definition.Component
		items := g.Map().Lookup("build-steps").List()
		mine, rest = t.childrenOf(a.c, items, rest, i == len(groups)-1)
		var steps []api.Step
		for _, child := range mine {
			steps = append(steps, t.builder(child)...)
		}
		add(t.results(a.c, g.Map().Lookup("build-on")), steps)
	}
}

// olderResults are the results that the arguments of older versions name.
func (t *translation) olderResults(a args) []api.Result {
	switch {
	case a.flag("script-only-if-succeeded", false) || a.flag("onsuccess", false) && !a.flag("onfailure", false):
		return []api.Result{api.ResultSuccess}
	case a.flag("script-only-if-failed", false) || a.flag("onfailure", false) && !a.flag("onsuccess", false):
		return []api.Result{api.ResultFailure, api.ResultAborted}
	}
	return []api.Result{api.ResultSuccess, api.ResultUnstable, api.ResultFailure, api.ResultAborted}
}

// childrenOf returns those of children, in order, that the items of a list
// have become, and the rest. An item is a component, or the call of a macro,
// which may have become several: these all came by the call.
func (t *translation) childrenOf(c definition.Component, items []*yaml11.Value, children []definition.Component, last bool) (mine, rest []definition.Component) {
	if last {
		return children, nil
	}
	depth := len(via(c))
	n := 0
	for range items {
		if n >= len(children) {
			t.miss(c, Without, "which steps belong to which build-on cannot be told, because a macro is empty: use one list")
			break
		}
		calls := via(children[n])
		for n++; len(calls) > depth && n < len(children); n++ {
			if next := via(children[n]); len(next) <= depth || next[depth] != calls[depth] {
				break
			}
		}
	}
	return children[:n], children[n:]
}

// via are the calls of macros that brought c.
func via(c definition.Component) []string { return c.Via }

// postTasks makes steps for after the build that depend on the log.
func postTasks(t *translation, a args) {
	for _, task := range calls(a.value) {
		after := api.After{Steps: script(text(task.Lookup("script"))), Ignore: !set(task.Lookup("escalate-status"))}
		if set(task.Lookup("run-if-job-successful")) {
			after.On = []api.Result{api.ResultSuccess}
		}
		matches := task.Lookup("matches").List()
		after.LogAll = true
		for i, m := range matches {
			pattern := text(m.Map().Lookup("log-text"))
			if !t.pattern(a.c, "log-text", pattern) {
				pattern = regexp.QuoteMeta(pattern)
			}
			after.Log = append(after.Log, pattern)
			if i < len(matches)-1 && strings.EqualFold(text(m.Map().Lookup("operator")), "OR") {
				after.LogAll = false
			}
		}
		t.spec.After = append(t.spec.After, after)
	}
}
