package jobspec

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
)

// expand returns the jobs of one file.
func expand(t *testing.T, text string) ([]api.JobSpec, error) {
	t.Helper()
	files := fstest.MapFS{"jobs/a.yml": {Data: []byte(text)}}
	set, err := definition.Load(files, []string{"jobs"}, definition.Options{Dialect: definition.Modern, Strict: true})
	if err != nil {
		t.Fatal(err)
	}
	return Translate(set, nil)
}

func TestWhatABuildRunsIn(t *testing.T) {
	specs, err := expand(t, `
- job:
    name: itest
    script: make itest
    image: build/go:1.26
    labels: [big]
    services:
      db: {image: "postgres:17", env: {POSTGRES_PASSWORD: x}, ready: pg_isready, command: [postgres, -F]}
      cache: {image: redis}
    cache: {modules: /go/pkg/mod, build: {path: /cache, limit: 2G}}
    resources: {cpus: 1.5, memory: 4G, pids: 500, disk: 512M}
`)
	if err != nil {
		t.Fatal(err)
	}
	specs[0].Origin = nil
	got, err := json.Marshal(specs[0])
	want := `{"name":"itest","image":"build/go:1.26","labels":["big"],` +
		`"services":[{"name":"cache","image":"redis"},{"name":"db","image":"postgres:17","command":["postgres","-F"],"env":{"POSTGRES_PASSWORD":"x"},"ready":"pg_isready"}],` +
		`"cache":{"build":"/cache","modules":"/go/pkg/mod"},"cacheMB":{"build":2048},"resources":{"cpus":1.5,"memoryMB":4096,"pids":500,"diskMB":512},"script":["make itest"]}`
	if err != nil || string(got) != want {
		t.Errorf("got\n%s, error %v; want\n%s", got, err, want)
	}
}

func TestWhatABuildCannotRunIn(t *testing.T) {
	for line, want := range map[string]string{
		`services: {db: {imge: x}}`:            `unknown field "imge" in the service db; did you mean "image"?`,
		`services: {db: {}}`:                   "the service db has no image",
		`services: {D_B: {image: x}}`:          `the name "D_B" of a service`,
		`cache: {go: go/pkg}`:                  `there is "go": "go/pkg"`,
		`cache: {go: "/go,ro"}`:                "without a comma or colon",
		`cache: {a: /x, b: /x}`:                `two keys of cache have the path "/x"`,
		`cache: {go: {limit: 2G}}`:             `there is "go": ""`,
		`cache: {go: {path: /x, limit: 2T}}`:   `the limit of go in cache must be a number of MiB or GiB as 512M or 4G, but is "2T"`,
		`cache: {go: {path: /x, size: 2G}}`:    `unknown field "size" in go in cache`,
		`image: Go Lang`:                       `"Go Lang" is no name of an image: write it like golang:1.26`,
		`resources: {memory: 4}`:               `memory must be a number of MiB or GiB as 512M or 4G, but is "4"`,
		`resources: {cpus: none}`:              `cpus must be a number over 0, but is "none"`,
		`resources: {memroy: 4G}`:              `unknown field "memroy" in resources; did you mean "memory"?`,
		`services: {db: {image: x}, db2: [1]}`: "the service db2 must be a map",
	} {
		_, err := expand(t, "- job:\n    name: a\n    script: 'true'\n    "+line+"\n")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "jobs/a.yml:4:") {
			t.Errorf("%s: got error %v, want %q with its line", line, err, want)
		}
	}
}
