// Package inventory keeps what builds and images contain: dependencies, their
// licences and known vulnerabilities, and what the project's policy says of
// them. It scans nothing: a job runs a tool that does, such as syft, trivy,
// cyclonedx-gomod, osv-scalibr or osv-scanner, from an image of its own, and
// keeps the tool's file as a report of the kind cyclonedx or osv.
//
// It owns inventories, policies and the databases of advisories. It watches
// builds: one that has ended and kept such files gets an Inventory; and images:
// so does a bill of materials that was attached to one in the registry. The
// verdict on a patch becomes a vote on the change, which is review's affair; it
// is about what the patch brings along, compared with the latest inventory of
// what has landed. A notice to the project's channel tells what is new in what
// has landed. When a policy or the advisories change, what it may concern is
// judged again: patches that wait for it, what each job last made of what has
// landed, and what the channels offer.
//
//	inventory: judging ──judge.done──▶ passed | review | denied
//	              ▲ └────judge.failed─▶ error
//	              └────────judge────────┘
package inventory

import (
	"landfall.dev/api"
	"landfall.dev/kit"
)

// atOnce is how many inventories are judged at once.
const atOnce = 2

// Service declares all that inventory may touch. c acts as services/inventory.
// The files are in blobs.
func Service(c kit.Client, blobs kit.Blobs) kit.Service {
	s := judging{client: c, blobs: blobs}
	return kit.Service{
		Name: "inventory",
		Owns: []kit.Owned{
			kit.Own(api.Inventories, nextInventory, "judge"),
			kit.Own(api.Policies, nextPolicy),
			kit.Own(api.Advisories, nextAdvisories),
		},
		Watches: []kit.Reaction{kit.On(api.Builds, onBuild), kit.On(api.Images, onImage)},
		Reads:   []string{api.Channels.Name, api.Releases.Name},
		Writes:  []string{api.Notices.Name},
		Does:    kit.Does{"judge": s.judge, "spread": s.spread},
		Actions: atOnce,
	}
}
