package native

// no is a type that jobs cannot run with, left one that they run without.
func no(why string) kind   { return kind{support: CannotRun, note: why} }
func left(why string) kind { return kind{support: LeftOut, note: why} }

// Reasons that several types have.
const (
	groovy    = "it is in Groovy, which nothing here runs"
	windows   = "it is for Windows"
	analysis  = "its report is not read: keep it with archive, or name it in reports as SARIF"
	chat      = "nobody is told there but by Landfall's own notices"
	elsewhere = "nothing is sent there"
	secrets   = "it is kept elsewhere: set it with landfall secret set, and name it with credentials-binding"
	pipelines = "nothing here reacts on it: a pipeline.star says what is built when"
	look      = "it only changes a page of Jenkins"
)

var free = kind{support: Free}

// lint is a type that reads what an analyser reports about the sources.
func lint(pattern, also string) kind {
	return kind{
		support: Runs, takes: "pattern", do: func(t *translation, a args) { findings(t, a, pattern) },
		free: also + " can-run-on-failed should-detect-modules default-encoding health-threshold healthy unhealthy use-delta-values use-previous-build-as-reference " +
			"use-stable-build-as-reference dont-compute-new use-delta-for-new-warnings do-not-resolve-relative-paths run-always",
		lacks: "thresholds",
	}
}

// types are all types of components that are known, by the list of a job that
// they stand in.
var types map[string]map[string]kind

func init() { // what is done about some types looks others up
	types = map[string]map[string]kind{
		"builders":      builderTypes,
		"publishers":    publisherTypes,
		"wrappers":      wrapperTypes,
		"parameters":    parameterTypes,
		"properties":    propertyTypes,
		"triggers":      triggerTypes,
		"scm":           scmTypes,
		"reporters":     {"email": {support: Runs, takes: "recipients notify-every-unstable-build send-to-individuals", free: "notify-for-each-module", do: email}},
		"notifications": {"http": left(elsewhere)},
	}
}

var builderTypes = map[string]kind{
	"fingerprint": free, "github-notifier": left(elsewhere), "build-name-setter": left("a name that is read from a file: use the wrapper build-name"),
	"publish-over-ssh": no(elsewhere), "publish-over-cifs": no(elsewhere), "ssh-builder": no(elsewhere), "http-request": no("a build has no network"), "builders-from": no("the steps of another job: use a macro"),
	"shell":  {support: Runs, takes: "command unstable-return"},
	"python": {support: Runs},
	"inject": {support: Runs, takes: "properties-file properties-content script-file script-content"},
	"conditional-step": {support: Runs, takes: conditionArgs + " on-evaluation-failure steps",
		lacks: otherConditions},
	"description-setter": {support: Runs, takes: "regexp description"},
	"copyartifact": {support: Runs, takes: "project filter target flatten optional which-build build-number param exclude",
		free: "do-not-fingerprint stable fallback-to-last-successful", lacks: "permalink upstream-project-name upstream-build-number parameter-filters result-var-suffix"},
	"maven-target": {support: Runs, takes: "goals properties pom private-repository java-opts settings settings-type global-settings global-settings-type",
		free: "maven-version"},
	"gradle": {support: Runs, takes: "tasks wrapper executable switches root-build-script-dir build-file",
		free: "gradle-name use-root-dir", lacks: "pass-system-properties pass-project-properties"},
	"ant": {support: Runs, takes: "targets buildfile properties java-opts", free: "ant-name"},
	"trigger-builds": {support: Runs, takes: "project predefined-parameters bool-parameters current-parameters block block-thresholds property-file property-file-fail-on-missing parameter-factories",
		free:  "same-node git-revision",
		lacks: "node-label-name node-label restrict-matrix-project svn-revision"},
	"config-file-provider": {support: Runs, takes: "files"},
	"critical-block-start": free, // the whole build holds what the wrapper exclusion names
	"critical-block-end":   free,
	"batch":                no(windows), "powershell": no(windows), "managed-script": no("the script is kept in Jenkins: put it among the sources"),
	"groovy": no(groovy), "system-groovy": no(groovy), "dsl": no(groovy),
	"multijob":                  {support: Runs, takes: "name condition execution-type projects"},
	"sonar":                     no("a build has no network to reach Sonar's server by: name the report-task.txt of a scanner in reports, as sonar"),
	"nexus-iq-policy-evaluator": left("no policy of Nexus is asked"), "nexus-artifact-uploader": left(elsewhere),
	"docker-build-publish": no("a build has no Docker: use pack to make an image"),
	"raw":                  no("raw XML for Jenkins"),
}

