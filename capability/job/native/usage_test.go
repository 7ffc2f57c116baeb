package native

import (
	"strings"
	"testing"
)

// TestWhatRealTreesUse takes the types of components that the trees of fourteen
// projects, with 9,704 jobs, use most, with the arguments that occur there. What
// is expected is what is missing: nothing of a type that runs as in Jenkins.
func TestWhatRealTreesUse(t *testing.T) {
	const none = ""
	types := []struct{ name, job, missing string }{
		// Builders.
		{"shell", "builders: [{shell: make}, {shell: {command: make, unstable-return: 2}}]", none},
		{"inject", "builders: [inject: {properties-file: a.properties, properties-content: 'A=1'}]", none},
		{"conditional-step", `builders:
  - conditional-step: {condition-kind: regex-match, regex: '^rel.*$', label: $BRANCH, on-evaluation-failure: dont-run, steps: [shell: a]}
  - conditional-step: {condition-kind: boolean-expression, condition-expression: $X, on-evaluation-failure: run, steps: [shell: a]}
  - conditional-step: {condition-kind: shell, condition-command: test -e a, steps: [shell: a]}
  - conditional-step: {condition-kind: strings-match, condition-string1: $A, condition-string2: b, condition-case-insensitive: true, steps: [shell: a]}
  - conditional-step: {condition-kind: file-exists, condition-filename: a, condition-basedir: workspace, steps: [shell: a]}
  - conditional-step: {condition-kind: current-status, condition-worst: FAILURE, condition-best: SUCCESS, steps: [shell: a]}
  - conditional-step:
      condition-kind: and
      condition-operands:
        - {condition-kind: not, condition-operand: {condition-kind: always}}
        - {condition-kind: or, condition-operands: [{condition-kind: always}, {condition-kind: never}]}
      steps: [shell: a]`, none},
		{"description-setter", "builders: [description-setter: {regexp: '^V (.*)', description: 'v \\1'}]", none},
		{"config-file-provider", "builders: [config-file-provider: {files: [{file-id: settings, variable: SETTINGS, target: a/}]}]", none},
		{"maven-target", "builders: [maven-target: {maven-version: mvn3, goals: clean install -B, pom: pom.xml, properties: [a=b], java-opts: [-Xmx1g], settings: s, settings-type: cfp, global-settings: g, global-settings-type: cfp}]", none},
		{"trigger-builds", `builders:
  - trigger-builds:
      - {project: 'a,b', block: true, current-parameters: true, predefined-parameters: "A=1", property-file: p, git-revision: true, same-node: true,
         block-thresholds: {build-step-failure-threshold: never, failure-threshold: FAILURE, unstable-threshold: UNSTABLE}, bool-parameters: [{name: F, value: true}]}
      - {project: c, parameter-factories: [{factory: filebuild, file-pattern: x.properties}]}`, none},
		{"copyartifact", "builders: [copyartifact: {project: a, filter: '**/*.rpm', target: in, flatten: true, optional: true, which-build: last-successful, stable: true, do-not-fingerprint: true}]", none},
		{"multijob", `{project-type: multijob, builders: [multijob: {name: all, condition: SUCCESSFUL, projects: [
      {name: a, current-parameters: true, git-revision: true}, {name: b, predefined-parameters: "A=1", property-file: p, abort-all-job: true}]}]}`, none},
		{"gradle", "builders: [gradle: {gradle-name: g, wrapper: true, executable: true, use-root-dir: true, root-build-script-dir: a, tasks: build, switches: [-g, x]}]", none},
		{"nexus-iq-policy-evaluator", "builders: [nexus-iq-policy-evaluator: {stage: build, application-type: manual, application-id: a}]", "without builders: nexus-iq-policy-evaluator no policy of Nexus is asked"},
		{"sonar", "builders: [sonar: {sonar-name: s, properties: sonar.projectKey=a}]", "cannot builders: sonar a build has no network to reach Sonar's server by: name the report-task.txt of a scanner in reports, as sonar"},
		{"system-groovy", "builders: [system-groovy: {command: println}]", "cannot builders: system-groovy it is in Groovy, which nothing here runs"},
		{"batch", "builders: [batch: dir]", "cannot builders: batch it is for Windows"},
		// Triggers.
		{"gerrit", `triggers:
  - gerrit:
      server-name: g
      trigger-on: [patchset-created-event: {exclude-drafts: true}, draft-published-event, change-merged-event, ref-updated-event]
      projects:
        - {project-compare-type: ANT, project-pattern: 'a/**', branches: [{branch-compare-type: REG_EXP, branch-pattern: 'rel.*'}],
           file-paths: [{compare-type: ANT, pattern: 'b/**'}], forbidden-file-paths: [{compare-type: PLAIN, pattern: c}]}
      skip-vote: {successful: true, failed: true, unstable: true, notbuilt: true}
      silent: true
      custom-url: http://x
      dependency-jobs: 'a, b'`, none},
		{"gerrit, by comments", "triggers: [gerrit: {trigger-on: [comment-added-contains-event: {comment-contains-value: recheck}, comment-added-event: {approval-category: V}]}]",
			"without triggers: gerrit the event comment-added-contains-event starts nothing: a run is started again on its page, or by the comment recheck\nwithout triggers: gerrit the event comment-added-event starts nothing: a run is started again on its page, or by the comment recheck"},
		{"timed", "triggers: [timed: \"TZ=Europe/Berlin\\nH H(0-3) * * 1-5\\n@daily\"]", none},
		{"pollscm", "triggers: [pollscm: {cron: 'H/15 * * * *', ignore-post-commit-hooks: true}]", none},
		{"pollscm, in short", "triggers: [pollscm: 'H/15 * * * *']", none},
		{"github-pull-request", "triggers: [github-pull-request: {org-list: [a], white-list: [b], admin-list: [c], cron: H * * * *, github-hooks: true, permit-all: true, auto-close-on-fail: false, white-list-target-branches: [main], cancel-builds-on-update: true, status-context: x}]", none},
		{"github-pull-request, by comments", "triggers: [github-pull-request: {only-trigger-phrase: true, trigger-phrase: jenkins test}]",
			"without triggers: github-pull-request the argument trigger-phrase is not carried out\nwithout triggers: github-pull-request comments start nothing: build it with landfall job try --change"},
		{"reverse", "triggers: [reverse: {jobs: 'a,b', result: success}]", none},
		{"github", "triggers: [github]", none},
		// Publishers.
		{"postbuildscript", `publishers:
  - postbuildscript:
      builders:
        - {role: SLAVE, build-on: [SUCCESS, UNSTABLE, FAILURE, ABORTED, NOT_BUILT], build-steps: [shell: a]}
      mark-unstable-if-failed: true`, none},
		{"workspace-cleanup", "publishers: [workspace-cleanup: {include: ['**'], exclude: [a], fail-build: false, clean-if: [success: true], dirmatch: true}]", none},
		{"email-ext", "publishers: [email-ext: {recipients: a@example.org, subject: '$PROJECT_NAME', body: '${ENV, var=\"A\"}', content-type: html, send-to: [recipients, requester], failure: true, fixed: true, always: false, reply-to: b@example.org}]", none},
		{"archive", "publishers: [archive: {artifacts: 'a/**, b', excludes: c, allow-empty: true, latest-only: false, fingerprint: true, only-if-success: true, default-excludes: true, case-sensitive: true}]", none},
		{"description-setter, after", "publishers: [description-setter: {regexp: '^V (.*)', description: x, set-for-matrix: false}]", none},
		{"junit", "publishers: [junit: {results: '**/*.xml', keep-long-stdio: true, allow-empty-results: true, test-stability: true, health-scale-factor: 1.0, claim-build: true}]", none},
		{"trigger-parameterized-builds", "publishers: [trigger-parameterized-builds: [{project: a, condition: UNSTABLE_OR_BETTER, predefined-parameters: A=1, property-file: p, fail-on-missing: true, current-parameters: true, trigger-with-no-params: true, git-revision: true}]]", none},
		{"trigger", "publishers: [trigger: {project: a, threshold: SUCCESS}]", none},
		{"post-tasks", "publishers: [post-tasks: [{matches: [{log-text: Building, operator: AND}], escalate-status: true, run-if-job-successful: true, script: a}]]", none},
		{"email", "publishers: [email: {recipients: a@example.org, notify-every-unstable-build: true, send-to-individuals: true}]", none},
		{"slack", "publishers: [slack: {room: '#a', team-domain: t, auth-token-id: x, notify-failure: true, notify-back-to-normal: true, include-custom-message: true, custom-message: hi}]", none},
		{"cobertura", "publishers: [cobertura: {report-file: coverage.xml, only-stable: true, zoom-coverage-chart: true}]", none},
		{"findbugs", "publishers: [findbugs: {pattern: '**/findbugsXml.xml', can-run-on-failed: true, rank-priority: true}]", none},
		{"checkstyle", "publishers: [checkstyle: {pattern: '**/checkstyle-result.xml', can-run-on-failed: true, healthy: 0}]", none},
		{"jacoco", "publishers: [jacoco: {exec-pattern: '**/*.exec', class-pattern: '**/classes', source-pattern: '**/java', status-update: false}]", "without publishers: jacoco its binary reports are kept, but not read: let it write XML and name that in reports, as coverage"},
		{"tap", "publishers: [tap: {results: '**/*.tap', todo-is-failure: false, fail-if-no-results: true}]", none},
		{"robot", "publishers: [robot: {output-path: reports, output-xml: out.xml, other-files: [a.png], log-file-link: log.html, only-critical: false}]", none},
		{"naginator", "publishers: [naginator: {rerun-unstable-builds: true, fixed-delay: 60, max-failed-builds: 3, regular-expression: timed out}]", none},
		{"ircbot", "publishers: [ircbot: {strategy: failure-and-fixed, channels: [{name: '#a'}], message-type: summary-scm, matrix-notifier: only-parent}]", "without publishers: ircbot nobody is told on IRC: it is told in the chat, in a channel of the same name"},
		{"html-publisher", "publishers: [html-publisher: {name: r, dir: docs/html, files: index.html, keep-all: true, allow-missing: true, link-to-last-build: true}]", "without publishers: html-publisher they are kept as files, and not shown as pages"},
		{"raw", "publishers: [raw: {xml: <a/>}]", "without publishers: raw raw XML for Jenkins"},
		// Wrappers.
		{"ssh-agent-credentials", "wrappers: [ssh-agent-credentials: {users: [a, b]}, ssh-agent-credentials: {user: c}]", none},
		{"timeout", "wrappers: [timeout: {timeout: 60, timeout-var: T, fail: true, abort: true, write-description: x, type: absolute}]", none},
		{"timeout, of silence", "wrappers: [timeout: {timeout: 30, type: no-activity}]", none},
		{"timestamps", "wrappers: [timestamps]", none},
		{"openstack", "wrappers: [openstack: {single-use: true}]", none},
		{"config-file-provider, around", "wrappers: [config-file-provider: {files: [{file-id: npmrc, target: $HOME/.npmrc}, {file-id: pip.conf, variable: PIP}]}]", none},
		{"mask-passwords", "wrappers: [mask-passwords]", none},
		{"ansicolor", "wrappers: [ansicolor: {colormap: xterm}]", none},
		{"credentials-binding", `wrappers:
  - credentials-binding:
      - text: {credential-id: a, variable: A}
      - file: {credential-id: b, variable: B}
      - username-password-separated: {credential-id: c, username: U, password: P}
      - username-password: {credential-id: d, variable: D}
      - ssh-user-private-key: {credential-id: e, key-file-variable: K, username-variable: KU, passphrase-variable: KP}`, none},
		{"inject-passwords", "wrappers: [inject-passwords: {global: true, mask-password-params: true, job-passwords: [{name: A, password: '{x}'}]}]",
			"without wrappers: inject-passwords those that Jenkins' settings have are not known here: name them with credentials-binding"},
		{"workspace-cleanup, before", "wrappers: [workspace-cleanup: {include: ['**'], dirmatch: true}]", none},
		{"inject, around", "wrappers: [inject: {properties-content: A=1, properties-file: p, script-content: make}]", none},
		{"build-name", "wrappers: [build-name: {name: '${BUILD_NUMBER} ${ENV,var=\"A\"}'}]", none},
		{"raw, around", "wrappers: [raw: {xml: <a/>}]", "without wrappers: raw raw XML for Jenkins"},
		// Parameters.
		{"string", "parameters: [string: {name: A, default: b, description: c, trim: true}]", none},
		{"label", "parameters: [label: {name: A, default: b, matching-label: allCases, node-eligibility: all}]", none},
		{"bool", "parameters: [bool: {name: A, default: true, description: c}]", none},
		{"choice", "parameters: [choice: {name: A, choices: [a, b], description: c}]", none},
		{"text", "parameters: [text: {name: A, default: b, description: c}]", none},
		{"password", "parameters: [password: {name: A, default: b, description: c}]", none},
		{"random-string", "parameters: [random-string: {name: A, description: c, failed-validation-message: d}]", none},
		{"node", "parameters: [node: {name: A, default-slaves: [a], allowed-slaves: [b], ignore-offline-nodes: true, allowed-multiselect: false}]", none},
		// Sources.
		{"git", "scm: [git: {url: u, refspec: $GERRIT_REFSPEC, branches: [$GERRIT_BRANCH], choosing-strategy: gerrit, basedir: src, shallow-clone: true, skip-tag: true, wipe-workspace: true, credentials-id: c, timeout: 20, per-build-tag: false, clean: {before: true}}]", none},
		{"git with submodules", "scm: [git: {url: u, submodule: {recursive: true, timeout: 10}}]", "without scm: git submodules are not fetched"},
		// Properties.
		{"build-discarder", "properties: [build-discarder: {days-to-keep: 30, num-to-keep: 40, artifact-days-to-keep: 5}]", none},
		{"build-blocker", "properties: [build-blocker: {use-build-blocker: true, blocking-jobs: [a.*, b], block-level: GLOBAL, queue-scanning: ALL}]", none},
		{"heavy-job", "properties: [heavy-job: {weight: 2}]", "without properties: heavy-job how much room it takes: say what it uses, in resources"},
		{"inject, of the job", "properties: [inject: {properties-content: A=1, keep-system-variables: true, keep-build-variables: true, override-build-parameters: false}]", none},
		{"github, of the job", "properties: [github: {url: u}]", none},
		{"throttle", "properties: [throttle: {enabled: true, max-total: 2, option: project, matrix-builds: true}]", none},
		{"throttle, on a host", "properties: [throttle: {max-per-node: 1, option: category, categories: [c]}]", "without properties: throttle max-per-node: how many run on one host is not limited, but how many in all is"},
		{"authorization", "properties: [authorization: {a: [job-read]}]", "without properties: authorization who may see and start it: the roles of Landfall say that"},
		{"raw, of the job", "properties: [raw: {xml: <a/>}]", "without properties: raw raw XML for Jenkins"},
	}
	for _, x := range types {
		_, missing := Translate(job(t, x.job))
		var got []string
		for _, m := range missing {
			got = append(got, string(m.Severity)+" "+m.Component+" "+m.Reason)
		}
		if strings.Join(got, "\n") != x.missing {
			t.Errorf("%s: missing is\n%s\nwant\n%s", x.name, strings.Join(got, "\n"), x.missing)
		}
	}
}
