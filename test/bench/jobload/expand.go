package jobload

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"landfall.dev/test/bench/jobtree"
)

// oneJob is a tree of one job.
const oneJob = `- job:
    name: one
    description: the only one
    parameters:
    - string: {name: BRANCH, default: main, description: 'what to build'}
    triggers:
    - timed: 'H H * * *'
    builders:
    - shell: make all
`

// jenkinsConfig keeps Jenkins Job Builder from asking a Jenkins.
const jenkinsConfig = "[jenkins]\nurl=http://127.0.0.1:9/\nquery_plugins_info=False\n"

// Expander is a program that expands trees of definitions with the arguments of
// jenkins-jobs.
type Expander struct {
	Program       string
	before, after []string // arguments around those of jenkins-jobs
	// made returns how many jobs it has made, whose output is in dir.
	made func(dir string) (int, error)
}

// Jenkins is Jenkins Job Builder, which writes a file for each job.
func Jenkins(program string) Expander {
	return Expander{program, nil, []string{"--config-xml", "-o", "out"}, files}
}

// Landfall is ours, which writes JSON of all that the jobs consist of, or their
// names only.
func Landfall(program string, json bool) Expander {
	e := Expander{Program: program, before: []string{"job", "test", "--dialect", "classic", "--"}}
	mark, more := "\n", 1 // a job a line, and their number
	if json {
		e.before, mark, more = append([]string{"-o", "json"}, e.before...), `"components":`, 0
	}
	e.made = func(dir string) (int, error) {
		b, err := os.ReadFile(filepath.Join(dir, printed))
		return bytes.Count(b, []byte(mark)) - more, err
	}
	return e
}

// printed is the file in a tree of what was printed.
const printed = "printed"

// Expansion is what one run took.
type Expansion struct{ Took, CPU time.Duration }

// WriteTrees writes the definitions that are expanded into dir.
func WriteTrees(dir string) error {
	if err := jobtree.Write(dir); err != nil {
		return err
	}
	for name, text := range map[string]string{"jjb.ini": jenkinsConfig, "one.yaml": oneJob} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// One expands the tree of one job in dir.
func (e Expander) One(ctx context.Context, dir string) (Expansion, error) {
	return e.run(ctx, dir, "one.yaml")
}

// Many expands the tree of jobtree.Jobs jobs in dir, and checks that it has.
func (e Expander) Many(ctx context.Context, dir string) (Expansion, error) {
	x, err := e.run(ctx, dir, "-r", "jobs")
	if err != nil {
		return x, err
	}
	made, err := e.made(dir)
	if err == nil && made != jobtree.Jobs {
		err = fmt.Errorf("%s has made %d jobs, want %d", e.Program, made, jobtree.Jobs)
	}
	return x, err
}

// run runs "test ARGS" in dir.
func (e Expander) run(ctx context.Context, dir string, args ...string) (Expansion, error) {
	args = slices.Concat(e.before, []string{"--conf", "jjb.ini", "test"}, args, e.after)
	out, err := os.Create(filepath.Join(dir, printed))
	if err != nil {
		return Expansion{}, err
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, e.Program, args...)
	var errs strings.Builder
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, &errs
	began := time.Now()
	err = cmd.Run()
	took := time.Since(began)
	if err != nil {
		return Expansion{}, fmt.Errorf("%s %s: %w: %s", e.Program, strings.Join(args, " "), err, errs.String())
	}
	return Expansion{took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}, nil
}

// files returns how many there are in the folder out of dir.
func files(dir string) (int, error) {
	n := 0
	err := filepath.WalkDir(filepath.Join(dir, "out"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	return n, err
}

// Milliseconds is d as a number.
func Milliseconds(d time.Duration) float64 { return d.Seconds() * 1000 }

// Repeat returns what n measurements come to.
func Repeat(n int, measure func() (float64, error)) ([]float64, error) {
	var all []float64
	for range n {
		v, err := measure()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}
