// Package plan makes the graph of a run from a project's pipeline.star.
//
// The program is Starlark: a function main(ctx) that returns a list of nodes.
// It looks at nothing but its Input, has no clock, no disk and no network, so
// that the same Input always makes the same plan, byte for byte. What an Input
// lacks of the commit's files the program asks for by a Want, and is run again.
// What it returns is data; nobody runs the program again to carry the plan out.
//
//	load("@ci//lib.star", "verify")
//
//	def main(ctx):
//	    image = build(job = "ledger-image")
//	    return [
//	        stage("verify", parallel(verify(ctx), image)),
//	        stage("staging", deploy("staging", image = image, tests = ["smoke"])),
//	    ]
//
// The entries of a list, and of a stage, run one after the other; those of
// parallel run side by side. What follows an entry waits until that has passed.
// The functions for single nodes are
//
//	build(id?, job=, params=, retries=)
//	step(name, run, image=, env=, services=, cache=, artifacts=, reports=, labels=, retries=)   a build of these scripts, without a job
//	trigger(project, job=, params=)          a job of another project, or its pipeline, at its main branch
//	gate(builds=, new_coverage=, new_issues=) the reports of builds, by the project's rules or these
//	deploy(environment, image=, tests=)
//	rollback(environment)                    deploy what ran there before this run
//	release(image=, version=)
//	promote(channel, release=)               once it is signed
//	approve(name, by=, n=1, not_author=)     by n people of a group, "release-managers", or a person, "users/rita"
//	notify(text, to=)                        "#channel", "users/rita"; else the author
//
// where image is a node made by build and release one made by release. All of
// them, and stage, take timeout="20m" and when=, a condition that is looked at
// when the node could start, or else is skipped:
//
//	branch("main", "rel-*")   event("merged")   result(node or "id", "failed", "unstable")
//
// combined by &, | and ~, and window=, outside of which they do not begin: times
// of a week, in UTC, or more by
//
//	window("Mon-Thu 08:00-16:00", "Sat", zone="Europe/Berlin", freeze=["2026-12-20..2027-01-03"])
//
// The functions for what is made of entries are
//
//	stage(name, *entries)                    a named part of the pipeline; stages do not nest
//	parallel(*entries, limit=, fail_fast=, **named)   a list among the entries is one branch
//	matrix(function, *axes, limit=, fail_fast=)       a branch for each combination of the axes' values
//	guard(*entries, rescue=, always=)        rescue runs after a failure, always in any case; it has failed all the same
//	ignore(*entries, upto=FAILURE)           passes if all that failed did so by a cause up to that
//	retry(n, *entries, on=INFRA, backoff=)   again, up to n times, if all that failed did so by these causes or exit codes
//	lock(name or names, *entries, window=)   one run at a time; a lock within another has a later name
//	expand(function, build, artifact)        function(ctx, value) returns more entries, from JSON that the build has kept
//
// UNSTABLE, FAILURE, TIMEOUT and INFRA are the causes, in the order of upto;
// TIMEOUT counts as FAILURE where it is not named. ctx has event, project,
// params, jobs, and changed(pattern...), which tells whether the change touches a
// path that matches (path.Match per segment, ** for any depth). Of the commit
// that is built, ctx.read(path) is the text of a file, ctx.exists(path) tells
// whether there is a file or folder, and ctx.glob(pattern...) are the paths that
// match. A plan names the files that were read. For a patch set nobody has
// reviewed them: let them say what else is to be tested, never what is not.
//
// In the plan each of these is a node or a block. What an entry waits for is
// always in the same block: so if something in a block needs a node outside of
// it, the whole block waits, and nothing waits while it holds a lock.
//
// load takes a path from the root of the project, or @ci//PATH for the library
// that all projects share. Inside the library every path means the library, so
// that a project cannot slip its own code into it.
//
// The program is not trusted, and Starlark's own limits do not bound memory.
// So Evaluate runs it in a child process, this same binary, under hard limits:
// 1,000,000 steps, 2 s of CPU, 30 s in all, 256 MB. A plan has at most 500 nodes,
// nested 20 deep, and 400 KB. It reads at most 20 files, of 256 KB each and 1 MB
// in all.
package plan
