package definition

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"landfall.dev/api"
)

// globalDefaults is the name of the defaults that all jobs have.
const globalDefaults = "global"

// Expand returns all plain jobs and all jobs of all projects, sorted by name
// with numbers in their natural order. If anything is wrong, it returns no
// jobs and an error that joins one *Error for each mistake.
func (s *Set) Expand() ([]api.JobSpec, error) {
	x := &expansion{set: s, made: map[string]position{}, seen: map[string]bool{}, work: &work{left: maxWork}}
	for _, d := range s.sorted(kindJob) {
		x.job(d)
	}
	for _, d := range s.sorted(kindProject) {
		x.project(d)
	}
	if err := join(x.errs); err != nil {
		return nil, err
	}
	slices.SortStableFunc(x.jobs, func(a, b api.JobSpec) int { return compareNames(a.Name, b.Name) })
	return x.jobs, nil
}

// expansion is one run of Expand.
type expansion struct {
	set  *Set
	jobs []api.JobSpec
	made map[string]position // what each job's name was made by
	errs []*Error
	seen map[string]bool // errors by their text and chain
	work *work
}

// within returns a function that reports errors with a chain, each only once:
// a mistake in a template shows at all points of its axes.
func (x *expansion) within(chain ...string) func(*Error) {
	return func(e *Error) {
		e.Chain = chain
		x.work.left -= costOfError
		id := fmt.Sprintf("%s:%d:%d %q %q", e.File, e.Line, e.Column, e.Message, e.Chain)
		if x.seen[id] || x.work.errors >= maxErrors {
			return
		}
		x.seen[id] = true
		x.errs = append(x.errs, e)
		x.work.errors++
	}
}

// blueprint is what a job is made of: that which is the same at all points of
// a template's axes.
type blueprint struct {
	name   *value
	fields map[string]*value
	origin []string
	at     position // of what asked for the job
	report func(*Error)
}

// job makes a plain job.
func (x *expansion) job(d *definition) {
	report := x.within(d.link())
	vars, fields, ok := x.withDefaults(d, d.vars, report)
	if !ok {
		return
	}
	vars["name"] = d.name
	x.make(blueprint{d.name, fields, []string{d.at.origin()}, d.at, report}, vars)
}

// project makes all jobs of a project.
func (x *expansion) project(p *definition) {
	vars := merged(p.vars, variables{"name": p.name})
	for _, r := range p.jobs {
		if x.work.ended() {
			return
		}
		report := x.within(p.link())
		switch d := x.target(r); {
		case d == nil:
			report(r.at.errorf("there is no template, group or job %q%s", brief(r.name),
				suggest(r.name, x.names(kindTemplate, kindGroup, kindJob))))
		case d.kind == kindJob:
			checkPlain(r, report)
		case d.kind == kindTemplate:
			x.template(d, r.at, merged(d.vars, vars, r.vars), p)
		default:
			x.group(p, d, r, merged(vars, r.vars, d.vars))
		}
	}
}

// group makes the jobs of group g, which project p lists by from. Only what
// a template says itself is weaker than vars.
func (x *expansion) group(p, g *definition, from reference, vars variables) {
	report := x.within(p.link(), g.link())
	for _, r := range g.jobs {
		if x.work.ended() {
			return
		}
		switch d := x.target(r); {
		case d == nil:
			report(r.at.errorf("there is no template or job %q%s", brief(r.name),
				suggest(r.name, x.names(kindTemplate, kindJob))))
		case d.kind == kindJob:
			checkPlain(r, report)
		case d.kind == kindTemplate:
			x.template(d, from.at, merged(d.vars, vars, r.vars), p, g)
		default:
			report(r.at.errorf("a group cannot hold the group %q%s: list that group in the project instead",
				brief(r.name), x.cycle(g.key(), r.name)))
		}
	}
}

// target returns what r means, or nil if there is no such thing.
func (x *expansion) target(r reference) *definition {
	for _, kind := range []string{kindJob, kindTemplate, kindGroup} {
		if d := x.set.byKind[kind][r.name]; d != nil {
			return d
		}
	}
	return nil
}

// checkPlain reports variables for a plain job, which is made without them
// whether it is listed or not.
func checkPlain(r reference, report func(*Error)) {
	if len(r.vars) > 0 {
		report(r.at.errorf("%q is a job, which takes no variables: make it a job-template", brief(r.name)))
	}
}

// cycle returns a remark if group from comes back to itself by way of group to.
func (x *expansion) cycle(from, to string) string {
	path, seen := []string{from}, map[string]bool{}
	var walk func(name string) bool
	walk = func(name string) bool {
		path = append(path, name)
		if name == from {
			return true
		}
		g := x.set.byKind[kindGroup][name]
		if g != nil && !seen[name] && len(path) < maxDepth {
			seen[name] = true
			for _, r := range g.jobs {
				if walk(r.name) {
					return true
				}
			}
		}
		path = path[:len(path)-1]
		return false
	}
	if !walk(to) {
		return ""
	}
	return " (groups in a cycle: " + brief(strings.Join(path, " -> ")) + ")"
}

// names returns the names of all definitions of some kinds.
func (x *expansion) names(kinds ...string) []string {
	var all []string
	for _, kind := range kinds {
		all = append(all, slices.Sorted(maps.Keys(x.set.byKind[kind]))...)
	}
	return all
}

