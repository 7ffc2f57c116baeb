// Package disk is the data directory of a node of a cluster: who the node is,
// whom it knows, and the log and the snapshots of github.com/hashicorp/raft.
//
// It checks all of that when a directory is opened, cuts off what a crash has
// torn, and refuses any other damage with the file and the place.
package disk
