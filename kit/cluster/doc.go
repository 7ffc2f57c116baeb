// Package cluster replicates one log to the nodes of a group and applies it
// to a [Machine] on each of them.
//
// It owns who the members are, which of them leads, and the order and
// durability of what was written. It knows nothing of documents: a proposal
// is any value, an entry is bytes.
//
// A write goes to the leader, which decides concurrent proposals as one batch
// and appends the batch's outcome as one entry; it is acknowledged when a
// majority has the entry on disk and the leader has applied it. So the log
// carries results and never the function that made them.
//
//	Write ─┐
//	Write ─┼→ Decide (leader) → entry → majority's disks → Apply (every node)
//	Write ─┘
//
// A linearizable read takes no entry: the leader asks the voters whether it
// still leads, once for all readers that wait ([Node.Barrier]).
//
// Consensus is Raft (github.com/hashicorp/raft), over mutual TLS between nodes
// (package wire): each has a certificate with its id, issued by the cluster's
// own [Authority], whose key pair is derived from the cluster's key. Members
// find each other and notice deaths by SWIM (github.com/hashicorp/memberlist),
// encrypted with a key derived from the same. A new node asks any member over
// HTTP for that key, with the join token, and then appears in the gossip, where
// the leader sees it:
//
//	join → gossip → reader → ready (caught up) → voter (up to Config.Voters)
//	                              dead for Config.Grace → removed, if that is safe
//	                              removed and back → reader, unless [Node.Remove] did it
//
// The data directory holds
//
//	lock        held by the process that uses the directory; its process id
//	VERSION     the number of this format
//	node.json   the node's id, ports, schema and the cluster's key (0600)
//	peers.json  the members as last seen: enough to start without a join
//	mark        how far the log must reach: a shorter one is damaged
//	log/        the entries (github.com/hashicorp/raft-wal)
//	snapshots/  the machine's state, so that older entries can go
//
// All records have checksums. The end of the log that a crash has torn is cut
// off; a node with any other damage does not start, and says in which file and
// where it is. In a group it is filled again by [Refill]; a single node is
// restored from a [Node.Backup] by [RestoreBackup].
package cluster
