// Package landfall is a map of this tree; it has no code.
//
// Landfall carries a change from a developer's patch to every place where a
// platform runs, and upgrades stateful platforms there while they take
// traffic. A newcomer reads, in this order:
//
//   - doc/flow.md: one change's way, from the Deployment back to the Push
//   - api: the documents that the product is made of
//   - kit: what a document, a service and a client are; below it, how they are
//     kept (store), replicated (cluster), served (rest), carried on (task),
//     moved to another version (migrate), and put together (platform)
//   - capability: one folder for each part of the hub; each folder's doc.go says
//     what it owns, watches, writes and serves
//   - runner, engine: how builds and platforms run
//   - site: what runs beside a deployed platform: agent, front door, upgrade
//   - web: the pages
//   - cmd/landfall: the binary, a file for each role and group of commands
//   - examples/hello: the smallest project, three jobs and a pipeline;
//   - examples/ledger: a stateful platform, which the demo delivers; and
//     examples/notes: a service in Python that is upgraded live, see
//     doc/protocol.md
//   - test: what no single package can test; internal/arch keeps this design
//
// Why things are as they are stands in doc/decisions.
package landfall
