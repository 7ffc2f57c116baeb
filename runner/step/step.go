// Package step makes one shell script of all the steps of a build, and reads
// what that has left.
//
// It runs nothing: a runner has an engine run main.sh, and last.sh if there are
// steps that depend on how it ended.
package step

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"landfall.dev/api"
)

// library is what all scripts of builds begin with.
//
// The steps of a build become one shell script, because conditions and
// injected variables can only be evaluated where the build runs, at their
// place among the steps, and nothing but a plain shell can be taken for
// granted there: a program of Landfall's own would have to fit the processor
// and the mounts of each image.
//
//go:embed step.sh
var library string

// writer makes the files of a build's script in a directory:
//
//	lib.sh          library
//	main.sh         runs the steps, and those for afterwards
//	after.sh        the functions lf_after_N, one for each api.After
//	last.sh         runs those that main.sh has not run, see WriteLast
//	N.sh            the script of step N
//	N.properties    what step N injects
//	N.copy/         what the runner has fetched for step N
//	N.file          the file that step N provides, unless it is a secret
//	N.said, N.verdict, resume.sh
//	                what has come of step N, which the runner has carried out
//	cN.sh           the script of a condition
type writer struct {
	dir        string
	n          int             // of the last step
	conditions int             // so far
	functions  strings.Builder // of conditions
	after      bool            // the steps are for after the build
	copies     []Copy
	err        error
}

// Copy is a step that needs artifacts of another build, in the directory
// N.copy beside the script.
type Copy struct {
	N    int
	Step *api.CopyStep
}

// Write makes the script of the job in dir, which is made too, and returns
// which artifacts it needs.
func Write(dir string, spec *api.JobSpec) ([]Copy, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w := &writer{dir: dir}
	var build strings.Builder
	for _, script := range spec.Script {
		w.shell(&build, script, []string{"sh", "-e"}, 0)
	}
	w.steps(&build, spec.Steps)
	main := "lf_build() {\n:\n" + build.String() + "}\n" + w.functions.String() + "lf_build\n"

	w.after = true
	w.functions.Reset()
	var after strings.Builder
	for i, a := range spec.After {
		fmt.Fprintf(&after, "lf_after_%d() {\n:\n", i)
		w.steps(&after, a.Steps)
		after.WriteString("}\n")
		if len(a.Log) == 0 {
			main += callAfter(i, a)
		}
	}
	w.write("lib.sh", library)
	w.write("after.sh", after.String()+w.functions.String())
	w.write("main.sh", head+resume+main+"lf_finish\n")
	return w.copies, w.err
}

// head begins each script that an engine starts.
const head = `exec 2>&1
trap 'exit 143' TERM # when the step at work has ended, which may clean up
export WORKSPACE="$PWD"
. "$LANDFALL_SCRIPT/lib.sh"
. "$LANDFALL_SCRIPT/after.sh"
[ ! -e "$LANDFALL_SCRIPT/secrets.sh" ] || . "$LANDFALL_SCRIPT/secrets.sh"
`

// resume goes on where the script was left, after lf_result is set.
const resume = `[ ! -e "$LANDFALL_SCRIPT/resume.sh" ] || . "$LANDFALL_SCRIPT/resume.sh"
`

// callAfter is the line that runs the steps of spec.After[i].
func callAfter(i int, a api.After) string {
	on, policy := "*", "fail"
	if len(a.On) > 0 {
		var words []string
		for _, r := range a.On {
			words = append(words, quote(string(r)))
		}
		on = strings.Join(words, "|")
	}
	switch {
	case a.Ignore:
		policy = "ignore"
	case a.Unstable:
		policy = "unstable"
	}
	return fmt.Sprintf("case $lf_result in %s) lf_guard %s lf_after_%d ;; esac\n", on, policy, i)
}

// WriteLast makes last.sh of the script of spec in dir, for a build with this
// result: it runs the steps of those of spec.After with these indexes.
func WriteLast(dir string, spec *api.JobSpec, result api.Result, which []int) error {
	var calls strings.Builder
	for _, i := range which {
		calls.WriteString(callAfter(i, spec.After[i]))
	}
	script := head + fmt.Sprintf("lf_load\nlf_result=%s\n", result) + resume + calls.String() + "lf_finish\n"
	if err := os.RemoveAll(filepath.Join(dir, "resume.sh")); err != nil { // it was main.sh's
		return err
	}
	return os.WriteFile(filepath.Join(dir, "last.sh"), []byte(script), 0o600)
}

// write writes a file, unless an earlier one could not be written.
func (w *writer) write(name, content string) {
	if w.err == nil {
		w.err = os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600)
	}
}

// header is the line that step n is found by in the log.
func (w *writer) header(title string) string {
	first := title
	for line := range strings.Lines(title) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			first = line
			break
		}
	}
	first, _, _ = strings.Cut(strings.TrimSpace(first), "\n")
	when := ""
	if w.after {
		when = "after the build, "
	}
	return quote(fmt.Sprintf("%sstep %d: %s", when, w.n, Shorten(first)))
}

// steps writes lines that run all of steps to out, and end the function that
// they are in with a failure if one fails.
func (w *writer) steps(out *strings.Builder, steps []api.Step) {
	for _, s := range steps {
		switch {
		case s.Shell != nil:
			w.shell(out, s.Shell.Script, interpreter(s.Shell.Script), s.Shell.UnstableExit)
		case s.If != nil:
			w.branch(out, s.If)
		case s.Inject != nil:
			w.n++
			w.write(fmt.Sprintf("%d.properties", w.n), s.Inject.Content+"\n")
			fmt.Fprintf(out, "lf_inject %d %s %s || return 1\n", w.n, w.header("set variables"), quote(s.Inject.File))
		case s.Copy != nil:
			w.n++
			w.copies = append(w.copies, Copy{w.n, s.Copy})
			fmt.Fprintf(out, "lf_copy %d %s %s || return 1\n", w.n, w.header("copy artifacts of "+s.Copy.Job), quote(s.Copy.Target))
		case s.File != nil:
			w.file(out, s.File)
		case s.Call != nil:
			w.n++
			var jobs []string
			for _, called := range s.Call.All() {
				jobs = append(jobs, called.Jobs...)
			}
			title := "start " + strings.Join(jobs, ", ")
			if s.Call.Wait {
				title += " and wait"
			}
			fmt.Fprintf(out, "lf_call %d %s || return 1\n", w.n, w.header(title))
		}
	}
}

