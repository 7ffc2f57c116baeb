// Package migrate moves the documents of one cluster to another, through the
// transformations between their schemas, while the first one is being written;
// and back again, so that going back loses nothing.
//
// It serves both sides. The source ("blue") is only read: it yields what has
// changed after a position. The destination ("green") pulls, in cycles:
//
//	 blue                                  green, fenced
//	GET /migrate/export?after=CURSOR  →  read | transform | import
//	                                          └ the cursor is kept with each batch
//
// Each cycle takes what changed since the one before, deletions included, and
// ends at the position at which it began, so it ends under writes too. When
// little is left, blue is fenced and a final cycle takes the rest; then the
// sums of both sides are compared:
//
//	pull, pull, pull ... → fence blue → pull final → Compare(blue's own, green's origin)
//
// Nothing here depends on clocks: positions are places in blue's log, and a
// document is taken over only if its position is higher than that of the one
// that is there. So any cycle can be repeated, at once or after a crash, and
// changes nothing that is there already. Imports bypass the lives of kinds:
// versions, times, sources and pending operations stay as they were.
//
// A pull makes the cluster a copy of its source: at the end of the first cycle
// it deletes what the source does not have. The same happens when the source
// does not remember all deletions since the cursor (410), and when this
// cluster's fence was down meanwhile, so that it was in charge itself:
// everything is taken again.
//
// # Quarantine
//
// A document that cannot be transformed is quarantined, by link and field, with
// the bytes that it had: the cycle goes on, and each later one tries it again.
// While it is in quarantine the sums differ, and a final pull fails, unless
// somebody has given it up (POST /migrate/waive), which is noted with it.
//
// A cluster that keeps blobs takes those of its source ahead of the documents:
// see package blobs. A document whose blob cannot be had is quarantined, too.
//
// # The way back
//
// When green has taken over, blue, which stays fenced, pulls in turn, from
// green's position at that moment on: the base. Only green's binary knows both
// schemas, so green transforms downwards as it exports (?schemas=), and says in
// the head what its documents have lost; blue patches what comes onto what it
// has kept (see Keep). It has a cursor and a quarantine of their own for that.
//
//	lift green's fence → pull base, pull base ... → fence green → pull base final
//	→ Compare(green's copied, blue's returned) → lift blue's fence
//
// The sums are kept up with each change, so comparing them takes the same time
// for any number of documents. On the way back a document that green has not
// changed counts on green by what it was at blue, which is what it counts by on
// blue; one that green has changed counts by what it is at green, which blue
// keeps with it. Imports are told apart by their streams, so what either side
// has from earlier upgrades does not matter. Kinds that blue does not have stay
// with green, and do not count.
//
// # Watches
//
// A watch goes on at the other side from the position that it has: blue's at
// green, and, after going back, green's from the base on at blue. The cursor
// keeps which epoch and stream that is (see store.Source), and documents know
// their place at the other side: so only what is new to the watch is sent. Two
// sides whose epochs are the same could not tell; then the one that pulls takes
// a new one first.
//
// # Protocol
//
// All requests carry the cluster's token as a bearer token; a wrong one is
// 401. A node that does not lead answers with 307 to the leader, or 503 if
// there is none. Errors are problem details.
//
//	GET  /migrate/status[?after=POSITION]       Status; with after, Left is counted
//	GET  /migrate/export[?after=&began=&limit=&final=1&link=...&format=&schemas=&keys=]
//	GET  /migrate/sums?side=[&schemas=]         Sums; side is own, origin, copied or returned
//	GET  /migrate/sums?side=&bucket=...         {"documents": {LINK: HASH}} of these buckets
//	GET  /migrate/quarantine                    []Failure
//	GET  /migrate/irreversible?schemas=         []string: why there is no way back to these
//	POST /migrate/fence  {"epoch", "on", "closed"}   Status; 409 for an older epoch
//	POST /migrate/pull   PullRequest            Pulled
//	POST /migrate/pace   {"rate"}               Paced: of the pull that is under way
//	POST /migrate/retry  PullRequest            Pulled: the quarantine once more
//	POST /migrate/repair PullRequest            Pulled: what differs is taken again
//	POST /migrate/waive  {"by", "links"}        []Failure
//	GET  /migrate/blobs[?after=]                {"digests", "next"}: what has come since
//	GET  /migrate/blobs/{digest}                the blob, with ranges
//
// Schemas are a list of kinds with their numbers: accounts:1,users:3. A fence
// that is on refuses clients' writes with 421, one that is closed their reads
// too; what is below /migrate/ is served in any case.
//
// An export is a stream of frames (application/vnd.landfall.frames, see
// frame.Writer): a head with the number of the export's format, the position of
// its end, the fence, and the exported kinds' schemas and counts; the documents
// and tombstones in order of their last change; a head with the position
// reached. Format 1 has documents as frames of type 2, and is what a request
// without a format gets; format 2 has them as frames of type 4. A reader takes
// the formats that it knows, and refuses later ones. With Accept:
// application/x-ndjson it is a line for each document, and a last one with the
// position; with Accept-Encoding: zstd either is compressed. A final one is
// refused with 409 unless the cluster is fenced. With links it has these
// documents only. Local kinds are left out. With keys the idempotency keys follow
// the documents, see package keys. With schemas documents are in
// these, with what they count by in the sums as the hash of their origin; the
// head has in keep what is lost on the way; and a head with a failure stands in
// the place of a document that has no way back.
//
// Who goes on with an export that was interrupted or limited names, as began,
// the position in the head of the first one: else it is 410 if deletions since
// after are forgotten, though this export never had the documents.
package migrate