// template makes the jobs of template t, which the last of owners lists: a
// project, or a group in a project.
func (x *expansion) template(t *definition, from position, vars variables, owners ...*definition) {
	var chain []string
	for _, d := range append(owners, t) {
		chain = append(chain, d.link())
	}
	report := x.within(chain...)
	vars, fields, ok := x.withDefaults(t, vars, report)
	if !ok {
		return
	}
	vars["template-name"] = escaped(t.name)
	if t.id != "" {
		vars["id"] = escaped(newValue(t.at, t.id))
	}
	axes, ok := findAxes(t.name, vars, report)
	if !ok {
		return
	}
	b := blueprint{t.name, fields, []string{owners[0].at.origin(), t.at.origin()}, from, report}
	wrong := 0
	for point := range axes.points() {
		if x.work.ended() || wrong == maxWrong {
			return
		}
		if !x.make(b, merged(vars, point)) {
			wrong++
		}
	}
}

// escaped returns v as text that formatting leaves as v is.
func escaped(v *value) *value {
	return newValue(v.at, strings.NewReplacer("{", "{{", "}", "}}").Replace(v.text()))
}

// withDefaults returns vars and the fields of d, completed by the defaults
// that vars name and by the global ones.
func (x *expansion) withDefaults(d *definition, vars variables, report func(*Error)) (variables, map[string]*value, bool) {
	known := x.set.byKind[kindDefaults]
	all, fields := variables{}, map[string]*value{}
	if global := known[globalDefaults]; global != nil {
		all, fields = merged(global.vars), maps.Clone(global.fields)
	}
	if v := vars["defaults"]; v != nil {
		name, isText := v.data.(string)
		chosen := known[name]
		if !isText || chosen == nil && name != globalDefaults {
			report(v.at.errorf("there are no defaults called %q%s", brief(v.text()), suggest(v.text(), x.names(kindDefaults))))
			return nil, nil, false
		}
		if chosen != nil {
			all, fields = merged(all, chosen.vars), mergedFields(fields, chosen.fields)
		}
	}
	all = merged(all, vars)
	delete(all, "defaults")
	return all, mergedFields(fields, d.fields), true
}

// merged returns all variables of the given levels, the strongest last.
func merged(levels ...variables) variables {
	all := variables{}
	for _, vars := range levels {
		maps.Copy(all, vars)
	}
	return all
}

// mergedFields returns the fields of strong and those of weak that are not in
// strong. Script and builders say the same.
func mergedFields(weak, strong map[string]*value) map[string]*value {
	all := maps.Clone(weak)
	if strong["script"] != nil || strong["builders"] != nil {
		delete(all, "script")
		delete(all, "builders")
	}
	maps.Copy(all, strong)
	return all
}

// make makes one job, unless it is excluded, and reports whether all was right.
func (x *expansion) make(b blueprint, vars variables) bool {
	if err := x.work.spend(b.name, costOfVar*(len(vars)+len(b.fields))); err != nil {
		b.report(err)
		return false
	}
	s := newScope(vars, b.report, x.work)
	if !s.formatAll() {
		return false
	}
	if excluded, ok := isExcluded(s); excluded || !ok {
		return ok
	}
	name, fields, ok := x.format(b, s)
	if !ok || x.work.ended() {
		return false
	}
	spec, ok := decode(name, fields, b.report)
	if !ok {
		return false
	}
	if other, exists := x.made[spec.Name]; exists {
		b.report(b.at.errorf("two jobs are called %q: the other is made at %s; give them different names, "+
			"by a variable in the name of the template, or remove one", brief(spec.Name), other))
		return false
	}
	if len(x.jobs) >= maxJobs {
		b.report(b.at.errorf("there are more than %d jobs: make fewer", maxJobs))
		x.work.left = -1
		return false
	}
	x.made[spec.Name] = b.at
	spec.Origin = b.origin
	x.jobs = append(x.jobs, spec)
	return true
}

// format returns the name and fields of b as they are in s.
func (x *expansion) format(b blueprint, s *scope) (name *value, fields map[string]*value, ok bool) {
	name = s.format(b.name)
	ok = name != nil
	fields = map[string]*value{}
	for _, key := range slices.Sorted(maps.Keys(b.fields)) {
		v := s.format(b.fields[key])
		if v == nil {
			ok = false
			continue
		}
		fields[key] = v
		if err := x.work.spend(v, v.size); err != nil {
			b.report(err)
		}
	}
	return name, fields, ok
}

// compareNames orders names so that numbers in them count as numbers: a2
// before a10, a1 before a1.1, and upper case before lower case.
func compareNames(a, b string) int {
	for a != "" && b != "" {
		textA, textB := digitsAt(a), digitsAt(b)
		if c := strings.Compare(a[:textA], b[:textB]); c != 0 {
			return c
		}
		a, b = a[textA:], b[textB:]
		numA, restA := leadingNumber(a)
		numB, restB := leadingNumber(b)
		if c := compareNumbers(numA, numB); c != 0 {
			return c
		}
		a, b = restA, restB
	}
	return strings.Compare(a, b)
}

// digitsAt returns where the first digit of text is, or its length.
func digitsAt(text string) int {
	if i := strings.IndexAny(text, "0123456789"); i >= 0 {
		return i
	}
	return len(text)
}

// leadingNumber splits text after the digits that it begins with.
func leadingNumber(text string) (number, rest string) {
	rest = strings.TrimLeft(text, "0123456789")
	return text[:len(text)-len(rest)], rest
}

// compareNumbers compares two numbers of any length; none is the least.
func compareNumbers(a, b string) int {
	if a == "" || b == "" {
		return len(a) - len(b)
	}
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
