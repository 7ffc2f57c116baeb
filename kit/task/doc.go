// Package task carries out what documents and reactions wish for.
//
// It owns the cursors, one document for each service and kind that it watches.
// For each kind that a service owns it follows the documents and attempts
// their pending operations until each is acknowledged:
//
//	pending -due-> attempted -done, or refused for good-> acknowledged
//	                  ^  |
//	                  +--+ temporary failure: again after 0.1 to 30 s
//
// The operations of one document are carried out in their order, except that
// one with a time waits for that alone, so that a timer ends what takes too
// long. For each reaction it follows the kind from the cursor and carries out
// the operations that the reaction wishes for; a change that fails is tried
// again on the side, and the cursor stays before it until it is done. (So a
// timer belongs into a document's life, not into a reaction.)
//
// What is kept is in documents, so a Runner resumes where another, on any
// node, has stopped or crashed; it may repeat what was not acknowledged.
package task
