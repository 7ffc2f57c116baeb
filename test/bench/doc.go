// Command bench measures Landfall against others of its trade on this machine,
// and writes what came of it to doc/benchmarks.md:
//
//	make bench              all groups
//	make bench ONLY=kit     one of them
//
// Each demand is a bar, and has a line
//
//	bar kit/writes ours=12031 peer=3904 ratio=3.08 want=>=3 met
//
// The ratio is ours by the peer's. Where there is no peer, what is demanded
// stands in its place, so that the ratio is to that. The exit code is 1 if a
// bar is missed.
//
// A group is a value that the table in group.go has, in the files of this
// package that begin with its name; what it compares with, test/setup.sh
// installs. Why a bar is missed is written by hand, in notes/GROUP.md, and becomes
// a part of the page.
package main
