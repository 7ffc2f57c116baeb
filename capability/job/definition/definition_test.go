package definition_test

import (
	"encoding/json"
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/jobspec"
)

var update = flag.Bool("update", false, "write the golden files")

// expand returns the jobs of one file, jobs/a.yml.
func expand(text string) ([]api.JobSpec, error) {
	fsys := fstest.MapFS{"jobs/a.yml": {Data: []byte(text)}}
	set, err := definition.Load(fsys, []string{"jobs"}, definition.Options{Strict: true})
	if err != nil {
		return nil, err
	}
	return jobspec.Translate(set, nil)
}

// summary returns each job as "name: its steps", the steps joined by "; ".
func summary(jobs []api.JobSpec) []string {
	var all []string
	for _, j := range jobs {
		all = append(all, j.Name+": "+strings.Join(j.Script, "; "))
	}
	return all
}

type example struct {
	name string
	text string
	want []string
}

func check(t *testing.T, examples []example) {
	t.Helper()
	for _, e := range examples {
		t.Run(e.name, func(t *testing.T) {
			jobs, err := expand(e.text)
			if err != nil {
				t.Fatalf("expand: %v\nin\n%s", err, e.text)
			}
			if got := summary(jobs); !slices.Equal(got, e.want) {
				t.Errorf("expand gave\n  %q\nwant\n  %q\nfor\n%s", got, e.want, e.text)
			}
		})
	}
}

// A realistic project: one template makes many jobs.
func TestProjectLedgerExpandsToItsGoldenFile(t *testing.T) {
	set, err := definition.Load(os.DirFS("testdata/ledger"), []string{"jobs"}, definition.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := jobspec.Translate(set, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.MarshalIndent(jobs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	golden := filepath.Join("testdata", "ledger", "golden.json")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the jobs of testdata/ledger are not those of %s (-update writes it), but\n%s", golden, got)
	}
}

func TestLoadReadsOnlyYAMLFilesDirectlyInTheFolder(t *testing.T) {
	fsys := fstest.MapFS{
		"jobs/a.yaml":     {Data: nil},
		"jobs/b.yml":      {Data: []byte("# nothing\n")},
		"jobs/c.yaml":     {Data: []byte("- job: {name: c}")},
		"jobs/e.json":     {Data: []byte(`[{"job": {"name": "e"}}]`)},
		"jobs/sub/d.yaml": {Data: []byte("- job: {name: d}")},
	}
	set, err := definition.Load(fsys, []string{"jobs"}, definition.Options{Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := jobspec.Translate(set, nil)
	if got := summary(jobs); err != nil || !slices.Equal(got, []string{"c: "}) {
		t.Errorf("Load and Expand gave %q, %v, want only job c", got, err)
	}
}

func TestLoadOfAFolderThatIsNotThere(t *testing.T) {
	_, err := definition.Load(fstest.MapFS{}, []string{"jobs"}, definition.Options{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Load gave %v, want fs.ErrNotExist", err)
	}
}

func TestOriginIsProjectThenTemplate(t *testing.T) {
	jobs, err := expand("- job-template: {name: '{name}-j'}\n- project: {name: p, jobs: ['{name}-j']}\n- job: {name: x}\n")
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"jobs/a.yml:2", "jobs/a.yml:1"}; !slices.Equal(jobs[0].Origin, want) {
		t.Errorf("Origin of %s is %q, want %q", jobs[0].Name, jobs[0].Origin, want)
	}
	if want := []string{"jobs/a.yml:3"}; !slices.Equal(jobs[1].Origin, want) {
		t.Errorf("Origin of %s is %q, want %q", jobs[1].Name, jobs[1].Origin, want)
	}
}

func TestAllFieldsOfAJob(t *testing.T) {
	jobs, err := expand(`
- job:
    name: all
    description: what it does
    image: alpine:3
    script: [one, two]
    env: {A: text, B: 8080, C: '{{x}}'}
    timeout: 1h30m
    artifacts: ['out/**/*.xml']
    pack:
      repository: all
      base: alpine@sha256:00
      files: {out/all: /bin/all}
      entrypoint: [/bin/all, -v]
      env: {D: d}
`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(jobs[0])
	if err != nil {
		t.Fatal(err)
	}
	want := `{"name":"all","description":"what it does","image":"alpine:3","script":["one","two"],` +
		`"env":{"A":"text","B":"8080","C":"{x}"},"timeoutSeconds":5400,"artifacts":["out/**/*.xml"],` +
		`"pack":{"repository":"all","base":"alpine@sha256:00","files":{"out/all":"/bin/all"},` +
		`"entrypoint":["/bin/all","-v"],"env":{"D":"d"}},"origin":["jobs/a.yml:2"]}`
	if string(got) != want {
		t.Errorf("the job is\n%s\nwant\n%s", got, want)
	}
}
