// Package pipelines has the commands that show the plan which an event would
// make before it happens, and the locks that runs hold.
package pipelines
