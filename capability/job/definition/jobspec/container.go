package jobspec

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

var (
	serviceFields  = []string{"image", "command", "env", "ready"}
	cacheFields    = []string{"path", "limit"}
	resourceFields = []string{"cpus", "memory", "pids", "disk"}

	// serviceName is fit to be a name in a network.
	serviceName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// fields returns the entries of v, which must be a map whose keys are among known.
func (d *decoder) fields(what string, v *yaml11.Value, known []string) map[string]*yaml11.Value {
	fields := map[string]*yaml11.Value{}
	for _, e := range d.entries(what, v) {
		key := e.Key.Text()
		if !slices.Contains(known, key) {
			d.fail(e.Key, "unknown field %q in %s%s (it has %s)", yaml11.Brief(key), what, yaml11.Suggest(key, known), strings.Join(known, ", "))
			continue
		}
		fields[key] = e.Value
	}
	return fields
}

// services returns what runs beside the build: a map of names.
func (d *decoder) services(v *yaml11.Value) []api.Service {
	var all []api.Service
	for _, e := range d.entries("services", v) {
		name := e.Key.Text()
		if !serviceName.MatchString(name) {
			d.fail(e.Key, "the name %q of a service must be small letters, digits and dashes: the build reaches it by that", yaml11.Brief(name))
			continue
		}
		f := d.fields("the service "+name, e.Value, serviceFields)
		s := api.Service{
			Name:    name,
			Image:   d.image(f["image"]),
			Command: d.texts("command", f["command"]),
			Env:     d.env(f["env"]),
			Ready:   d.text("ready", f["ready"]),
		}
		if s.Image == "" && !d.failed {
			d.fail(e.Key, "the service %s has no image: add it", name)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b api.Service) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// image returns the name of an image.
func (d *decoder) image(v *yaml11.Value) string {
	ref := d.text("image", v)
	if ref == "" {
		return ""
	}
	if _, err := name.ParseReference(ref); err != nil {
		d.fail(v, "%q is no name of an image: write it like golang:1.26, or registry.example.com/team/go@sha256:...", yaml11.Brief(ref))
	}
	return ref
}

// cache returns the directories to keep, and their limits: a map of keys to paths,
// or to a path and a limit.
func (d *decoder) cache(v *yaml11.Value) (paths map[string]string, limits map[string]int64) {
	paths, limits = map[string]string{}, map[string]int64{}
	for _, e := range d.entries("cache", v) {
		key, at := e.Key.Text(), e.Value
		what := yaml11.Brief(key) + " in cache"
		if _, ok := at.Data.(yaml11.Map); ok {
			f := d.fields(what, at, cacheFields)
			at = f["path"]
			if limit := d.megabytes("the limit of "+what, f["limit"]); limit > 0 {
				limits[key] = limit
			}
		}
		dir := d.text("the path of "+what, at)
		switch {
		case d.failed:
		case key == "" || !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" || strings.ContainsAny(dir, ",:"):
			d.fail(e.Key, "cache must map a key to an absolute path in the container, without a comma or colon, but there is %q: %q", yaml11.Brief(key), yaml11.Brief(dir))
		case slices.Contains(slices.Collect(maps.Values(paths)), dir):
			d.fail(e.Key, "two keys of cache have the path %q", yaml11.Brief(dir))
		}
		paths[key] = dir
	}
	return paths, limits
}

// resources returns what the build may use.
func (d *decoder) resources(v *yaml11.Value) *api.Resources {
	if v == nil || v.Data == nil {
		return nil
	}
	f := d.fields("resources", v, resourceFields)
	return &api.Resources{
		CPUs:     d.number("cpus", f["cpus"]),
		Pids:     int64(d.number("pids", f["pids"])),
		MemoryMB: d.megabytes("memory", f["memory"]),
		DiskMB:   d.megabytes("disk", f["disk"]),
	}
}

// number returns v, which must be a number over 0.
func (d *decoder) number(what string, v *yaml11.Value) float64 {
	if v == nil || v.Data == nil {
		return 0
	}
	n, err := strconv.ParseFloat(d.text(what, v), 64)
	if (err != nil || n <= 0 || n > 1e9) && !d.failed {
		d.fail(v, "%s must be a number over 0, but is %q", what, yaml11.Brief(v.Text()))
	}
	return n
}

// megabytes returns the MiB of a number of bytes with its unit: 512M, 4G.
func (d *decoder) megabytes(what string, v *yaml11.Value) int64 {
	if v == nil || v.Data == nil {
		return 0
	}
	text := d.text(what, v)
	digits, unit := strings.TrimRight(text, "MG"), int64(1)
	if strings.HasSuffix(text, "G") {
		unit = 1 << 10
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if (err != nil || n <= 0 || len(digits)+1 != len(text)) && !d.failed {
		d.fail(v, "%s must be a number of MiB or GiB as 512M or 4G, but is %q", what, yaml11.Brief(text))
	}
	return n * unit
}
