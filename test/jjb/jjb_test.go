package jjb

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"testing"

	"landfall.dev/capability/job/definition"
	"landfall.dev/cmd/landfall/jobs"
)

// trees is how many trees a run compares.
const trees = 100

func TestLandfallExpandsAsDebiansJenkinsJobBuilderDoes(t *testing.T) {
	first, last := uint64(1), uint64(trees)
	if text := os.Getenv("LANDFALL_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("LANDFALL_SEED=%s is no number", text)
		}
		first, last = seed, seed
	}
	jenkins, err := Start(t.Context())
	if err != nil {
		t.Fatalf("%v: install Debian's jenkins-job-builder, as make setup does", err)
	}
	compared, refused := 0, 0
	for seed := first; seed <= last; seed++ {
		n, err := compare(jenkins, t.TempDir(), Generate(seed))
		if err != nil {
			t.Errorf("seed %d (LANDFALL_SEED=%d repeats it): %v", seed, seed, err)
		}
		if compared += n; n == 0 {
			refused++
		}
	}
	t.Logf("compared %d jobs of %d trees; both refused, or made no jobs of, %d", compared, last-first+1, refused)
	if last > first && compared < 5*trees {
		t.Errorf("there were only %d jobs to compare in %d trees: the generator makes too few", compared, trees)
	}
}

// compare writes tree into dir and compares what becomes of it; it returns the
// number of jobs.
func compare(jenkins *Jenkins, dir string, tree Tree) (int, error) {
	for name, text := range tree.Files {
		path := filepath.Join(dir, "tree", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return 0, err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return 0, err
		}
	}
	want, refused, err := jenkins.Test(filepath.Join(dir, "tree"), filepath.Join(dir, "out"), tree.Args)
	if err != nil {
		return 0, err
	}
	ours, err := jobs.Expand(filepath.Join(dir, "tree"), definition.Classic, tree.Args)
	if err != nil {
		return 0, err
	}
	if got := ours.Status == "ok"; got != (refused == "") {
		return 0, fmt.Errorf("%s%q: Landfall says %s %s, jenkins-jobs says %q", broken(tree), tree.Args, ours.Status, ours.Error, refused)
	}
	if refused != "" {
		return 0, nil
	}
	got := fromLandfall(ours.Jobs)
	for name, w := range want {
		g, ok := got[name]
		if !ok {
			return 0, fmt.Errorf("%q: Landfall has no job %s, jenkins-jobs has", tree.Args, name)
		}
		if err := differ(name, g.sorted(), w.sorted()); err != nil {
			return 0, err
		}
		delete(got, name)
	}
	for name := range got {
		return 0, fmt.Errorf("%q: Landfall has a job %s, jenkins-jobs has none", tree.Args, name)
	}
	return len(want), nil
}

func broken(tree Tree) string {
	if tree.Broken == "" {
		return ""
	}
	return "with " + tree.Broken + ": "
}

// differ says in what got differs from want.
func differ(name string, got, want Job) error {
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		a, b := g.Field(i), w.Field(i)
		if a.Len() == 0 && b.Len() == 0 || reflect.DeepEqual(a.Interface(), b.Interface()) {
			continue
		}
		return fmt.Errorf("%s: %s are\n%q, jenkins-jobs has\n%q", name, g.Type().Field(i).Name, a, b)
	}
	return nil
}
