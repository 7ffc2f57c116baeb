// Package rest is the one way to documents: a Server that offers them over
// HTTP, and the Client for it, which is the same inside the process and
// outside of it.
//
//	POST   /api/{kind}            create; the id from ?id= or the body's link
//	GET    /api/{kind}            list: ?filter= ?order= ?limit= ?token=
//	GET    /api/{kind}            watch, with Accept: text/event-stream: ?filter= ?from=
//	GET    /api/{kind}/{id}       read: ?consistency=eventual or linearizable
//	PATCH  /api/{kind}/{id}       update by a JSON merge patch; If-Match: "VERSION"
//	DELETE /api/{kind}/{id}       delete; If-Match: "VERSION"
//	POST   /api/{kind}/{id}:{do}  send the event
//	POST   /api/batch             {"writes": [...]}, all or nothing
//	GET    /api/                  the kinds
//	GET    /api/openapi.json      all of this for programs
//	GET    /metrics               statistics, for Prometheus
//	GET    /healthz               200 once requests can be served
//
// Who calls is told by a token, in a Bearer or Basic Authorization or in the
// cookie "landfall"; what the caller may do by roles, with everything denied
// that no role allows. A capability's client, services/NAME, may do exactly
// what its kit.Service declares. The package owns the tokens, the roles and
// the groups.
//
// Any node serves eventual reads and watches; it passes everything else on to
// the leader.
package rest
