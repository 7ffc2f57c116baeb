package plan

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.starlark.net/starlark"

	"landfall.dev/api"
)

// serviceName is fit to be a name in a network.
var serviceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// step is a build without a job of its own: the program says what it does.
func (p *program) step(t *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
	n := newNode(t, api.NodeBuild)
	s := &api.JobSpec{Origin: []string{n.Position}}
	var run starlark.Value
	var env, reports, services, cache *starlark.Dict
	var artifacts, labels *starlark.List
	err := n.unpack(b, args, kwargs, "name", &s.Name, "run", &run, "image?", &s.Image, "env?", &env, "services?", &services, "cache?", &cache,
		"artifacts?", &artifacts, "reports?", &reports, "labels?", &labels, "retries?", &n.Retries)
	if err != nil {
		return nil, err
	}
	n.ID, n.Job, n.Step = s.Name, s.Name, s
	if !idPattern.MatchString(s.Name) {
		return nil, fmt.Errorf("%s: the name %q has more than small letters, digits, dots and hyphens, or is longer than 100", b.Name(), s.Name)
	}
	if slices.Contains(p.in.Jobs, s.Name) {
		return nil, fmt.Errorf("%s: the project has a job %q: build that with build(job = %[2]q), or choose another name", b.Name(), s.Name)
	}
	if n.Retries < 0 || n.Retries > maxRetries {
		return nil, fmt.Errorf("%s: retries is %d; want 0 to %d", b.Name(), n.Retries, maxRetries)
	}
	if s.Script, err = texts(entriesOf(run)); err != nil || strings.TrimSpace(strings.Join(s.Script, "")) == "" {
		return nil, fmt.Errorf(`%s: run is %s; want shell scripts, as "make test" or ["make", "make test"]`, b.Name(), typeOf(run))
	}
	if s.Env, err = stringMap(env); err != nil {
		return nil, fmt.Errorf("%s: env: %w", b.Name(), err)
	}
	if s.Artifacts, err = stringList(artifacts); err != nil {
		return nil, fmt.Errorf("%s: artifacts: %w", b.Name(), err)
	}
	if s.Labels, err = stringList(labels); err != nil {
		return nil, fmt.Errorf("%s: labels: %w", b.Name(), err)
	}
	if s.Cache, err = cacheOf(cache); err != nil {
		return nil, fmt.Errorf("%s: cache: %w", b.Name(), err)
	}
	if s.Services, err = servicesOf(services); err != nil {
		return nil, fmt.Errorf("%s: services: %w", b.Name(), err)
	}
	if s.Reports, err = reportsOf(reports); err != nil {
		return nil, fmt.Errorf("%s: reports: %w", b.Name(), err)
	}
	return n, nil
}

// cacheOf reads keys with directories that are kept.
func cacheOf(d *starlark.Dict) (map[string]string, error) {
	m, err := stringMap(d)
	for key, dir := range m {
		if key == "" || !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" || strings.ContainsAny(dir, ",:") {
			return nil, fmt.Errorf("%q is %q; want an absolute path in the container, without a comma or colon", key, dir)
		}
	}
	return m, err
}

// servicesOf reads names with images.
func servicesOf(d *starlark.Dict) ([]api.Service, error) {
	m, err := stringMap(d)
	var all []api.Service
	for name, image := range m {
		if !serviceName.MatchString(name) || image == "" {
			return nil, fmt.Errorf(`%q is %q; want a name of small letters, digits and hyphens, which the step reaches it by, and an image`, name, image)
		}
		all = append(all, api.Service{Name: name, Image: image})
	}
	slices.SortFunc(all, func(a, b api.Service) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// reportsOf reads kinds of reports with the patterns of their files.
func reportsOf(d *starlark.Dict) (*api.ReportPatterns, error) {
	if d == nil || d.Len() == 0 {
		return nil, nil
	}
	r := &api.ReportPatterns{}
	kinds := map[string]*[]string{
		"junit": &r.JUnit, "coverage": &r.Coverage, "sarif": &r.SARIF, "cyclonedx": &r.CycloneDX, "osv": &r.OSV, "sonar": &r.Sonar,
	}
	for _, item := range d.Items() {
		kind, _ := starlark.AsString(item[0])
		to, ok := kinds[kind]
		if !ok {
			return nil, fmt.Errorf("%s is no kind; want junit, coverage, sarif, cyclonedx, osv or sonar", item[0])
		}
		var err error
		if *to, err = texts(entriesOf(item[1])); err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
	}
	return r, nil
}
