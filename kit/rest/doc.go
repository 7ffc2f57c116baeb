// Package rest is the one way to documents: a Server that offers them over
// HTTP, and the Client for it (package client), which is the same inside the
// process and outside of it.
//
//	POST   /api/{kind}            create; the id from ?id= or the body's link
//	GET    /api/{kind}            list: ?filter= ?order= ?select= ?limit= ?token=
//	                              ?asOf= ?count= ?group= ?compute= ?explain=
//	GET    /api/{kind}            watch, with Accept: text/event-stream: ?filter= ?from=
//	GET    /api/{kind}/{id}       read: ?consistency=eventual or linearizable
//	PATCH  /api/{kind}/{id}       update by a JSON merge patch; If-Match: "VERSION"
//	DELETE /api/{kind}/{id}       delete; If-Match: "VERSION"
//	POST   /api/{kind}/{id}:{do}  send the event
//	POST   /api/batch             {"writes": [...]}, all or nothing
//	POST   /api/~calls            many calls in one request: see package calls
//	GET    /api/                  who asks, and the kinds that they may list
//	GET    /api/openapi.json      all of this for programs, of the kinds that they
//	                              may do anything to
//	GET    /api/roles:explain     why ?subject= may do ?verb= to ?link=, or may not
//	GET    /stats                 counts, rates and times: of all kinds, or ?kind=;
//	                              of services' eventual reads one in 16 is timed
//	GET    /metrics               the same, for Prometheus
//	GET    /healthz               200 once requests can be served
//
// A write takes ?durability=all or async (then it is answered by 202) and the
// header Idempotency-Key, which makes it happen once. An answer tells in
// Landfall-Position how far the node was; an eventual read that has the header is
// never answered from before that. A watch may go on from a position of the
// cluster that this one was copied from. X-Request-Id, traceparent and Retry-After are
// as everywhere.
//
// Who calls is told by a token, in a Bearer or Basic Authorization or in the
// cookie "landfall"; what the caller may do by roles, with everything denied
// that no role allows. The statistics are of the kinds that the caller may list,
// or, for Prometheus, has the verb "metrics" on. A scraper has a token of its own,
// and a role that shows it no documents:
//
//	{"subjects": ["users/prometheus"], "rules": [{"kinds": ["*"], "verbs": ["metrics"]}]}
//
// A capability's client, services/NAME, may do exactly
// what its kit.Service declares. The package owns the tokens, the roles,
// the groups and the limits (package access), and the audit of what was refused
// and of what administrators did (package audit).
//
// Any node serves eventual reads and watches; it passes everything else on to
// the leader. What a request does there, once it is read, is in package local, as
// is the client of services in the process, who need no HTTP for it.
package rest
