// Package jobtree makes a tree of job definitions for measurements, of the shape
// that large trees in the world have: macros for all that jobs share, with
// scripts in files, templates that call these, groups of templates, and a file
// for each project, which lists a group and its streams.
//
// The tree is in the classic dialect. That of research is what most of 9,704
// jobs of 14 public repositories use: string parameters, git, triggers by Gerrit
// and by time, a timeout, shell steps out of few scripts, conditional steps,
// injected variables, scripts after the build, archived files.
package jobtree

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Jobs is how many jobs the tree makes, of which each template makes one for
// each stream of each project.
const Jobs = projects * templates * streams

const (
	projects  = 50
	templates = 10
	streams   = 3
	scripts   = 40
)

// Template is the file of the first template; Step is a line in it that can be
// changed, with a change for the jobs of this template only.
const Template = "jobs/templates/t0.yaml"

// Write writes the tree into dir, as the folder jobs.
func Write(dir string) error {
	for name, text := range files() {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func files() map[string]string {
	all := map[string]string{"jobs/macros.yaml": macros + builders(), "jobs/defaults.yaml": defaults}
	for n := range scripts {
		all[fmt.Sprintf("jobs/scripts/s%d.sh", n)] = script(n)
	}
	var group strings.Builder
	group.WriteString("- job-group:\n    name: '{project-name}-all'\n    jobs:\n")
	for n := range templates {
		all[fmt.Sprintf("jobs/templates/t%d.yaml", n)] = template(n)
		fmt.Fprintf(&group, "    - '{project-name}-t%d-{stream}'\n", n)
	}
	all["jobs/groups.yaml"] = group.String()
	for n := range projects {
		all[fmt.Sprintf("jobs/projects/p%d.yaml", n)] = project(n)
	}
	return all
}

const defaults = `- defaults:
    name: global
    build-node: ubuntu-small
    build-timeout: 60
    days: 30
    git-url: ssh://gerrit.example.org:29418
    refspec: ''
    settings: global-settings
    mvn-goals: clean install
    archive: '**/target/surefire-reports/*-output.txt'
    cron: '@daily'
`

const macros = `- parameter:
    name: build-parameters
    parameters:
    - string: {name: PROJECT, default: '{project}', description: 'The project that is built'}
    - string: {name: STREAM, default: '{stream}', description: 'Its stream'}
    - string: {name: GERRIT_BRANCH, default: '{branch}', description: 'The branch to build'}
    - string: {name: GERRIT_REFSPEC, default: 'refs/heads/{branch}', description: 'What to fetch'}
    - string: {name: SETTINGS_FILE, default: '{settings}', description: 'The settings of Maven'}
    - string: {name: ARCHIVE_ARTIFACTS, default: '{archive}', description: 'What is kept'}
    - bool: {name: DRY_RUN, default: false, description: 'Do not publish'}

- scm:
    name: gerrit-trigger-scm
    scm:
    - git:
        url: '{git-url}/{project}'
        credentials-id: jenkins-ssh
        refspec: '{refspec}'
        branches: ['origin/{branch}']
        skip-tag: true
        wipe-workspace: true
        submodule: {recursive: true, timeout: 10}
        choosing-strategy: '{strategy}'

- wrapper:
    name: build-wrappers
    wrappers:
    - timestamps
    - mask-passwords
    - timeout: {type: absolute, timeout: '{build-timeout}', timeout-var: BUILD_TIMEOUT, fail: true}
    - ssh-agent-credentials: {users: [jenkins-ssh]}
    - credentials-binding:
      - text: {credential-id: release-token, variable: RELEASE_TOKEN}

- trigger:
    name: gerrit-patches
    triggers:
    - gerrit:
        server-name: review
        trigger-on:
        - patchset-created-event: {exclude-drafts: true, exclude-no-code-change: true}
        - comment-added-contains-event: {comment-contains-value: '^Patch Set\s+\d+:\s+(recheck|reverify)\s*$'}
        projects:
        - project-compare-type: ANT
          project-pattern: '{project}'
          branches:
          - {branch-compare-type: ANT, branch-pattern: '**/{branch}'}
          file-paths:
          - {compare-type: ANT, pattern: '{files}'}
        skip-vote: {successful: false, failed: false, unstable: false, notbuilt: true}

- publisher:
    name: build-logs
    publishers:
    - postbuildscript:
        builders:
        - role: BOTH
          build-on: [ABORTED, FAILURE, NOT_BUILT, SUCCESS, UNSTABLE]
          build-steps:
          - shell: !include-raw-escape: scripts/s0.sh
          - description-setter: {regexp: '^Build logs: .*'}
        mark-unstable-if-failed: true
    - archive: {artifacts: '{archive}', allow-empty: true, fingerprint: false}
    - junit: {results: '**/target/surefire-reports/*.xml', allow-empty-results: true}
    - email-ext: {recipients: '{email}', failure: true, fixed: true, subject: '{project} failed on {stream}'}
    - workspace-cleanup: {fail-build: false, dirmatch: true}

- property:
    name: build-properties
    properties:
    - build-discarder: {days-to-keep: '{days}', num-to-keep: 100, artifact-days-to-keep: '{days}'}
    - throttle: {max-per-node: 1, max-total: 10, option: project}
    - inject: {properties-content: "SILO=production\nPROJECT={project}"}

`

// builders returns a macro for each script: a third of them take arguments, a
// third run their step under a condition.
func builders() string {
	var b strings.Builder
	for n := range scripts {
		fmt.Fprintf(&b, "- builder:\n    name: step-%d\n    builders:\n", n)
		switch n % 3 {
		case 0:
			// Without arguments a macro is not formatted: its braces are single.
			fmt.Fprintf(&b, "    - shell: !include-raw: scripts/s%d.sh\n", n)
		case 1:
			fmt.Fprintf(&b, "    - inject: {properties-content: \"STEP=%d\\nGOALS={goals}\\nSTREAM={stream}\"}\n"+
				"    - shell: !include-raw-escape: scripts/s%d.sh\n    - inject: {properties-file: 'step-%d.properties'}\n", n, n, n)
		default:
			fmt.Fprintf(&b, "    - conditional-step:\n        condition-kind: regex-match\n        regex: '^{pattern}$'\n        label: '${{STREAM}}'\n"+
				"        on-evaluation-failure: dont-run\n        steps:\n        - shell: !include-raw-escape: scripts/s%d.sh\n", n)
		}
	}
	return b.String()
}

// script is a script of 20 to 90 lines, as those that are shared.
func script(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#!/bin/bash\n# Step %d of the build.\nset -xe -o pipefail\n\nfail() {\n    echo \"${1:-unknown}\" >&2\n    exit 1\n}\n", n)
	for line := range 5 + n/2 {
		fmt.Fprintf(&b, "if [ -n \"${SETTING_%d_%d:-}\" ]; then\n    \"$WORKSPACE\"/tools/run --step %d --log \"${LOGS:-logs}/%d.log\" || fail \"step %d\"\nfi\n", n, line, line, line, n)
	}
	return b.String()
}

// template makes the template n, which calls 20 of the steps.
func template(n int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `- job-template:
    name: '{project-name}-t%d-{stream}'
    project-type: freestyle
    concurrent: true
    node: '{build-node}'
    description: 'Kind %[1]d of {project}'
    properties:
    - build-properties: {project: '{project}', days: '{days}'}
    parameters:
    - build-parameters: {project: '{project}', stream: '{stream}', branch: '{branch}', settings: '{settings}', archive: '{archive}'}
    - string: {name: JAVA_OPTS, default: '{java-opts}', description: 'Options of Java'}
    scm:
    - gerrit-trigger-scm: {git-url: '{git-url}', project: '{project}', branch: '{branch}', refspec: '$GERRIT_REFSPEC', strategy: gerrit}
    wrappers:
    - build-wrappers: {build-timeout: '{build-timeout}'}
    triggers:
    - timed: '{cron}'
    - gerrit-patches: {project: '{project}', branch: '{branch}', files: '{files}'}
    publishers:
    - build-logs: {archive: '{archive}', email: '{email}', project: '{project}', stream: '{stream}'}
    builders:
`, n)
	for k := range 20 {
		switch step := (n*4 + k) % scripts; step % 3 {
		case 0:
			fmt.Fprintf(&b, "    - step-%d\n", step)
		case 1:
			fmt.Fprintf(&b, "    - step-%d: {goals: '{mvn-goals}', stream: '{stream}'}\n", step)
		default:
			fmt.Fprintf(&b, "    - step-%d: {pattern: '{stream}'}\n", step)
		}
	}
	fmt.Fprintf(&b, "    - shell: |\n        echo \"{project} {stream} {branch}\"\n        ./kind-%d.sh --goals '{mvn-goals}' --home \"${{HOME}}\"\n", n)
	return b.String()
}

func project(n int) string {
	return fmt.Sprintf(`- project:
    name: 'project-%d'
    project-name: 'team-%d-project-%[1]d'
    project: 'team-%[2]d/project-%[1]d'
    email: 'team-%[2]d@example.org'
    mvn-goals: 'clean install -P project-%[1]d'
    java-opts: '-Xmx1024m'
    files: 'src/**'
    stream:
    - main: {branch: master}
    - stable: {branch: 'stable/%[1]d'}
    - next: {branch: 'next', build-timeout: 90}
    jobs:
    - '{project-name}-all'
`, n, n%7)
}