var publisherTypes = map[string]kind{
	"chuck-norris": free, "emotional-jenkins": free, "sounds": free, "cigame": free, "rich-text-publisher": left(look), "coverage": left(analysis), "cppcheck": left(analysis),
	"jira": left(elsewhere), "phabricator": left(elsewhere), "rocket": left(chat), "zulip": left(chat), "campfire": left(chat), "javadoc": left("it is not shown as pages: keep it with archive"), "doxygen": left("it is not shown as pages: keep it with archive"),
	"postbuildscript": {support: Runs, takes: "generic-script groovy groovy-script builders mark-unstable-if-failed onsuccess onfailure script-only-if-succeeded script-only-if-failed",
		free: "execute-on", do: postbuild},
	"post-tasks":         {support: Runs, takes: "matches escalate-status run-if-job-successful script", do: postTasks},
	"archive":            {support: Runs, takes: "artifacts excludes allow-empty only-if-success", free: "latest-only fingerprint default-excludes case-sensitive follow-symlinks", do: archive},
	"description-setter": {support: Runs, takes: "regexp description", free: "set-for-matrix", lacks: "regexp-for-failed description-for-failed", do: describeAfter},
	"junit": {support: Runs, takes: "results", free: "keep-long-stdio health-scale-factor allow-empty-results skip-publishing-checks test-stability claim-build measurement-plots flaky-test-reports",
		lacks: "skip-marking-build-unstable junit-attachments", do: junit},
	"cobertura": {support: Runs, takes: "report-file", free: "only-stable health-auto-update stability-auto-update zoom-coverage-chart source-encoding fail-no-reports",
		lacks: "fail-unhealthy fail-unstable targets", do: cobertura},
	"workspace-cleanup": free,
	"fingerprint":       free,
	"trigger-parameterized-builds": {support: Runs, takes: "project predefined-parameters boolean-parameters current-parameters property-file fail-on-missing condition", do: triggerParameterized,
		free: "property-multiline combine-queued-commits include-upstream file-encoding trigger-with-no-params git-revision",
		lacks: "node-parameters svn-revision trigger-from-child-projects use-matrix-child-files matrix-child-combination-filter " +
			"only-exact-matrix-child-runs restrict-matrix-project node-label-name node-label parameter-factories"},
	"trigger": {support: Runs, takes: "project threshold", do: triggerAfter},
	"email":   {support: Runs, takes: "recipients notify-every-unstable-build send-to-individuals", do: email},
	"email-ext": {support: Runs, do: emailExt,
		takes: "recipients subject body content-type send-to disable-publisher always success failure unstable aborted fixed first-failure second-failure still-failing first-unstable still-unstable " +
			"regression improvement status-changed",
		free:  "reply-to from save-output matrix-trigger not-built",
		lacks: "attach-build-log compress-log attachments pre-build presend-script postsend-script"},
	"slack": {support: Runs, do: slack,
		takes: "room notify-success notify-failure notify-every-failure notify-repeated-failure notify-unstable notify-aborted notify-back-to-normal notify-regression include-custom-message custom-message",
		free:  "team-domain auth-token auth-token-id auth-token-credential-id build-server-url base-url bot-user notify-not-built commit-info-choice slack-endpoint-url",
		lacks: "notify-start include-test-summary include-failed-tests custom-message-success custom-message-aborted custom-message-not-built custom-message-unstable custom-message-failure"},
	"naginator": {support: Runs, takes: "max-failed-builds rerun-unstable-builds regular-expression fixed-delay progressive-delay-increment progressive-delay-maximum",
		lacks: "rerun-matrix-part no-matrix-rerun", do: naginator},
	"text-finder":      {support: Runs, takes: "regexp fileset succeed-if-found unstable-if-found", free: "also-check-console-output", do: textFinder},
	"join-trigger":     left(pipelines),
	"pipeline":         left(pipelines),
	"groovy-postbuild": left(groovy),
	"jacoco": {support: Runs, takes: "exec-pattern", do: jacoco,
		free:  "class-pattern source-pattern source-inclusion-pattern inclusion-pattern exclusion-pattern skip-copy-of-source-files",
		lacks: "status-update targets build-over-build delta-targets"},
	"xunit": left("only JUnit's format is read: name such files in reports"),
	"tap": {support: Runs, takes: "results", do: tap,
		free:  "fail-if-no-results output-tap-to-console enable-subtests discard-old-reports include-comment-diagnostics validate-tests verbose show-only-failures failed-tests-mark-build-as-failure plan-required",
		lacks: "todo-is-failure"},
	"robot": {support: Runs, takes: "output-path output-xml report-html log-html other-files", do: robot,
		free: "log-file-link archive-output-xml disable-archive-output only-critical", lacks: "pass-threshold unstable-threshold"},
	"testng":   left("only JUnit's format is read: name such files in reports"),
	"findbugs": lint("**/findbugs.xml", "rank-priority include-files exclude-files"), "checkstyle": lint("**/checkstyle-result.xml", ""), "pmd": lint("**/pmd.xml", ""),
	"warnings": left(analysis), "violations": left(analysis),
	"logparser": left(analysis), "sonar": left(analysis), "valgrind": left(analysis), "sloccount": left(analysis), "performance": left(analysis),
	"html-publisher": {support: Runs, takes: "dir", free: "name files keep-all allow-missing link-to-last-build", do: pages},
	"ircbot":         {support: Runs, takes: "strategy channels notify-start", free: "message-type notify-upstream notify-suspects notify-committers notify-culprits notify-fixers matrix-notifier", do: irc},
	"hipchat":        left(chat), "jabber": left(chat), "google-cloud-storage": left(elsewhere),
	"ssh": left(elsewhere), "s3": left(elsewhere), "ftp": left(elsewhere), "scp": left(elsewhere), "cifs": left(elsewhere), "git": left("nothing is pushed by a build"),
	"maven-deploy": left(elsewhere), "artifactory": left(elsewhere), "github-notifier": left(elsewhere), "github-pull-request-merge": left(elsewhere), "gitlab-notifier": left(elsewhere), "stash": left(elsewhere),
	"claim-build": left(look), "plot": left(look), "build-publisher": left(elsewhere), "aggregate-tests": left(look),
	"raw": left("raw XML for Jenkins"),
}

