package jobs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
)

func TestACommandLineIsReadAsJenkinsJobsReadsIt(t *testing.T) {
	dir := t.TempDir()
	conf := "# a comment\n[jenkins]\nurl=http://localhost/\nrecursive=True\n[job_builder]\nInclude_Path: a:b\nexclude=old:*.bak\n  more\nallow_duplicates = on\n[other]\nretain_anchors=True\n"
	if err := os.WriteFile(filepath.Join(dir, "jjb.ini"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, line string
		want       arguments
	}{
		{"no configuration", "test d", arguments{
			paths: []string{"d"}, globs: []string{}, options: definition.Options{Exclude: []string{".*"}, IncludePath: []string{"."}},
		}},
		{"options anywhere", "--allow-empty-variables test a:b -r x* -xone:two --exclude=three -p plugins.yaml y", arguments{
			paths: []string{"a", "b"}, globs: []string{"x*", "y"}, options: definition.Options{
				Recursive: true, AllowEmptyVariables: true, Exclude: []string{"one", "two", "three"}, IncludePath: []string{"."},
			},
		}},
		{"options run together", "-l debug test -rx old d", arguments{
			paths: []string{"d"}, globs: []string{}, options: definition.Options{Recursive: true, Exclude: []string{"old"}, IncludePath: []string{"."}},
		}},
		{"a configuration", "--conf jjb.ini test d", arguments{
			paths: []string{"d"}, globs: []string{}, options: definition.Options{
				Recursive: true, AllowDuplicates: true, Exclude: []string{"old", "*.bak\nmore"}, IncludePath: []string{"a", "b"},
			},
		}},
	} {
		got, err := parseArguments(dir, strings.Fields(test.line))
		if err != nil || fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("%s: read as %+v, %v, want %+v", test.name, got, err, test.want)
		}
	}
}

func TestEqualChangesOfManyJobsAreToldOnce(t *testing.T) {
	p := api.JobPlan{Project: "web", Commit: "0123456789abcdef", Counts: api.JobChanges{Created: 1, Updated: 5}}
	p.Changes = append(p.Changes, api.JobEdit{Job: "new", Action: api.JobCreate})
	for i := range 5 {
		before, after := "set -e\necho %d\ngradle test\nend\n", "set -e\necho %d\ngradle clean test\nend\n"
		p.Changes = append(p.Changes, api.JobEdit{Job: fmt.Sprintf("job-%d", i), Action: api.JobUpdate, Fields: []api.FieldEdit{
			{Field: "image", Before: "gradle:8", After: "gradle:9"},
			{Field: "script", Before: fmt.Sprintf(before, i), After: fmt.Sprintf(after, i)},
		}})
	}
	p.Changes[1].Fields = append(p.Changes[1].Fields, api.FieldEdit{Field: "env.LEVEL", After: "2"})
	want := []string{
		"+ create  new",
		"~ update  image: gradle:8 -> gradle:9 in 5 jobs: job-0, job-1, job-2, ...",
		"~ update  script in 5 jobs: job-0, job-1, job-2, ...",
		"    - gradle test",
		"    + gradle clean test",
		"~ update  env.LEVEL: nothing -> 2 in job-0",
		"web at 0123456789ab: 1 created, 5 updated, 0 deleted, 0 unchanged",
	}
	if got := describe(p); !slices.Equal(got, want) {
		t.Errorf("the plan is told as\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
