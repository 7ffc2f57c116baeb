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
// Entries, snapshots and exports are one format, see [FrameWriter].
//
// The life of a document's version and of its tombstone:
//
//	(none) -create-> live -update, method, ack-> live -delete, expiry-> tombstone -24 h-> (none)
//	                  ^                                                     |
//	                  +------------------------ create ---------------------+
package store
