// Package memory keeps the documents of a node, with their history and the
// idempotency keys, and finds them in every order.
//
// It owns the chunks of bytes that they lie in and the trees that find them. It
// never decides what a document becomes: package store hands it entries that
// fit, and holds the lock.
//
// # Memory
//
// Documents lie encoded in chunks of bytes (packages arena and frame); a 32-bit
// number says where. A hash table finds them by link (links), and for each
// kind B+ trees of such numbers find them in each order (tree.go, shelf.go). So
// there is no Go pointer for each document, which the garbage collector would
// have to follow. What is written to a chunk is never changed: the records
// that readers get share its memory. When a third of all is dead, the chunk with
// the least that is alive is emptied, bit by bit with each entry (compact.go).
// Trees copy what they change where a view or a snapshot shares it, so both are
// there at once.
//
// To look at a document costs more than all else that a change does, for it is
// in no cache of the processor. So trees have the starts of keys, and nothing
// but a document's own last version is looked at when it changes. What a large entry
// adds to a tree is put in all at once, in the order of the keys (gather.go,
// insert.go): then each node is gone to once, not once for each record.
//
// # History
//
// A version that another takes the place of stays (history.go), for two reasons.
// Every version does for HistoryAge of Head.Time, up to 64 MiB or a tenth of all
// documents: this is what lists read page by page, and reads as of an earlier
// position, rely on. It is found by the seq of what took its place, from version
// to version, and moves to chunks of such, which all age in the order in which
// they were filled. And the last Definition.Versions of each document stay for as
// long as there is at least its tombstone: once they are not recent any more they
// lie among documents again, and a tree by id and seq finds them. Only these are
// in snapshots.
//
// What is kept of a document always is its last versions without a gap. A view as
// of an earlier seq shows those of today's documents that have not changed since,
// and for the others, which the feed tells, the version that they had.
package memory
