// Package jobspec turns the jobs of definitions into api.JobSpec: what they say
// in Landfall's own keys, and what a translation of Jenkins' says.
//
// It is a pure function, too. What becomes of Jenkins' components is not here but
// in package native.
package jobspec

import (
	"cmp"
	"maps"
	"slices"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/catalog"
	"landfall.dev/capability/job/definition/yaml11"
)

// Translate returns the jobs that a set of definitions makes. Those that are
// written for Jenkins it hands to translate, and adds what they say in
// Landfall's own keys; without translate there may be none. The error joins a
// *definition.Error for whatever is wrong, also what translate finds, and for
// all in a job that Landfall does not run.
func Translate(set *definition.Set, translate func(definition.Job) (api.JobSpec, []*definition.Error)) ([]api.JobSpec, error) {
	var specs []api.JobSpec
	err := set.Each(func(j definition.Job, report func(*definition.Error)) {
		d := decoder{report: report}
		var spec api.JobSpec
		if translate == nil || isOwn(j) {
			spec = d.job(j)
		} else {
			spec = d.translated(j, translate)
		}
		if !d.failed && len(j.Errs) == 0 {
			specs = append(specs, spec)
		}
	})
	if err != nil {
		return nil, err
	}
	return specs, nil
}

// translated returns j, which is written for Jenkins, as a spec.
func (d *decoder) translated(j definition.Job, translate func(definition.Job) (api.JobSpec, []*definition.Error)) api.JobSpec {
	spec, mistakes := translate(j)
	for _, m := range mistakes {
		d.failed = true
		d.report(m)
	}
	own := j
	own.Keys = ownKeys(j.Keys)
	timed := slices.DeleteFunc(slices.Clone(j.Components["triggers"]), isNotTimed)
	own.Components = map[string][]definition.Component{"triggers": timed}
	base := d.job(own)
	spec.Image = cmp.Or(base.Image, spec.Image)
	spec.Labels, spec.Services, spec.Cache, spec.Resources = base.Labels, base.Services, base.Cache, base.Resources
	spec.CacheMB = base.CacheMB
	spec.Script, spec.Pack, spec.Schedule = base.Script, base.Pack, base.Schedule
	spec.MovedFrom, spec.Once, spec.Pipeline = base.MovedFrom, base.Once, base.Pipeline
	spec.Secrets = append(spec.Secrets, base.Secrets...)
	spec.Env = merge(spec.Env, base.Env)
	spec.TimeoutSeconds = cmp.Or(base.TimeoutSeconds, spec.TimeoutSeconds)
	spec.Artifacts = append(spec.Artifacts, base.Artifacts...)
	if base.Reports != nil {
		spec.Reports = base.Reports
	}
	return spec
}

// ownKeys are those of keys that only Landfall knows, and the name.
func ownKeys(keys yaml11.Map) yaml11.Map {
	var own yaml11.Map
	for _, e := range keys {
		key, _ := e.Key.Data.(string)
		if key == "name" || slices.Contains(catalog.OwnKeys, key) && !slices.Contains(catalog.JobKeys, key) {
			own = append(own, e)
		}
	}
	return own
}

func merge(under, over map[string]string) map[string]string {
	if len(under) == 0 {
		return over
	}
	maps.Copy(under, over)
	return under
}

// isOwn tells whether a job has nothing but Landfall's own keys.
func isOwn(j definition.Job) bool {
	for _, e := range j.Keys {
		key, _ := e.Key.Data.(string)
		if (slices.Contains(catalog.JobKeys, key) || catalog.IsList(key)) && !slices.Contains(catalog.OwnKeys, key) && key != "project-type" && key != "folder" {
			return false
		}
	}
	return !slices.ContainsFunc(j.Components["triggers"], isNotTimed) && !slices.ContainsFunc(j.Components["builders"], func(c definition.Component) bool {
		return c.Type != "shell" || c.Args == nil || len(c.Args.Map()) > 1
	})
}

func isNotTimed(c definition.Component) bool { return c.Type != "timed" }
