// Package store holds the documents of one node in memory and says what each
// write makes of them.
//
// It is a state machine without a goroutine, a clock or a disk of its own:
//
//  1. The leader hands a batch of proposals and the time to [Store.Decide].
//     It gets a log entry with the resulting bytes, and a result for each.
//  2. Once the entry is committed, every node hands it to [Store.Apply].
//  3. Readers use Read, List and Since; [Store.Changed] tells when to look
//     again. They see applied entries only.
//  4. [Store.Snapshot] is the whole state at one position, at once; Restore
//     takes it back.
//
// Entries, snapshots and exports are one format, see package frame.
//
// The life of a document's version and of its tombstone:
//
//	(none) -create-> live -update, method, ack-> live -delete, expiry-> tombstone -24 h-> (none)
//	                  ^                                                     |
//	                  +------------------------ create ---------------------+
//
// # Parts
//
//   - query understands filters, selections and computations; list.go and
//     route.go here find the shortest way to the documents of a query.
//   - memory keeps the documents, their history and the idempotency keys.
//   - frame is the format of streams, and of documents in memory.
//   - key makes keys that are in the order of ids, times and values; field
//     finds fields in bodies; digest sums documents up.
//
// The store owns what writes do, kinds, the fence, cursors and counters, and
// the lock around all of it. It never knows of other nodes.
//
// # Idempotency keys
//
// A key, with its caller, is kept with a digest of the writes and the links of
// their documents for kit.OnceAge (once.go, memory). It goes with the entry that the
// writes go with, and with snapshots. It ages by a clock that every entry moves
// on by a minute at most (head.go), so that a new leader whose clock is hours
// ahead does not make all nodes forget what was just written; the history that
// lists are read by ages by the same. Where nothing is written they stay for
// longer. Keys of another cluster, which this one takes over, keep their age
// (Proposal.Keys).
package store
