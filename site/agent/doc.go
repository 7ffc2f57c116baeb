// Package agent is what runs beside deployed platforms: one environment's
// agent. It asks the hub, and nobody connects to it from there; without the
// hub it keeps everything running, and goes on with what it has taken on.
//
// It is a node of kit with documents of its own, in its data directory. It
// owns orders, instance-groups, routes and front-doors, and upgrades through
// [landfall.dev/site/upgrade]; at the hub it watches its environment,
// deployments and channels, and writes statuses and copies of upgrades.
//
//	hub: deployment, or a channel's signed release
//	   │ follow
//	   ▼
//	order: pulling → deploying → testing → (cleaning) → done | failed
//	          │         ├─ throw-away: a group of its own, destroyed after the tests
//	          │         └─ blue-green: an upgrade, through the front door
//	          └─ blobs by digest, resumed where a connection was cut
//	   │ report
//	   ▼
//	hub: status, copy of the upgrade
//
// Everything is a durable task: after a SIGKILL at any point the next process
// on the same data goes on. Instances do not end with the agent. Where the
// front door leads is decided by the log alone: see current.
//
// An environment without a channel believes the hub, whose pipelines it serves.
// One with a channel believes signatures only: see
// [landfall.dev/site/agent/verify]. Which of the two it is does not depend on
// the hub: an agent whose token pins a trust root, or that has once believed a
// channel, takes nothing else.
//
// The data directory holds
//
//	environment     the name of the environment that the directory is for
//	root            the trust root by which a channel was believed
//	node/           the agent's documents, and admin.token for its own API
//	blobs/ partial/ images, and what was fetched of them
//	groups/NAME/    the data of a group's instances
//	trust/          the hub's signed metadata as last verified
package agent
