package jobs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// Result is what definitions expand to, in a form that tools can compare.
type Result struct {
	// Status is ok, error, or xml-error if the jobs are known but not all that
	// they are made of.
	Status string `json:"status"`
	Error  string `json:"error,omitempty"`
	// Warnings say what looks as if it were of the other dialect.
	Warnings []string `json:"warnings,omitempty"`
	Jobs     []Job    `json:"jobs"`
}

// Job is a job without its macros.
type Job struct {
	Name        string                 `json:"name"`
	Description string                 `json:"description,omitempty"`
	Components  map[string][]Component `json:"components"`
	// Error is what is wrong with its components.
	Error string `json:"error,omitempty"`
}

// Component is one step, parameter, trigger or other part of a job.
type Component struct {
	Kind     string        `json:"kind,omitempty"` // of a child
	Type     string        `json:"type"`
	Args     *yaml11.Value `json:"args"`
	Children []Component   `json:"children,omitempty"`
}

// Expand returns what the definitions of a command line of jenkins-jobs, run in
// dir, expand to. Its error is of the command line.
func Expand(dir string, dialect definition.Dialect, line []string) (Result, error) {
	x, err := expand(dir, dialect, line)
	if err != nil {
		return Result{}, err
	}
	r := Result{Status: "ok", Jobs: []Job{}, Warnings: x.warnings}
	if x.wrong != nil {
		r.Status, r.Error = "error", x.wrong.Error()
		return r, nil
	}
	var all []error
	for _, j := range x.jobs {
		e := errorOf(j)
		job := Job{Name: j.Name, Components: map[string][]Component{}}
		if v := j.Keys.Lookup("description"); v != nil && v.Data != nil {
			job.Description = v.Text()
		}
		if e != nil {
			job.Error = local(dir, e.Error())
			all = append(all, e)
		}
		for kind, list := range j.Components {
			job.Components[kind] = components(list, false)
		}
		r.Jobs = append(r.Jobs, job)
	}
	if err := errors.Join(all...); err != nil {
		r.Status, r.Error = "xml-error", local(dir, err.Error())
	}
	return r, nil
}

func components(list []definition.Component, inside bool) []Component {
	out := make([]Component, 0, len(list))
	for _, c := range list {
		k := Component{Type: c.Type, Args: c.Args, Children: components(c.Children, true)}
		if inside {
			k.Kind = c.Kind
		}
		out = append(out, k)
	}
	return out
}

// errorOf joins what is wrong with the components of j.
func errorOf(j definition.Job) error {
	var all []error
	for _, e := range j.Errs {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// expansion is what definitions expand to; wrong is what is wrong in them.
type expansion struct {
	jobs     []definition.Job
	warnings []string
	wrong    error
}

// expand expands what a command line of jenkins-jobs that is run in dir names.
// Its error is of the line. Definitions may include files from anywhere, as they
// may there.
func expand(dir string, dialect definition.Dialect, line []string) (x expansion, err error) {
	a, err := parseArguments(dir, line)
	if err != nil {
		return x, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return x, err
	}
	inRoot := func(paths []string) {
		for i, p := range paths {
			if !filepath.IsAbs(p) {
				p = filepath.Join(dir, p)
			}
			if paths[i] = strings.Trim(filepath.ToSlash(filepath.Clean(p)), "/"); paths[i] == "" {
				paths[i] = "."
			}
		}
	}
	inRoot(a.paths)
	inRoot(a.options.IncludePath)
	for i, p := range a.options.Exclude {
		if strings.Contains(p, "/") {
			inRoot(a.options.Exclude[i : i+1])
		}
	}
	a.options.Dialect = dialect
	set, wrong := definition.Load(os.DirFS("/"), a.paths, a.options)
	if wrong == nil {
		for _, w := range set.Warnings() {
			x.warnings = append(x.warnings, local(dir, w.Error()))
		}
		x.jobs, wrong = set.Jobs(a.globs...)
	}
	if wrong != nil {
		x.wrong = errors.New(local(dir, wrong.Error()))
	}
	return x, nil
}

// local returns text with paths as they are seen from dir.
func local(dir, text string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		text = strings.ReplaceAll(text, strings.TrimPrefix(filepath.ToSlash(abs), "/")+"/", "")
	}
	return text
}
