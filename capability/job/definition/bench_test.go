package definition_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/capability/job/definition"
)

// largeTree returns a tree of 1,500 jobs with 20 steps each, of which many are
// the calls of macros with scripts in files.
func largeTree() fstest.MapFS {
	script := "#!/bin/bash -l\nset -eu\n" + strings.Repeat("echo \"${WORKSPACE:-none}\" | while read -r line; do test -n \"$line\"; done\n", 40)
	files := fstest.MapFS{}
	var b strings.Builder
	b.WriteString("- defaults: {name: global, build-node: small, days: 30, branch: main}\n")
	for m := range 20 {
		files[fmt.Sprintf("jobs/scripts/s%d.sh", m)] = &fstest.MapFile{Data: []byte(script)}
		fmt.Fprintf(&b, "- builder:\n    name: plain-%d\n    builders:\n    - shell: !include-raw-escape: scripts/s%d.sh\n", m, m)
		fmt.Fprintf(&b, "- builder:\n    name: with-%d\n    builders:\n    - inject: {properties-content: 'A={a}'}\n    - plain-%d\n    - shell: |\n        echo {a} {b|none} ${{HOME}}\n", m, m)
	}
	b.WriteString("- publisher:\n    name: logs\n    publishers:\n    - postbuildscript:\n        builders:\n        - role: BOTH\n          build-on: [SUCCESS, FAILURE]\n          build-steps: [plain-1: {x: y}]\n")
	for t := range 10 {
		fmt.Fprintf(&b, "- job-template:\n    name: '{project-name}-{stream}-t%d'\n    node: '{build-node}'\n    archive: '**/*.log'\n    parameters:\n    - string: {name: P, default: '{project-name}'}\n    builders:\n", t)
		for m := range 10 {
			fmt.Fprintf(&b, "    - with-%d: {a: '{project-name}', b: '{stream}'}\n    - plain-%d\n", m, m+10)
		}
		b.WriteString("    publishers: [logs]\n    triggers: [timed: 'H H * * *']\n")
	}
	for p := range 50 {
		fmt.Fprintf(&b, "- project:\n    name: p%d\n    project-name: 'proj-%d'\n    stream: [main: {branch: main}, stable: {branch: 'stable/{build-node}'}, old]\n    jobs:\n", p, p)
		for t := range 10 {
			fmt.Fprintf(&b, "    - '{project-name}-{stream}-t%d'\n", t)
		}
	}
	files["jobs/all.yaml"] = &fstest.MapFile{Data: []byte(b.String())}
	return files
}

func BenchmarkATreeOf1500JobsWith20StepsEach(b *testing.B) {
	files := largeTree()
	for _, dialect := range []definition.Dialect{definition.Modern, definition.Classic} {
		b.Run(string(dialect), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				set, err := definition.Load(files, []string{"jobs"}, definition.Options{Dialect: dialect})
				if err != nil {
					b.Fatal(err)
				}
				jobs, err := set.Jobs()
				if err != nil || len(jobs) != 1500 || len(jobs[0].Components["builders"]) != 40 || len(jobs[0].Errs) > 0 {
					b.Fatal(len(jobs), err, len(jobs[0].Components["builders"]), jobs[0].Errs)
				}
			}
		})
	}
}
