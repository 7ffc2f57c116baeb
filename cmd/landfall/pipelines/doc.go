// Package pipelines has the commands that show the plan which an event would
// make before it happens, what listens to which event, and the locks that runs
// hold, and those by which people let runs go on.
package pipelines
