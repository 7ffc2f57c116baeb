package definition

import "slices"

// The kinds of definitions, but for macros.
const (
	kindDefaults     = "defaults"
	kindGroup        = "job-group"
	kindJob          = "job"
	kindProject      = "project"
	kindTemplate     = "job-template"
	kindView         = "view"
	kindViewGroup    = "view-group"
	kindViewTemplate = "view-template"
)

// macroLists maps the kinds of macros to the key of what they consist of,
// which is also the key of the list in a job that they can be called in.
var macroLists = map[string]string{
	"parameter": "parameters", "property": "properties", "builder": "builders",
	"wrapper": "wrappers", "trigger": "triggers", "publisher": "publishers", "scm": "scm",
	"pipeline-scm": "pipeline-scm", "reporter": "reporters", "notification": "notifications",
}

var kinds = []string{
	kindJob, kindTemplate, kindProject, kindGroup, kindDefaults, kindView, kindViewTemplate, kindViewGroup,
	"parameter", "property", "builder", "wrapper", "trigger", "publisher", "scm", "pipeline-scm", "reporter", "notification",
}

// fieldNames lists what a job of Landfall consists of.
var fieldNames = []string{
	"description", "image", "script", "builders", "env", "timeout", "artifacts", "reports", "pack", "moved-from",
	"triggers", "schedule", "once",
}

// jobFields lists the keys of jobs that are no variables in the modern dialect.
var jobFields = []string{
	"description", "builders", "parameters", "properties", "wrappers", "triggers", "publishers", "scm",
	"pipeline-scm", "reporters", "project-type", "folder", "node", "jdk", "actions", "disabled",
	"display-name", "block-downstream", "block-upstream", "auth-token", "concurrent", "workspace",
	"child-workspace", "quiet-period", "retry-count", "logrotate", "raw", "prebuilders", "postbuilders",
	"hipchat", "notifications", "dsl", "needs-workspace", "dsl-file", "prune-dead-branches", "days-to-keep",
	"number-to-keep", "periodic-folder-trigger", "github-org", "script-path", "execution-strategy",
	"yaml-strategy", "p4-strategy", "axes", "maven", "per-module-email", "sandbox", "script-id",
}

// viewFields lists those of views.
var viewFields = []string{
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

// keysOf returns the keys of a kind that are not variables: those of Landfall
// among them only in the strict reading.
func (o Options) keysOf(kind string) []string {
	if o.Strict {
		return strictKeys[kind]
	}
	return laxKeys[kind]
}

var laxKeys, strictKeys = allKeys(nil), allKeys(fieldNames)

func allKeys(more []string) map[string][]string {
	job := slices.Concat([]string{"name", "id", "defaults"}, jobFields, more)
	view := slices.Concat([]string{"name", "id", "defaults"}, viewFields)
	all := map[string][]string{
		kindJob: job, kindTemplate: job, kindView: view, kindViewTemplate: view,
		kindDefaults:  slices.Concat([]string{"name", "id"}, jobFields, viewFields, more),
		kindProject:   {"name", "id", "defaults", "jobs", "views"},
		kindGroup:     {"name", "id", "jobs"},
		kindViewGroup: {"name", "id", "views"},
	}
	for kind, list := range macroLists {
		all[kind] = []string{"name", "id", "defaults", list}
	}
	return all
}
