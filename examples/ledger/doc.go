// Command ledger is a stateful platform built on kit: accounts, and transfers
// between them that are never lost, doubled or half done, and their receipts,
// whose papers are blobs. It is what the demo delivers and upgrades, and the
// example to start a platform from.
//
//	ledger            run a node; see platform.FromEnvironment
//	ledger smoke      check a running ledger, as the tests of a deployment
//	ledger seed       fill a running ledger with documents
//	ledger load       use a running ledger at a steady rate, and account for it
//
// The file v2.patch is its next version: it renames a field, adds one with a
// default, and changes the type of a third.
package main
