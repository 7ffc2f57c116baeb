package definition

import (
	"cmp"
	"maps"
	"slices"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/catalog"
	"landfall.dev/capability/job/definition/yaml11"
)

// Translate is Expand, but for jobs that are written for Jenkins, which it
// hands to translate. What they say in Landfall's own keys is added, and what
// translate finds wrong.
func (s *Set) Translate(translate func(Job) (api.JobSpec, []*Error)) ([]api.JobSpec, error) {
	x := s.expansion()
	x.run(jobs, nil)
	var specs []api.JobSpec
	for _, i := range x.items {
		components := x.components(i)
		x.errs = append(x.errs, i.errs...)
		d := decoder{report: func(err *Error) { x.report(i.frame, err) }}
		var spec api.JobSpec
		if translate == nil || isOwn(i, components) {
			spec = d.job(i, components)
		} else {
			spec = d.translated(i, components, translate)
		}
		if !d.failed && len(i.errs) == 0 {
			specs = append(specs, spec)
		}
	}
	if err := join(x.errs); err != nil {
		return nil, err
	}
	return specs, nil
}

// translated returns the job i, which is written for Jenkins, as a spec.
func (d *decoder) translated(i *item, components map[string][]Component, translate func(Job) (api.JobSpec, []*Error)) api.JobSpec {
	spec, mistakes := translate(Job{Name: i.name, Keys: i.keys, Components: components, Origin: i.origin, At: i.at})
	for _, m := range mistakes {
		d.failed = true
		d.report(m)
	}
	own := *i
	own.keys = ownKeys(i.keys)
	timed := slices.DeleteFunc(slices.Clone(components["triggers"]), isNotTimed)
	base := d.job(&own, map[string][]Component{"triggers": timed})
	spec.Image = cmp.Or(base.Image, spec.Image)
	spec.Script, spec.Pack, spec.Schedule = base.Script, base.Pack, base.Schedule
	spec.MovedFrom, spec.Once = base.MovedFrom, base.Once
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
		if key == "name" || slices.Contains(fieldNames, key) && !slices.Contains(catalog.JobKeys, key) {
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
func isOwn(i *item, components map[string][]Component) bool {
	for _, e := range i.keys {
		key, _ := e.Key.Data.(string)
		if (slices.Contains(catalog.JobKeys, key) || listKinds[key] != "") && !slices.Contains(fieldNames, key) && key != "project-type" && key != "folder" {
			return false
		}
	}
	return !slices.ContainsFunc(components["triggers"], isNotTimed) && !slices.ContainsFunc(components["builders"], func(c Component) bool {
		return c.Type != "shell" || c.Args == nil || len(c.Args.Map()) > 1
	})
}

func isNotTimed(c Component) bool { return c.Type != "timed" }