var wrapperTypes = map[string]kind{
	"build-keeper": free, "job-log-logger": free, "m2-repository-cleanup": free, "matrix-tie-parent": free, "inject-ownership-variables": free,
	"github-pull-request": left(elsewhere), "logstash": left(elsewhere), "artifactory-generic": left(elsewhere), "artifactory-maven": left(elsewhere), "artifactory-maven-freestyle": left(elsewhere),
	"vault-secrets": left(secrets), "release": left("releases: a pipeline's release node makes them"), "sonar": left("no server of Sonar is named to it"), "ci-skip": left(pipelines), "pathignore": left(pipelines),
	"timeout": {support: Runs, takes: "fail timeout timeout-var type elastic-default-timeout", free: "abort write-description elastic-percentage elastic-number-builds",
		lacks: "abort-and-restart max-restarts deadline-time deadline-tolerance", do: timeout},
	"timestamps": free, "ansicolor": free, "mask-passwords": free, "workspace-cleanup": free, "build-user-vars": free, "logfilesize": free, "live-screenshot": free, "delivery-pipeline": free,
	"build-name":        {support: Runs, takes: "name template description", free: "run-at-start run-at-end", do: buildName},
	"inject":            {support: Runs, takes: "properties-file properties-content script-file script-content", free: "load-from-master groovy-sandbox", lacks: "groovy-script", do: injectFirst},
	"env-file":          {support: Runs, takes: "properties-file", do: injectFirst},
	"pre-scm-buildstep": {support: Runs, do: stepsFirst},
	"docker-custom-build-env": {support: Runs, takes: "image", free: "image-type docker-tool verbose force-pull group command net memory-limit cpu-shares",
		lacks: "host credentials-id registry-credentials-id volumes privileged", do: image},
	"config-file-provider":  {support: Runs, takes: "files", do: filesFirst},
	"ssh-agent-credentials": {support: Runs, takes: "users user", do: agent}, "credentials-binding": {support: Runs, do: credentials}, "inject-passwords": {support: Runs, takes: "global job-passwords", free: "mask-password-params", do: passwords},
	"locks": {support: Runs, do: locks}, "exclusion": {support: Runs, takes: "resources", do: locks}, "port-allocator": no("no ports are given out: a build has a network of its own"),
	"openstack": {support: Runs, takes: "instances", free: "single-use", do: machines}, "copy-to-slave": no("there are no files in Jenkins to copy"),
	"nodejs-installator": no("tools are not installed: use an image that has them"), "rbenv": no("tools are not installed: use an image that has them"), "rvm-env": no("tools are not installed: use an image that has them"), "custom-tools": no("tools are not installed: use an image that has them"),
	"xvfb": no("no screen is made: start one in a step"), "xvnc": no("no screen is made: start one in a step"), "android-emulator": no("no emulator is started"), "env-script": no("its script sets no variables here: use inject"),
	"raw": left("raw XML for Jenkins"),
}

