package catalog

// JobKeys lists the keys of jobs that are no variables in the modern dialect.
var JobKeys = []string{
	"description", "builders", "parameters", "properties", "wrappers", "triggers", "publishers", "scm",
	"pipeline-scm", "reporters", "project-type", "folder", "node", "jdk", "actions", "disabled",
	"display-name", "block-downstream", "block-upstream", "auth-token", "concurrent", "workspace",
	"child-workspace", "quiet-period", "retry-count", "logrotate", "raw", "prebuilders", "postbuilders",
	"hipchat", "notifications", "dsl", "needs-workspace", "dsl-file", "prune-dead-branches", "days-to-keep",
	"number-to-keep", "periodic-folder-trigger", "github-org", "script-path", "execution-strategy",
	"yaml-strategy", "p4-strategy", "axes", "maven", "per-module-email", "sandbox", "script-id",
}

// ViewKeys lists those of views.
var ViewKeys = []string{
	"description", "view-type", "filter-executors", "filter-queue", "job-name", "job-filters", "width",
	"alignment", "columns", "regex", "recurse", "sections", "text", "style", "views", "default-view",
	"aggregated-changes-grouping-pattern", "allow-abort", "allow-manual-triggers", "allow-pipeline-start",
	"allow-rebuild", "link-relative", "link-to-console-log", "max-number-of-visible-pipelines", "no-of-columns",
	"no-of-pipelines", "paging-enabled", "show-absolute-date-time", "show-aggregated-changes",
	"show-aggregated-pipeline", "show-avatars", "show-changes", "show-description", "show-promotions",
	"show-static-analysis-results", "show-test-results", "show-total-build-time", "update-interval", "sorting",
	"components", "regexps", "first-job", "no-of-displayed-builds", "title", "link-style", "css-Url",
	"latest-job-only", "manual-trigger", "show-parameters", "parameters-in-headers", "start-with-parameters",
	"refresh-frequency", "definition-header",
}

// OwnKeys lists what a job of Landfall consists of.
var OwnKeys = []string{
	"description", "image", "script", "builders", "env", "timeout", "artifacts", "reports", "pack", "moved-from",
	"triggers", "schedule", "starts-pipeline", "once", "secrets", "labels", "services", "cache", "resources",
}
