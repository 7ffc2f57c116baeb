package jobspec

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition/yaml11"
)

var (
	serviceFields  = []string{"image", "command", "env", "ready"}
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
			Image:   d.text("image", f["image"]),
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

// cache returns the directories to keep: a map of keys to paths.
func (d *decoder) cache(v *yaml11.Value) map[string]string {
	paths := map[string]string{}
	for _, e := range d.entries("cache", v) {
		key, dir := e.Key.Text(), d.text("the path of "+yaml11.Brief(e.Key.Text())+" in cache", e.Value)
		switch {
		case d.failed:
		case key == "" || !path.IsAbs(dir) || path.Clean(dir) != dir || dir == "/" || strings.ContainsAny(dir, ",:"):
			d.fail(e.Key, "cache must map a key to an absolute path in the container, without a comma or colon, but there is %q: %q", yaml11.Brief(key), yaml11.Brief(dir))
		case slices.Contains(slices.Collect(maps.Values(paths)), dir):
			d.fail(e.Key, "two keys of cache have the path %q", yaml11.Brief(dir))
		}
		paths[key] = dir
	}
	if len(paths) == 0 {
		return nil
	}
	return paths
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
