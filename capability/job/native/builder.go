package native

import (
	"fmt"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// builder returns the steps that a builder becomes.
func (t *translation) builder(c definition.Component) []api.Step {
	known, ok := t.known(c)
	if !ok {
		return nil
	}
	do, ok := builders[c.Type]
	if !ok {
		return nil
	}
	return do(t, t.read(c, known))
}

// builders make steps of the builders that types says to run.
var builders map[string]func(*translation, args) []api.Step

func init() { // they call each other through it
	builders = map[string]func(*translation, args) []api.Step{
		"shell":                shell,
		"python":               python,
		"inject":               inject,
		"conditional-step":     conditional,
		"description-setter":   describe,
		"copyartifact":         copyArtifact,
		"maven-target":         maven,
		"gradle":               gradle,
		"ant":                  ant,
		"trigger-builds":       triggerBuilds,
		"multijob":             phase,
		"config-file-provider": managedFiles,
	}
}

func script(text string) []api.Step {
	return []api.Step{{Shell: &api.ShellStep{Script: text}}}
}

func shell(t *translation, a args) []api.Step {
	if a.m == nil {
		return script(text(a.value))
	}
	return []api.Step{{Shell: &api.ShellStep{Script: a.text("command"), UnstableExit: a.number("unstable-return")}}}
}

func python(_ *translation, a args) []api.Step {
	return script("#!/usr/bin/env python3\n" + text(a.value))
}

func inject(t *translation, a args) []api.Step {
	if a.text("script-file") != "" {
		t.miss(a.c, Without, "the argument script-file is not carried out")
	}
	content := a.text("properties-content")
	file := a.text("properties-file")
	var steps []api.Step
	if content != "" || file != "" {
		steps = append(steps, api.Step{Inject: &api.InjectStep{File: t.expand(a.c, file), Content: t.expand(a.c, content)}})
	}
	if s := a.text("script-content"); s != "" {
		steps = append(steps, script(s)...)
	}
	return steps
}

func conditional(t *translation, a args) []api.Step {
	step := &api.IfStep{Condition: t.condition(a.c, a.m, 0), OnError: api.OnErrorFail}
	switch policy := api.OnError(a.text("on-evaluation-failure")); policy {
	case "", api.OnErrorFail:
	case api.OnErrorUnstable, api.OnErrorRunUnstable, api.OnErrorRun, api.OnErrorSkip:
		step.OnError = policy
	default:
		t.miss(a.c, Cannot, "on-evaluation-failure is %q: it is fail, mark-unstable, run-and-mark-unstable, run or dont-run", policy)
	}
	for _, child := range a.c.Children {
		step.Steps = append(step.Steps, t.builder(child)...)
	}
	return []api.Step{{If: step}}
}

// conditionArgs are the arguments of conditional-step that say what condition
// it has, with those of all kinds.
const conditionArgs = "condition-kind condition-expression condition-string1 condition-string2 condition-case-insensitive " +
	"condition-worst condition-best condition-command condition-filename condition-basedir condition-operand condition-operands " +
	"regex label"

// otherConditions are arguments of kinds of conditions that are not known here.
const otherConditions = "cause exclusive-cause day-selector days use-build-time nodes lhs rhs comparator earliest-hour earliest-min " +
	"latest-hour latest-min include-pattern exclude-pattern"

// condition returns the condition that the arguments m of c name.
func (t *translation) condition(c definition.Component, m yaml11.Map, depth int) api.StepCondition {
	get := func(name string) string { return t.expand(c, text(m.Lookup(name))) }
	switch kind := text(m.Lookup("condition-kind")); kind {
	case "always":
		return api.StepCondition{Type: api.ConditionAlways}
	case "never":
		return api.StepCondition{Type: api.ConditionNever}
	case "boolean-expression":
		return api.StepCondition{Type: api.ConditionBoolean, A: get("condition-expression")}
	case "strings-match":
		return api.StepCondition{Type: api.ConditionEqual, A: get("condition-string1"), B: get("condition-string2"), FoldCase: set(m.Lookup("condition-case-insensitive"))}
	case "regex-match":
		return t.match(c, text(m.Lookup("regex")), get("label"))
	case "file-exists":
		if base := text(m.Lookup("condition-basedir")); base != "" && base != "workspace" {
			t.miss(c, Cannot, "condition-basedir is %q: there is only the workspace", base)
		}
		return api.StepCondition{Type: api.ConditionFile, A: get("condition-filename")}
	case "shell":
		return api.StepCondition{Type: api.ConditionShell, A: text(m.Lookup("condition-command"))}
	case "current-status":
		return api.StepCondition{Type: api.ConditionStatus, A: or(get("condition-worst"), "SUCCESS"), B: or(get("condition-best"), "SUCCESS")}
	case "not":
		return api.StepCondition{Type: api.ConditionNot, Of: t.operands(c, m.Lookup("condition-operand"), depth)}
	case "and":
		return api.StepCondition{Type: api.ConditionAnd, Of: t.operands(c, m.Lookup("condition-operands"), depth)}
	case "or":
		return api.StepCondition{Type: api.ConditionOr, Of: t.operands(c, m.Lookup("condition-operands"), depth)}
	default:
		t.miss(c, Cannot, "nothing here evaluates a condition of the kind %q%s", yaml11.Brief(kind), yaml11.Suggest(kind, conditionKinds))
	}
	return api.StepCondition{Type: api.ConditionNever}
}

var conditionKinds = []string{
	"always", "never", "boolean-expression", "strings-match", "regex-match", "file-exists", "shell", "current-status", "not", "and", "or",
}

// operands returns the conditions that are part of another.
func (t *translation) operands(c definition.Component, v *yaml11.Value, depth int) []api.StepCondition {
	const limit = 50
	items := v.List()
	if items == nil && v.Map() != nil {
		items = []*yaml11.Value{v}
	}
	if len(items) == 0 || depth > limit {
		t.miss(c, Cannot, "a condition has no operands, or they are nested too deeply")
		return []api.StepCondition{{Type: api.ConditionNever}}
	}
	var of []api.StepCondition
	for _, item := range items {
		of = append(of, t.condition(c, item.Map(), depth+1))
	}
	return of
}

func (t *translation) match(c definition.Component, expression, label string) api.StepCondition {
	ere, fold, err := posix(expression)
	if err != nil {
		t.miss(c, Cannot, "%v", err)
		return api.StepCondition{Type: api.ConditionNever}
	}
	return api.StepCondition{Type: api.ConditionMatch, A: label, B: ere, FoldCase: fold}
}

func describe(t *translation, a args) []api.Step {
	d := &api.Describe{Pattern: a.text("regexp"), Text: t.expand(a.c, a.text("description"))}
	if !t.pattern(a.c, "regexp", d.Pattern) {
		return nil
	}
	if t.spec.Describe != nil && *t.spec.Describe != *d {
		t.miss(a.c, Without, "a build gets one description, that of the last description-setter")
	}
	t.spec.Describe = d
	return nil
}

func copyArtifact(t *translation, a args) []api.Step {
	step := &api.CopyStep{
		Job: t.expand(a.c, a.text("project")), Files: antPatterns(a.get("filter")), Exclude: antPatterns(a.get("exclude")),
		Target: t.expand(a.c, a.text("target")), Flat: a.flag("flatten", false), Optional: a.flag("optional", false),
	}
	switch which := or(a.text("which-build"), "last-successful"); which {
	case "last-successful":
	case "last-completed", "last-saved":
		step.Build = "*"
	case "specific-build":
		step.Build = t.expand(a.c, a.text("build-number"))
	case "upstream-build":
		step.Build = "${LANDFALL_UPSTREAM}" // without one, the last that has passed
	case "build-param":
		step.Build = "${" + a.text("param") + "}"
	default:
		severity := Cannot
		if step.Optional {
			severity = Without
		}
		t.miss(a.c, severity, "which-build %q is not known here: it is last-successful, last-completed, upstream-build, specific-build or build-param", which)
		return nil
	}
	return []api.Step{{Copy: step}}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// antPatterns translates patterns as Ant has them, with commas between them,
// to those of JobSpec.Artifacts: only a slash at the end differs.
func antPatterns(v *yaml11.Value) []string {
	var all []string
	for _, p := range list(v) {
		if p = strings.TrimSpace(p); strings.HasSuffix(p, "/") {
			p += "**"
		}
		if p != "" {
			all = append(all, strings.TrimPrefix(p, "./"))
		}
	}
	return all
}

// inShell is text as one word of a script, in which variables are replaced.
func inShell(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$(", `\$(`).Replace(text) + `"`
}

// oneLine is a text of arguments, on one line, for a script. Jenkins gives them
// to no shell: what is special to one is quoted, unless the text has quotes or
// the word has variables, which may stand for several arguments.
func oneLine(text string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_./:=,@%+-"
	words := strings.Fields(text)
	if strings.ContainsAny(text, `"'`) {
		return strings.Join(words, " ")
	}
	for i, w := range words {
		if strings.Trim(w, plain) != "" && !strings.Contains(w, "$") {
			words[i] = "'" + w + "'"
		}
	}
	return strings.Join(words, " ")
}

func maven(t *translation, a args) []api.Step {
	var steps []api.Step
	var b strings.Builder
	if options := a.get("java-opts"); options != nil {
		fmt.Fprintf(&b, "export MAVEN_OPTS=%s\n", inShell(strings.Join(words(options), " ")))
	}
	b.WriteString("mvn")
	if pom := a.text("pom"); pom != "" {
		b.WriteString(" -f " + inShell(pom))
	}
	for _, name := range []string{"settings", "global-settings"} {
		flag := map[string]string{"settings": "-s", "global-settings": "-gs"}[name]
		switch {
		case a.text(name) == "":
		case a.text(name+"-type") == "cfp":
			variable := "LANDFALL_MAVEN_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
			steps = append(steps, t.file(a.c, a.text(name), variable, "")...)
			b.WriteString(" " + flag + ` "$` + variable + `"`)
		default:
			b.WriteString(" " + flag + " " + inShell(a.text(name)))
		}
	}
	for _, p := range words(a.get("properties")) {
		b.WriteString(" -D" + inShell(p))
	}
	if a.flag("private-repository", false) {
		b.WriteString(` -Dmaven.repo.local="$WORKSPACE/.repository"`)
	}
	fmt.Fprintf(&b, " %s", oneLine(a.text("goals")))
	return append(steps, script(b.String())...)
}

// words are the items of a list, or the lines of a text.
func words(v *yaml11.Value) []string {
	if v.List() != nil {
		return list(v)
	}
	var all []string
	for line := range strings.Lines(text(v)) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

func gradle(t *translation, a args) []api.Step {
	var b strings.Builder
	if dir := a.text("root-build-script-dir"); dir != "" {
		fmt.Fprintf(&b, "cd %s\n", inShell(dir))
	}
	command := "gradle"
	if a.flag("wrapper", false) {
		command = "./gradlew"
		if a.flag("executable", false) {
			b.WriteString("chmod +x gradlew\n")
		}
	}
	b.WriteString(command)
	if file := a.text("build-file"); file != "" {
		b.WriteString(" -b " + inShell(file))
	}
	if switches := a.get("switches"); switches != nil {
		b.WriteString(" " + oneLine(strings.Join(words(switches), " ")))
	}
	fmt.Fprintf(&b, " %s", oneLine(a.text("tasks")))
	return script(b.String())
}

func ant(t *translation, a args) []api.Step {
	if a.m == nil {
		return script("ant " + oneLine(text(a.value)))
	}
	var b strings.Builder
	if options := a.get("java-opts"); options != nil {
		fmt.Fprintf(&b, "export ANT_OPTS=%s\n", inShell(strings.Join(words(options), " ")))
	}
	b.WriteString("ant")
	if file := a.text("buildfile"); file != "" {
		b.WriteString(" -f " + inShell(file))
	}
	for _, e := range a.get("properties").Map() {
		b.WriteString(" -D" + inShell(text(e.Key)+"="+text(e.Value)))
	}
	fmt.Fprintf(&b, " %s", oneLine(a.text("targets")))
	return script(b.String())
}
