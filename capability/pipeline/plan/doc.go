// Package plan makes the graph of a run from a project's pipeline.star.
//
// The program is Starlark: a function main(ctx) that returns a list of nodes.
// It looks at nothing but its Input, has no clock, no disk and no network, so
// that the same Input always makes the same plan, byte for byte. What it
// returns is data; nobody runs the program again to carry the plan out.
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
// parallel run side by side. The functions are
//
//	stage(name, *entries)     a named part of the pipeline; stages do not nest
//	parallel(*entries)        a list among the entries is one branch
//	build(id?, job=, params=, retries=)
//	deploy(environment, image=, tests=)
//	release(image=, version=)
//	approve(name, by=)        by a group, "release-managers", or a person, "users/rita"
//	notify(text)
//
// where image is a node made by build, and ctx has event, project, params,
// jobs, and changed(pattern...), which tells whether the change touches a path
// that matches (path.Match per segment, ** for any depth).
//
// load takes a path from the root of the project, or @ci//PATH for the library
// that all projects share. Inside the library every path means the library, so
// that a project cannot slip its own code into it.
//
// The program is not trusted, and Starlark's own limits do not bound memory.
// So Evaluate runs it in a child process, this same binary, under hard limits:
// 1,000,000 steps, 2 s of CPU, 5 s in all, 256 MB.
package plan
