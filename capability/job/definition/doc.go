// Package definition expands the YAML job definitions of a project into job
// specs. The language is the core of Jenkins Job Builder's modern dialect
// (version 6): job, job-template, job-group, project and defaults.
//
// It owns no documents and watches nothing: it is a pure function from files
// to specs and errors. It never runs a job, reads outside the given folder or
// includes other files.
//
// The way of a definition through the package:
//
//	files -> values with positions -> definitions -> expansion -> api.JobSpec
//	load.go  yaml.go, scalar.go       define.go      expand.go    decode.go
//
// Expansion forms a scope (scope.go) for each point of a template's axes
// (axes.go) and formats every text in it (format.go) as Python's str.format
// does (pyformat.go, pytext.go), because that is what the definitions in the
// world are written for.
//
// Every limit below exists because definitions come with a patch, from people
// who may do harm: a run ends with an error, not with the hub's memory.
package definition

const (
	// maxFile is the size of one file in bytes.
	maxFile = 1 << 20
	// maxSize is the size of one value, aliases and references counted as
	// often as they occur: a byte of text is 1, each value 1 more.
	maxSize = 4 << 20
	// maxDepth is how deep lists and maps may be nested in one value.
	maxDepth = 100
	// maxMerged is how many keys the merges (<<) of one file may bring.
	maxMerged = 1_000_000
	// maxChain is how many variables may refer to each other in a row.
	maxChain = 100
	// maxJobs is the number of points on a template's axes, and of jobs.
	maxJobs = 20_000
	// maxWork is the size of all values that one expansion may format, and
	// what else it does by the costs in scope.go.
	maxWork = 512 << 20
	// maxErrors is how many errors are kept: what finds more, ends.
	maxErrors = 200
	// maxWrong is at how many points of a template's axes mistakes are looked
	// for: those at other points are most likely the same.
	maxWrong = 10
	// maxKnown is among how many words a suggestion is looked for.
	maxKnown = 2000
	// maxPadding is the largest width and precision in a format.
	maxPadding = 1000
)
