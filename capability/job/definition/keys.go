package definition

import (
	"slices"

	"landfall.dev/capability/job/definition/catalog"
)

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

// keysOf returns the keys of a kind that are not variables: those of Landfall
// among them only in the strict reading.
func (o Options) keysOf(kind string) []string {
	if o.Strict {
		return strictKeys[kind]
	}
	return laxKeys[kind]
}

var laxKeys, strictKeys = allKeys(nil), allKeys(catalog.OwnKeys)

func allKeys(more []string) map[string][]string {
	job := slices.Concat([]string{"name", "id", "defaults"}, catalog.JobKeys, more)
	view := slices.Concat([]string{"name", "id", "defaults"}, catalog.ViewKeys)
	all := map[string][]string{
		kindJob: job, kindTemplate: job, kindView: view, kindViewTemplate: view,
		kindDefaults:  slices.Concat([]string{"name", "id"}, catalog.JobKeys, catalog.ViewKeys, more),
		kindProject:   {"name", "defaults", "jobs", "views"},
		kindGroup:     {"name", "jobs"},
		kindViewGroup: {"name", "views"},
	}
	for kind, list := range macroLists {
		all[kind] = []string{"name", "defaults", list}
	}
	return all
}
