// Package kit is the contract of the framework that Landfall and the
// platforms it delivers are built on: documents, and the services that own
// them.
//
// A document is JSON with an envelope ([Meta]), named by a [Link], held in
// memory by every node of a cluster and replicated through one log. A [Kind]
// declares a type of document. A [Service] declares which kinds it owns,
// watches and writes; each owned document's life is one pure function
// ([Next]) from state, event and time to state and wished operations ([Op]).
// All access goes through a [Client], whose calls are the same whether they
// stay in the process or cross a network.
//
// The package has no implementation of its own beyond data: store keeps
// documents, cluster replicates them, rest serves them, task carries
// operations out, elect tells who leads, webhook posts changes to receivers
// outside, blob keeps the bytes that documents name by [Digest], and migrate
// moves documents between clusters. It imports the standard library only.
package kit
