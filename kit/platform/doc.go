// Package platform puts the parts of kit together to one node of a running
// platform: documents in memory, replicated to the other nodes of its cluster,
// served over HTTP, with the services' tasks on whichever node leads.
//
// A platform's main function makes a Node, adds its services and runs it:
//
//	node, err := platform.New(platform.Config{Data: "data", Listen: "127.0.0.1:7700"})
//	...
//	node.Add(ledger.Service(node.Client("services/ledger")))
//	err = node.Run(ctx)
//
// A node can start in standby: it refuses clients' writes and rests its tasks
// until the fence is lifted, which is how the new version of a platform is
// filled from the old one.
package platform
