// Package migrate moves the documents of one cluster to another, through the
// transformations between their schemas, while the first one is being written.
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
// A document that cannot be transformed is quarantined, by link and field: the
// cycle goes on, and each later one tries it again. While it is in quarantine
// the sums differ.
//
// A pull makes the cluster a copy of its source: at the end of the first cycle
// it deletes what the source does not have. The same happens when the source
// does not remember all deletions since the cursor (410): everything is taken
// again.
//
// # Protocol
//
// All requests carry the cluster's token as a bearer token; a wrong one is
// 401. A node that does not lead answers with 307 to the leader, or 503 if
// there is none. Errors are problem details.
//
//	GET  /migrate/status[?after=POSITION]       Status; with after, Left is counted
//	GET  /migrate/export[?after=&began=&limit=&final=1&link=...]
//	GET  /migrate/sums?side=own|origin          Sums
//	GET  /migrate/quarantine                    []Failure
//	POST /migrate/fence  {"epoch", "on"}        Status; 409 for an older epoch
//	POST /migrate/pull   PullRequest            Pulled
//
// An export is a stream of frames (application/vnd.landfall.frames, see
// frame.Writer): a head with the position of its end, the fence, and the
// exported kinds' schemas and counts; the documents and tombstones in order of
// their last change; a head with the position reached. With Accept:
// application/x-ndjson it is a line for each document, and a last one with the
// position. A final one is refused with 409 unless the cluster is fenced. With
// links it has these documents only. Local kinds are left out.
// Who goes on with an export that was interrupted or limited names, as began,
// the position in the head of the first one: else it is 410 if deletions since
// after are forgotten, though this export never had the documents.
package migrate
