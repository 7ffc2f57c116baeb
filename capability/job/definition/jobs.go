package definition

import (
	"errors"
	"regexp"
	"slices"

	"landfall.dev/capability/job/definition/python"
)

// Jobs returns all plain jobs and all jobs of all projects whose full names
// match one of the patterns (as Python's fnmatch; no pattern matches all),
// sorted by name with numbers in their natural order. If anything is wrong in
// more than the components of a job, it returns no jobs and an error that
// joins one *Error for each mistake. Mistakes in components are in Job.Errs.
func (s *Set) Jobs(patterns ...string) ([]Job, error) { return s.expand(jobs, patterns) }

// Views is Jobs for views.
func (s *Set) Views(patterns ...string) ([]Job, error) { return s.expand(views, patterns) }

func (s *Set) expand(of side, patterns []string) ([]Job, error) {
	x := s.expansion()
	x.run(of, matcher(patterns))
	if err := join(x.errs); err != nil {
		return nil, err
	}
	made := make([]Job, len(x.items))
	for n, i := range x.items {
		made[n] = Job{Name: i.name, Keys: x.described(i), Origin: i.origin, At: i.at}
		if folder := i.keys.Lookup("folder"); folder != nil && of == jobs {
			made[n].Folder = folder.Text()
		}
		if of == jobs {
			made[n].Components = x.components(i)
			made[n].Errs = i.errs
		}
	}
	if err := join(x.errs); err != nil { // too much work
		return nil, err
	}
	return made, nil
}

// Each calls f for each job that Jobs returns, but with its keys as they are
// written, without the description that marks it. The error has all mistakes,
// in components and those that f reports, which get the job's chain.
func (s *Set) Each(f func(j Job, report func(*Error))) error {
	x := s.expansion()
	x.run(jobs, nil)
	for _, i := range x.items {
		j := Job{Name: i.name, Keys: i.keys, Components: x.components(i), Origin: i.origin, At: i.at, Errs: i.errs}
		x.errs = append(x.errs, i.errs...)
		f(j, func(err *Error) { x.report(i.frame, err) })
	}
	return join(x.errs)
}

// join returns errs as one error, sorted and without repetitions, or nil.
func join(errs []*Error) error {
	slices.SortFunc(errs, (*Error).Compare)
	errs = slices.CompactFunc(errs, func(a, b *Error) bool { return a.Compare(b) == 0 })
	all := make([]error, len(errs))
	for i, e := range errs {
		all[i] = e
	}
	return errors.Join(all...)
}

// matcher returns what reports whether a name matches one of the patterns; nil
// if there are none.
func matcher(patterns []string) func(string) bool {
	if len(patterns) == 0 {
		return nil
	}
	all := make([]*regexp.Regexp, len(patterns))
	for i, p := range patterns {
		all[i] = python.Fnmatch(p)
	}
	return func(name string) bool {
		return slices.ContainsFunc(all, func(re *regexp.Regexp) bool { return re.MatchString(name) })
	}
}
