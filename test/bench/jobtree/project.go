package jobtree

import (
	"fmt"
	"strings"
)

// The jobs of a project that is deployed: a part of them are of each template.
const (
	Deployed = owners * stages * kinds
	OfOne    = owners * stages

	owners = 50
	stages = 4
	kinds  = 5
)

// Project returns the files of a project that defines Deployed jobs in Landfall's
// own keys and the modern dialect, with a file for each template.
func Project() map[string]string {
	all := map[string]string{"README": "Jobs of many projects.\n"}
	var b strings.Builder
	for n := range owners {
		fmt.Fprintf(&b, "- project:\n    name: owner-%d\n    branch: release/%d\n    stage: [build, test, scan, publish]\n    jobs:\n", n, n%5)
		for k := range kinds {
			fmt.Fprintf(&b, "    - '{name}-kind-%d-{stage}'\n", k)
		}
	}
	all["jobs/owners.yml"] = b.String()
	for k := range kinds {
		all[fmt.Sprintf("jobs/kind-%d.yml", k)] = Kind(k, "8")
	}
	return all
}

// Changed is the file of the template that Kind(0, ...) makes.
const Changed = "jobs/kind-0.yml"

// Kind returns the file of one template, which names a version of a tool.
func Kind(k int, version string) string {
	return fmt.Sprintf(`- job-template:
    name: '{name}-kind-%d-{stage}'
    description: 'The {stage} of {name}'
    image: example/gradle:%s
    env: {OWNER: '{name}', BRANCH: '{branch}', STAGE: '{stage}'}
    timeout: 30
    script:
    - |
      set -eu
      git log -1 --format='%%H %%s'
      ./gradlew --version | grep ' %[2]s'
    - ./gradlew --no-daemon -Pstage={stage} -Powner={name} {stage}
    - test -z "$(git status --porcelain)"
    artifacts: ['build/{stage}/*.jar']
    reports: {junit: ['build/test-results/**/*.xml']}
    triggers: [timed: 'H H * * *']
`, k, version)
}
