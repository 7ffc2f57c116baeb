// Package front is the front door of a platform: a reverse proxy that can make
// traffic wait while the platform behind it is exchanged.
//
//	starting ── Route, Open ──→ open ── Hold ──→ holding ── nobody inside ──→ drained
//	(all wait)                   ↑                  │                            │
//	                             ├── Hold gave up ──┤                            │
//	                             └───────────────── Open ────────────────────────┘
//
// It owns the connections to the backends and the queue of waiting requests.
// It is told where traffic goes and never decides: without word it keeps
// holding, within its bounds, and then answers 503. It has three layers:
//
//   - gate is the pure core: who may go in, who waits, who goes next.
//   - backend and conn are a synchronous HTTP/1.1 client: no goroutines stand
//     between a request and its connection, as they do in http.Transport.
//   - Door joins them behind net/http's server.
//
// A request waits at its head: the body stays in the client's socket, unless
// it is at most 16 KiB. It is sent again only if that is provably safe: no
// byte of it was sent, or the side answered 421 (fenced, not applied), or it
// is a GET, HEAD or OPTIONS without an answer. All else is answered 502 and
// called ambiguous.
//
// Requests are of three classes, which routes may declare: see [Class]. All wait
// at their head; the classes differ in what becomes of those that are inside
// when a hold begins. What waits is bounded for each class, and for each client.
//
// A door can also slow writes down, for an upgrade that does not keep up with
// them: see [Door.Slow].
//
// An environment may have several doors. One is its agent's; the others are
// processes of their own, each with a [Follower], which does what the agent
// orders. All of them hold or none.
package front
