// Package wire carries what the members of a cluster say to each other: raft's
// calls, and the questions that a node has beside them.
//
// It owns the connections, each over mutual TLS, and what raft's own transport
// leaves undone there: a pipeline of entries that nobody reads from any more is
// closed, a heartbeat of another term is not handled beside raft's own
// goroutine, and closing ends every call that is under way. It never decides
// what is said, nor knows where a member is: see [Config].
package wire
