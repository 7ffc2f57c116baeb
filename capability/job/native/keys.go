package native

import (
	"regexp"
	"strings"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// projectTypes are the kinds of jobs that cannot run, with the reason.
var projectTypes = map[string]string{
	"pipeline":             "it is a pipeline in Groovy: write a pipeline.star",
	"workflow":             "it is a pipeline in Groovy: write a pipeline.star",
	"multibranch":          "it is a pipeline in Groovy: write a pipeline.star",
	"workflow-multibranch": "it is a pipeline in Groovy: write a pipeline.star",
	"multibranch-defaults": "it is a pipeline in Groovy: write a pipeline.star",
	"githuborg":            "it makes jobs of the repositories of an organisation",
	"maven":                "a job of the type maven needs Jenkins' Maven plugin: write it as a freestyle job with maven-target",
	"flow":                 "it is a flow in Groovy: write a pipeline.star",
	"externaljob":          "it is run elsewhere",
	"folder":               "it is a folder and runs nothing",
}

// jobKeys are keys of a job that change what its builds do, with the reason
// why they are not carried out.
var jobKeys = []struct {
	name     string
	severity Severity
	reason   string
}{
	{"disabled", Without, "that it is disabled: whoever builds it here can"},
	{"workspace", Without, "a place of its own: each build has a fresh workspace"},
	{"child-workspace", Without, "a place of its own: each build has a fresh workspace"},
	{"block-upstream", Without, "waiting for the builds of other jobs"},
	{"block-downstream", Without, "waiting for the builds of other jobs"},
	{"auth-token", Without, "being started by an address that holds a secret"},
	{"dsl", Cannot, "it is a pipeline in Groovy: write a pipeline.star"},
	{"pipeline-scm", Cannot, "it is a pipeline in Groovy: write a pipeline.star"},
	{"raw", Without, "raw XML for Jenkins"},
}

// keys translates what a job says besides its components.
func (t *translation) keys() {
	kind := text(t.job.Keys.Lookup("project-type"))
	if reason, ok := projectTypes[kind]; ok {
		t.missKey("project-type: "+kind, Cannot, "%s", reason)
	} else if kind == "matrix" {
		t.matrix()
	} else if kind != "" && kind != "freestyle" && kind != "multijob" {
		t.missKey("project-type: "+kind, Cannot, "nothing here runs this type of job")
	}
	for _, k := range jobKeys {
		if set(t.job.Keys.Lookup(k.name)) {
			t.missKey(k.name, k.severity, "%s", k.reason)
		}
	}
	if v := t.job.Keys.Lookup("concurrent"); v != nil && v.Data != nil && !set(v) {
		t.alone()
	}
	if jdk := text(t.job.Keys.Lookup("jdk")); jdk != "" && !strings.HasPrefix(jdk, "(") {
		t.missKey("jdk", Without, "the Java named %q: the image has its own", yaml11.Brief(jdk))
	}
}

var (
	envToken   = regexp.MustCompile(`\$\{ENV,\s*var\s*=\s*"?(\w+)"?\s*\}`)
	otherToken = regexp.MustCompile(`\$\{([A-Z_]+)\s*,[^}]*\}`)
)

// expand turns what stands for variables in Jenkins' texts into what does so
// here, and reports the rest.
func (t *translation) expand(c definition.Component, s string) string {
	s = envToken.ReplaceAllString(s, "$${$1-}")
	for _, found := range otherToken.FindAllString(s, -1) {
		t.miss(c, Without, "nothing here knows what %s stands for", yaml11.Brief(found))
	}
	return s
}

// pattern tells whether an expression for lines of the log can be used, and
// reports it if not.
func (t *translation) pattern(c definition.Component, argument, expression string) bool {
	if _, err := regexp.Compile(expression); err != nil {
		t.miss(c, Without, "the argument %s is an expression that cannot be searched for: %v", argument, err)
		return false
	}
	return true
}
