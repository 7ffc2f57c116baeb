// Package lines moves documents between the two sides of an upgrade whose
// program is not made of kit: a service in any language that serves some
// requests, which doc/protocol.md specifies.
//
// Such a service says "protocol": "lines" in its status. Neither side knows of
// the other: this package reads lines from the one and posts them to the other,
// which keeps the cursor with them.
//
//	GET /migrate/export?after=CURSOR  →  batches of lines  →  POST /migrate/import?after=CURSOR
//	              blue                        here                      green, fenced
//
// So nothing is kept here, and a copy that stops anywhere goes on at the cursor.
// Lines are passed on as they are, never changed: what they mean, and how they
// become another schema, is the services' own business. A line counts in the
// sums of both sides by the hash of its bytes.
//
// A line may name blobs, by digest: those that the destination does not have are
// carried over before the line is posted.
//
// A line that the destination refuses is named, and left out. From then on the
// cursor stays where it is, so that the next cycle tries that line again, and
// all that came after it.
//
// There are no idempotency keys in the protocol, as there are in that of kit: a
// service that has some, and wants them to hold over a switch, keeps them as
// lines.
package lines
