// Package jobs has the commands about jobs as code: what definitions expand to
// and where each part comes from, what their deployment or a patch set would do,
// and what of a tree of Jenkins Job Builder runs here as it is.
//
// What it knows of definitions is capability/job/definition's, what it knows of
// deployments the hub's. It decides nothing.
package jobs