const parameterArgs = "name default description"

var parameterTypes = map[string]kind{
	"parameter-separator": free, "matrix-combinations": left("all combinations of a matrix are built"),
	"string": {support: Runs, takes: parameterArgs, free: "trim", do: parameter}, "text": {support: Runs, takes: parameterArgs, free: "trim", do: parameter},
	"bool": {support: Runs, takes: parameterArgs, do: parameter}, "password": {support: Runs, takes: parameterArgs, do: parameter},
	"persistent-string": {support: Runs, takes: parameterArgs, free: "trim", do: parameter}, "persistent-bool": {support: Runs, takes: parameterArgs, do: parameter},
	"persistent-text": {support: Runs, takes: parameterArgs, free: "trim", do: parameter}, "hidden": {support: Runs, takes: parameterArgs, do: parameter},
	"choice":            {support: Runs, takes: "name choices description", do: parameter},
	"persistent-choice": {support: Runs, takes: "name choices description", do: parameter},
	"label":             {support: Runs, takes: parameterArgs, free: "all-nodes matching-label node-eligibility", do: parameter},
	"node":              {support: Runs, takes: "name description", free: "default-slaves default-nodes allowed-slaves allowed-nodes ignore-offline-nodes allowed-multiselect", do: parameter},
	"validating-string": {support: Runs, takes: parameterArgs, free: "msg trim", lacks: "regex", do: parameter},
	"extended-choice": {support: Runs, takes: parameterArgs + " default-value", free: "type visible-items multi-select-delimiter quote-value value-description save-json-parameter",
		lacks: "property-file property-key value groovy-script groovy-script-file bindings classpath javascript javascript-file default-property-file default-property-key default-groovy-script default-groovy-script-file", do: parameter},
	"random-string":               {support: Runs, takes: "name description", free: "failed-validation-message", do: parameter},
	"git-parameter":               left("it is empty unless whoever starts the build gives it a value"),
	"run":                         no("builds of other jobs cannot be chosen"),
	"file":                        no("no file can be handed to a build"),
	"credentials":                 left(secrets),
	"copyartifact-build-selector": left("it is empty unless whoever starts the build gives it a value"),
}

var propertyTypes = map[string]kind{
	"builds-chain-fingerprinter": free, "disk-usage": free, "rebuild": free, "slave-utilization": free, "speed-durability": free, "naginator-opt-out": free,
	"office-365-connector": left(chat),
	"inject": {support: Runs, takes: "properties-file properties-content script-file script-content enabled", free: "keep-system-variables keep-build-variables load-from-master override-build-parameters groovy-sandbox",
		lacks: "groovy-content", do: injectFirst},
	"build-discarder": free, "github": free, "sidebar": free, "zeromq-event": free, "delivery-pipeline": free, "ownership": free,
	"copyartifact": free, "gitlab": free, "gogs": free, "least-load": free, "disable-resume": free, "batch-tasks": left("tasks to start by hand"),
	"throttle":           {support: Runs, takes: "enabled max-total max-per-node option categories", free: "matrix-builds matrix-configs", lacks: "parameters-limit parameters-check-list", do: throttle},
	"build-blocker":      {support: Runs, takes: "use-build-blocker blocking-jobs", free: "block-level queue-scanning", do: blocker},
	"heavy-job":          left("how much room it takes: say what it uses, in resources"),
	"lockable-resources": {support: Runs, takes: "resources label number", lacks: "var-name match-script", do: resources},
	"rate-limit":         left("how often it is built"), "priority-sorter": left("its priority: the queue has its own order"), "authorization": left("who may see and start it: the roles of Landfall say that"),
	"promoted-build": left("promotion: a pipeline's release node does that"), "slack": left(chat), "disable-concurrent-builds": {support: Runs, takes: "abort-previous", do: oneAtATime}, "raw": left("raw XML for Jenkins"),
}

