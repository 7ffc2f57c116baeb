package jobtree

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
	"landfall.dev/capability/job"
	"landfall.dev/capability/job/definition"
)

func TestTheTreeExpandsToJobsWhoseScriptsAreRight(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	set, err := definition.Load(os.DirFS(dir), []string{"jobs"}, definition.Options{Dialect: definition.Classic, Recursive: true})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := set.Jobs()
	if err != nil || len(jobs) != Jobs {
		t.Fatalf("the tree makes %d jobs, %v; want %d", len(jobs), err, Jobs)
	}
	for _, j := range jobs {
		if len(j.Errs) > 0 || len(j.Components["builders"]) < 30 {
			t.Fatalf("%s has %d builders, %v", j.Name, len(j.Components["builders"]), j.Errs)
		}
		for _, c := range j.Components["builders"] {
			if c.Type == "shell" && strings.Contains(c.Args.Text(), "{{") {
				t.Fatalf("%s has a script with double braces:\n%s", j.Name, c.Args.Text())
			}
		}
	}
}

func TestAChangeOfATemplateChangesItsJobsOnly(t *testing.T) {
	expand := func(version string) []api.JobSpec {
		files := fstest.MapFS{}
		for name, text := range Project() {
			files[name] = &fstest.MapFile{Data: []byte(text)}
		}
		files[Changed] = &fstest.MapFile{Data: []byte(Kind(0, version))}
		specs, err := job.Expand(files)
		if err != nil || len(specs) != Deployed {
			t.Fatalf("the project makes %d jobs, %v; want %d", len(specs), err, Deployed)
		}
		return specs
	}
	before, after, changed := expand("8"), expand("9"), 0
	for i := range before {
		if !reflect.DeepEqual(before[i], after[i]) {
			changed++
		}
	}
	if changed != OfOne {
		t.Errorf("%d jobs have changed, want %d", changed, OfOne)
	}
}
