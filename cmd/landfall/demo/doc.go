// Package demo plays the main job on one machine: a patch's way to a live
// upgrade of a stateful platform that takes traffic.
//
// It uses nothing but the public commands, the real git and real processes,
// and prints each command and what it answers. It decides nothing about the
// product; what it needs beyond the commands, a Go module proxy and the files
// of the example project, it makes in a directory of its own.
package demo
