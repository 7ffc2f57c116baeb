// Package linear checks what clients of a cluster have seen: histories of real
// processes, disturbed as a schedule of faults from a seed says.
//
// Each node is a process in a network namespace of its own, serves TLS, asks
// for tokens and syncs its files as in production. The faults are
//
//	kill        SIGKILL of the leader, a follower or all, and another start
//	pause       SIGSTOP and SIGCONT
//	partition   packets between two nodes are lost, in one or both directions
//	full disk   the data directory's own file system has no byte left
//	slow disk   every fsync takes longer
//	wrong clock the wall clock jumps by up to an hour and a half, both ways
//
// The last two are in the standard library that the node is built with: of
// the product's own code not a line is different.
//
// Clients record when they called, when they were answered, and what. A write
// that failed with ErrTimeout or ErrInternal may have happened at any later
// time, with any other fault it has not happened: both are checked. Then
//
//   - the history of registers and lists must be linearizable (porcupine);
//   - eventual reads of a session, at one node, never go back, not even over
//     its restart;
//   - two documents that change in one batch are never seen apart;
//   - a watch, resumed at whichever node answers, never goes back and has told
//     in the end what there is;
//   - a list as of an earlier position is what it was, at every node that still
//     knows;
//   - every node has in the end what was acknowledged, nothing that was
//     refused, and the same as the others.
//
// A failure prints its seed. LANDFALL_SEED=N plays that seed alone; make soak
// plays new ones for SOAK (30m). It takes root, for the namespaces and mounts.
package linear