func (w *writer) shell(out *strings.Builder, script string, command []string, unstable int) {
	w.n++
	w.write(fmt.Sprintf("%d.sh", w.n), script+"\n")
	fmt.Fprintf(out, "lf_run %d %s %d %s || return 1\n", w.n, w.header(script), unstable, words(command))
}

func (w *writer) file(out *strings.Builder, f *api.FileStep) {
	w.n++
	from := secretFile(f.Name)
	if !f.Secret {
		from = fmt.Sprintf("%d.file", w.n)
		w.write(from, f.Content)
	}
	fmt.Fprintf(out, "lf_file %d %s %s || return 1\n", w.n, w.header("provide the file "+f.Name), words([]string{f.Name, from, f.Variable, f.Target}))
}

// interpreter is the command that runs the script: the words of its first line
// after "#!", or what Jenkins takes if there is none.
func interpreter(script string) []string {
	if line, ok := strings.CutPrefix(script, "#!"); ok {
		line, _, _ = strings.Cut(line, "\n")
		if command := strings.Fields(line); len(command) > 0 {
			return command
		}
	}
	return []string{"sh", "-xe"}
}

// quote makes text one word for a shell.
func quote(text string) string {
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

func words(command []string) string {
	var quoted []string
	for _, c := range command {
		quoted = append(quoted, quote(c))
	}
	return strings.Join(quoted, " ")
}

// branch writes steps that depend on a condition.
func (w *writer) branch(out *strings.Builder, s *api.IfStep) {
	policy := s.OnError
	if policy == "" {
		policy = api.OnErrorFail
	}
	w.n++
	n := w.n
	fmt.Fprintf(out, "lf_decide %d %s %s %s\ncase $? in\n2) return 1 ;;\n0)\n:\n",
		n, w.header("if "+describe(s.Condition)), quote(string(policy)), w.condition(s.Condition))
	w.steps(out, s.Steps)
	out.WriteString("esac\n")
}

// condition makes a function of the condition and returns its name.
func (w *writer) condition(c api.StepCondition) string {
	w.conditions++
	n := w.conditions
	name := fmt.Sprintf("lf_c%d", n)
	body := ""
	switch c.Type {
	case api.ConditionAlways:
		body = "true"
	case api.ConditionNever:
		body = "false"
	case api.ConditionBoolean:
		body = "lf_is_true " + quote(c.A)
	case api.ConditionEqual:
		body = "lf_is_equal " + words([]string{c.A, c.B})
		if c.FoldCase {
			body = "lf_is_equal_folded " + words([]string{c.A, c.B})
		}
	case api.ConditionMatch:
		body = "lf_is_match " + words([]string{c.A, c.B})
		if c.FoldCase {
			body += " -i"
		}
	case api.ConditionFile:
		body = "lf_is_file " + quote(c.A)
	case api.ConditionShell:
		w.write(fmt.Sprintf("c%d.sh", n), c.A+"\n")
		body = fmt.Sprintf("lf_is_shell c%d.sh %s", n, words(interpreter(c.A)))
	case api.ConditionStatus:
		body = "lf_is_between " + words([]string{c.A, c.B})
	case api.ConditionNot:
		body = w.compound(c.Of[:min(1, len(c.Of))], "case $? in 0) return 1 ;; 1) ;; *) return 2 ;; esac") + "return 0"
	case api.ConditionAnd:
		body = w.compound(c.Of, "case $? in 0) ;; *) return $? ;; esac") + "return 0"
	case api.ConditionOr:
		body = w.compound(c.Of, "case $? in 1) ;; *) return $? ;; esac") + "return 1"
	default:
		body = "return 2"
	}
	fmt.Fprintf(&w.functions, "%s() {\n%s\n}\n", name, body)
	return name
}

// compound is a list of conditions, each followed by what to do about it.
func (w *writer) compound(of []api.StepCondition, then string) string {
	var b strings.Builder
	for _, c := range of {
		fmt.Fprintf(&b, "%s\n%s\n", w.condition(c), then)
	}
	return b.String()
}

// describe is the condition in words, for the log.
func describe(c api.StepCondition) string {
	switch c.Type {
	case api.ConditionEqual, api.ConditionMatch:
		verb := "is"
		if c.Type == api.ConditionMatch {
			verb = "matches"
		}
		return fmt.Sprintf("%q %s %q", c.A, verb, c.B)
	case api.ConditionBoolean:
		return fmt.Sprintf("%q is true", c.A)
	case api.ConditionFile:
		return fmt.Sprintf("there is a file %q", c.A)
	case api.ConditionShell:
		return "a script passes"
	case api.ConditionStatus:
		return "the result is " + c.A + " to " + c.B
	case api.ConditionNot, api.ConditionAnd, api.ConditionOr:
		var of []string
		for _, o := range c.Of {
			of = append(of, describe(o))
		}
		if c.Type == api.ConditionNot {
			return "not " + strings.Join(of, "")
		}
		return "(" + strings.Join(of, " "+string(c.Type)+" ") + ")"
	}
	return string(c.Type)
}
