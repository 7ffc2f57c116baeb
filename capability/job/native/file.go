package native

import (
	"errors"
	"io/fs"
	"strings"
	"unicode/utf8"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// Files that Jenkins' config file provider keeps stand with the definitions, in
// the folder files, or are secrets of the project, with the same names.

// FilesFolder is where files are kept, in the folder of the definitions.
const FilesFolder = "files"

// maxFile bounds a file that is kept with the definitions, in bytes: each job
// that provides it has a copy.
const maxFile = 64 << 10

// fileArgs are the arguments of each file of the config file provider.
var fileArgs = kind{takes: "file-id target variable", lacks: "replace-tokens"}

// managedFiles provides files from here on.
func managedFiles(t *translation, a args) []api.Step {
	var steps []api.Step
	for _, m := range calls(a.get("files")) {
		t.check(a.c, m, fileArgs)
		steps = append(steps, t.file(a.c, text(m.Lookup("file-id")), text(m.Lookup("variable")), t.expand(a.c, text(m.Lookup("target"))))...)
	}
	return steps
}

// file is the step that provides one.
func (t *translation) file(c definition.Component, name, variable, target string) []api.Step {
	if lockName(name) != name || name == "" || name == "." || name == ".." {
		t.miss(c, Cannot, "the name %q of a file: it has letters, digits, '.', '_', '~' and '-'", yaml11.Brief(name))
		return nil
	}
	f := &api.FileStep{Name: name, Variable: variable, Target: target}
	if c.At.Line > 0 {
		f.At = c.At.Origin()
	}
	return []api.Step{{File: f}}
}

// Provide completes the jobs with the files that they name: with what is in
// folder, the one of the definitions, or else with a secret. Its error has all
// files that cannot be taken.
func Provide(specs []api.JobSpec, files fs.FS, folder string) error {
	var wrong []string
	for i := range specs {
		s := &specs[i]
		for _, f := range filesIn(s) {
			path := folder + "/" + FilesFolder + "/" + f.Name
			content, err := fs.ReadFile(files, path)
			switch {
			case err != nil:
				f.Secret = true
				use := api.SecretUse{Secret: f.Name, Part: "value", File: true, At: f.At}
				s.Secrets = append(s.Secrets, use)
			case len(content) > maxFile || !utf8.Valid(content):
				wrong = append(wrong, f.At+": the file "+path+" is not text of at most 64 KiB: put it among the sources, and name it there")
			default:
				f.Content = string(content)
			}
		}
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "\n"))
}

// filesIn are the steps of a job that provide files.
func filesIn(s *api.JobSpec) []*api.FileStep {
	var all []*api.FileStep
	each := func(step api.Step) {
		if step.File != nil {
			all = append(all, step.File)
		}
	}
	walk(s.Steps, each)
	for _, a := range s.After {
		walk(a.Steps, each)
	}
	return all
}

// walk calls each for all of steps, also for those inside others.
func walk(steps []api.Step, each func(api.Step)) {
	for _, s := range steps {
		each(s)
		if s.If != nil {
			walk(s.If.Steps, each)
		}
	}
}
