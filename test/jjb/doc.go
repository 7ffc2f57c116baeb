// Package jjb compares how Landfall expands job definitions with the real
// Jenkins Job Builder, the one that Debian packages: the classic dialect.
//
// Both get the same trees, which a generator makes out of the whole language
// from a seed, and the same command line; what is compared are the names of the
// jobs, and of each job its scripts, parameters, triggers and what else the
// common modules write into Jenkins' XML. A tree that one refuses the other
// must refuse too. LANDFALL_SEED=N go test ./test/jjb repeats one tree.
package jjb