var triggerTypes = map[string]kind{
	"timed":   {support: Runs, do: timed},
	"gerrit":  {support: Runs, takes: gerritTakes, free: gerritFree, lacks: gerritLacks, do: gerrit},
	"pollscm": {support: Runs, free: "cron ignore-post-commit-hooks", do: landed}, "pollurl": {support: LeftOut, note: pipelines, do: trigger},
	"reverse": {support: Runs, takes: "jobs result", do: reverse}, "github": {support: Runs, do: landed}, "github-pull-request": {support: Runs, takes: "only-trigger-phrase white-list-target-branches black-list-target-branches included-regions excluded-regions",
		free:  pullFree,
		lacks: "trigger-phrase skip-build-phrase white-list-labels black-list-labels comment-file build-desc-template", do: pullRequest},
	"gitlab": {support: Runs, do: landed}, "bitbucket": {support: Runs, do: landed}, "generic-webhook-trigger": {support: LeftOut, note: pipelines, do: trigger},
	"jms-messaging": {support: LeftOut, note: pipelines, do: trigger}, "rabbitmq": {support: LeftOut, note: pipelines, do: trigger}, "parameterized-timer": {support: LeftOut, note: pipelines, do: trigger},
	"monitor-files": {support: LeftOut, note: pipelines, do: trigger}, "monitor-folders": {support: LeftOut, note: pipelines, do: trigger}, "script": {support: LeftOut, note: pipelines, do: trigger},
	"raw": left("raw XML for Jenkins"),
}

var scmTypes = map[string]kind{
	"git": {support: Runs, takes: "basedir remotes submodule",
		free: "url credentials-id refspec name branches skip-tag clean fastpoll git-tool reference-repo browser browser-url browser-version project-name repo-name git-config-name git-config-email " +
			"changelog-against choosing-strategy committer excluded-users included-users included-regions excluded-regions ignore-commits-with-messages ignore-commits-with-messages force-polling-using-workspace ignore-notify " +
			"local-branch per-build-tag prune scm-name shallow-clone depth do-not-fetch-tags honor-refspec skip-notifications sparse-checkout timeout use-author wipe-workspace disable-submodules",
		lacks: "merge recursive-submodules lfs-pull", do: sources},
	"svn": no("sources come from Git"), "hg": no("sources come from Git"), "repo": no("a build has the sources of one project"), "multi-scm": no("a build has the sources of one project"),
	"url": no("sources come from Git"), "tfs": no("sources come from Git"), "cvs": no("sources come from Git"), "p4": no("sources come from Git"), "workspace": no("a workspace is not shared"), "store": no("sources come from Git"),
	"raw": no("raw XML for Jenkins"),
}

// gerritTakes are carried out. Who may start builds and how they are told of is
// the same for all jobs here, so gerritFree makes no difference.
const (
	gerritTakes = "trigger-on trigger-on-patchset-uploaded-event trigger-on-change-merged-event trigger-on-draft-published-event trigger-on-ref-updated-event " +
		"projects skip-vote silent dependency-jobs"
	gerritFree = "server-name custom-url failure-message successful-message unstable-message notbuilt-message aborted-message silent-start escape-quotes " +
		"build-cancellation-policy no-name-and-email readable-message name-and-email-parameter-mode commit-message-parameter-mode change-subject-parameter-mode " +
		"comment-text-parameter-mode notification-level trigger-for-unreviewed-patches"
	gerritLacks = "trigger-on-change-abandoned-event trigger-on-change-restored-event trigger-on-comment-added-event trigger-approval-category " +
		"trigger-approval-value override-votes gerrit-build-started-verified-value gerrit-build-successful-verified-value gerrit-build-failed-verified-value " +
		"gerrit-build-unstable-verified-value gerrit-build-notbuilt-verified-value gerrit-build-aborted-verified-value gerrit-build-started-codereview-value " +
		"gerrit-build-successful-codereview-value gerrit-build-failed-codereview-value gerrit-build-unstable-codereview-value " +
		"gerrit-build-notbuilt-codereview-value gerrit-build-aborted-codereview-value failure-message-file dynamic-trigger-enabled dynamic-trigger-url"
	pullFree = "admin-list white-list org-list allow-whitelist-orgs-as-admins cron github-hooks permit-all auto-close-on-fail display-build-errors-on-downstream-builds " +
		"auth-id status-context triggered-status started-status status-url status-add-test-results success-status failure-status error-status " +
		"success-comment failure-comment error-comment cancel-builds-on-update no-commit-status"
)
