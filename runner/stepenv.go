package runner

import (
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// env is the environment of the build: the parameters' defaults, what Jenkins
// and Gerrit would set, the runner's, the job's, the build's parameters and
// Landfall's; the later wins. The defaults are the weakest because jobs have
// parameters with the names of Gerrit's variables, for builds without it.
func (a *attempt) env() map[string]string {
	env := map[string]string{}
	for _, p := range a.build.Spec.Parameters {
		env[p.Name] = p.Default
		if p.Default == "" && len(p.Choices) > 0 {
			env[p.Name] = p.Choices[0]
		}
	}
	maps.Copy(env, a.jenkinsEnv())
	maps.Copy(env, a.runner.Env)
	maps.Copy(env, a.build.Spec.Env)
	maps.Copy(env, a.build.Params)
	env["LANDFALL_PROJECT"] = a.build.Project
	env["LANDFALL_COMMIT"] = a.build.Commit
	env["LANDFALL_BUILD"] = a.build.Link.ID()
	if a.build.Change != "" {
		env["LANDFALL_CHANGE"] = a.build.Change.ID()
	}
	delete(env, scriptVariable) // they are the mounts'
	delete(env, stateVariable)
	return env
}

// jenkinsEnv are the variables that scripts written for Jenkins and its Gerrit
// trigger read, as far as they are known here. WORKSPACE is set where the
// build runs. BUILD_NUMBER is the second in which the build was made, because
// scripts expect a number that grows.
func (a *attempt) jenkinsEnv() map[string]string {
	b := a.build
	id := b.Link.ID()
	env := map[string]string{
		"CI":              "true",
		"BUILD_ID":        id,
		"BUILD_NUMBER":    strconv.FormatInt(b.Created.Unix(), 10),
		"BUILD_TAG":       "landfall-" + strings.ReplaceAll(b.Job, "/", "-") + "-" + id,
		"BUILD_URL":       strings.TrimSuffix(a.runner.Base, "/") + "/builds/" + url.PathEscape(id),
		"JOB_NAME":        b.Job,
		"JOB_BASE_NAME":   b.Job[strings.LastIndexByte(b.Job, '/')+1:],
		"NODE_NAME":       a.runner.Name,
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

// checkParameters refuses a value that is not among a parameter's choices.
func (a *attempt) checkParameters() error {
	for _, p := range a.build.Spec.Parameters {
		value, given := a.build.Params[p.Name]
		if given && len(p.Choices) > 0 && !slices.Contains(p.Choices, value) {
			return failed("the parameter %s is %q: choose one of %s", p.Name, value, strings.Join(p.Choices, ", "))
		}
	}
	return nil
}

// secrets are the values that must not be in the log.
func (a *attempt) secrets() []string {
	env := a.env()
	var values []string
	for _, p := range a.build.Spec.Parameters {
		if p.Secret {
			values = append(values, env[p.Name])
		}
	}
	return values
}
