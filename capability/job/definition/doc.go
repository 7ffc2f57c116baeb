// Package definition expands YAML definitions into jobs. The language is all of
// Jenkins Job Builder's, in its two dialects: modern (since version 6.1) and
// classic (up to 4); in the strict reading, also Landfall's own keys.
//
// It owns no documents and watches nothing: it is a pure function from files
// to jobs and errors. It never runs a job, nor reads outside the given tree.
//
// The way of a definition through the package:
//
//	files -> values with positions -> definitions -> expansion -> components -> api.JobSpec
//	load.go  package yaml11           define.go      expand.go    macro.go      package jobspec
//	                                                 classic.go   element.go
//
// Expansion forms a scope (scope.go) for each point of a template's axes
// (axes.go) and formats every text in it (package python) as Python's
// str.format does, because that is what the definitions in the world are
// written for. Tags (tag.go, include.go) include files, as text, YAML or
// templates of Jinja2 (package jinja).
//
// What the dialects do not share:
//
//	                        modern                       classic
//	plain jobs              formatted                    as they are
//	template                one set of keys, others      all keys are both
//	                        are variables
//	variables               by each other, in any order  once by each other
//	macros                  formatted by arguments and   formatted if called with
//	                        defaults                     arguments
//	axes                    any variable in the name     lists of the project
//	included text           formatted or not, by tag     as if written there
//
// Every limit below exists because definitions come with a patch, from people
// who may do harm: a run ends with an error, not with the hub's memory.
package definition

const (
	// maxChain is how many variables may refer to each other in a row.
	maxChain = 100
	// maxJobs is the number of points on a template's axes, and of jobs.
	maxJobs = 20_000
	// maxWork is the size of all values that one expansion may format, and
	// what else it does by the costs in scope.go.
	maxWork = 1 << 30
	// maxErrors is how many errors are kept: what finds more, ends.
	maxErrors = 200
	// maxWrong is at how many points of a template's axes mistakes are looked
	// for, and how many are kept of a job's components: others are most likely
	// the same.
	maxWrong = 10
)
