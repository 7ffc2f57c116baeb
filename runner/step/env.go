package step

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// These variables tell a build where its steps are, and where it notes what
// has to outlive them.
const (
	ScriptVariable = "LANDFALL_SCRIPT"
	StateVariable  = "LANDFALL_STATE"
)

// Place is where builds are run.
type Place struct {
	Runner    string            // its name
	Hub       string            // its address
	Variables map[string]string // of all builds
}

// Env is the environment of the build b: the parameters' defaults, what Jenkins
// and Gerrit would set, the runner's, the job's, the build's parameters and
// Landfall's; the later wins. The defaults are the weakest because jobs have
// parameters with the names of Gerrit's variables, for builds without it.
func (p Place) Env(b api.Build) map[string]string {
	env := map[string]string{}
	for _, param := range b.Spec.Parameters {
		env[param.Name] = param.Default
		if param.Default == "" && len(param.Choices) > 0 {
			env[param.Name] = param.Choices[0]
		}
		if param.Random && param.Default == "" {
			env[param.Name] = kit.DigestOf([]byte(string(b.Link) + " " + param.Name)).Hex()[:16]
		}
	}
	maps.Copy(env, p.jenkinsEnv(b))
	maps.Copy(env, p.Variables)
	maps.Copy(env, b.Spec.Env)
	maps.Copy(env, b.Params)
	env["LANDFALL_PROJECT"] = b.Project
	env["LANDFALL_COMMIT"] = b.Commit
	env["LANDFALL_BUILD"] = b.Link.ID()
	if b.Upstream != "" {
		env["LANDFALL_UPSTREAM"] = b.Upstream.ID()
	}
	if b.Change != "" {
		env["LANDFALL_CHANGE"] = b.Change.ID()
	}
	delete(env, ScriptVariable) // they are the mounts'
	delete(env, StateVariable)
	return env
}

// jenkinsEnv are the variables that scripts written for Jenkins and its Gerrit
// trigger read, as far as they are known here. WORKSPACE is set where the
// build runs. BUILD_NUMBER is the second in which the build was made, because
// scripts expect a number that grows.
func (p Place) jenkinsEnv(b api.Build) map[string]string {
	id := b.Link.ID()
	env := map[string]string{
		"CI":              "true",
		"BUILD_ID":        id,
		"BUILD_NUMBER":    strconv.FormatInt(b.Created.Unix(), 10),
		"BUILD_TAG":       "landfall-" + strings.ReplaceAll(b.Job, "/", "-") + "-" + id,
		"BUILD_URL":       strings.TrimSuffix(p.Hub, "/") + "/builds/" + url.PathEscape(id),
		"JOB_NAME":        b.Job,
		"JOB_BASE_NAME":   b.Job[strings.LastIndexByte(b.Job, '/')+1:],
		"NODE_NAME":       p.Runner,
		"EXECUTOR_NUMBER": "0",
		"GIT_COMMIT":      b.Commit,
	}
	if b.Change == "" {
		return env
	}
	number := b.Change.ID()
	env["GERRIT_PROJECT"] = b.Project
	env["GERRIT_CHANGE_NUMBER"] = number
	env["GERRIT_PATCHSET_REVISION"] = b.Commit
	if b.PatchSet > 0 {
		set := strconv.Itoa(b.PatchSet)
		env["GERRIT_EVENT_TYPE"] = "patchset-created"
		env["GERRIT_PATCHSET_NUMBER"] = set
		env["GERRIT_REFSPEC"] = "refs/changes/" + ("0" + number)[max(0, len(number)-1):] + "/" + number + "/" + set
	}
	return env
}

// CheckParameters refuses a value that is not among a parameter's choices.
func CheckParameters(b api.Build) error {
	for _, p := range b.Spec.Parameters {
		value, given := b.Params[p.Name]
		if given && len(p.Choices) > 0 && !slices.Contains(p.Choices, value) {
			return fmt.Errorf("the parameter %s is %q: choose one of %s", p.Name, value, strings.Join(p.Choices, ", "))
		}
	}
	return nil
}

// variable is what stands for a variable in a text.
var variable = regexp.MustCompile(`\$(?:\{(\w+)-?\}|(\w+)|\$)`)

// Expand replaces the variables in text; those that are not set are empty.
func Expand(text string, env map[string]string) string {
	return variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		return env[strings.Trim(found, "${}-")]
	})
}
