// Package task carries out what documents and reactions wish for.
//
// It owns the cursors, one document for each service and kind that it watches,
// and the steps. For each kind that a service owns it follows the documents
// and attempts their pending operations until each is acknowledged:
//
//	pending -due-> attempted -done, or refused for good-> acknowledged
//	                  ^  |  |
//	                  |  |  +- cancelled by its document -> gone
//	                  |  |  +- deadline, or tried often enough -> NAME.failed
//	                  +--+ temporary failure: again after 0.1 to 30 s, or as
//	                       the operation says
//
// The operations of one document are carried out in their order, except that
// one with a time waits for that alone, so that a timer ends what takes too
// long. For each reaction it follows the kind from the cursor and carries out
// the operations that the reaction wishes for; a change that fails is tried
// again on the side, and the cursor stays before it until it is done. (So a
// timer, a deadline and a number of attempts belong into a document's life, not
// into a reaction.)
//
// What is kept is in documents, so a Runner resumes where another, on any
// node, has stopped or crashed; it may repeat what was not acknowledged. All
// that it writes carries the fencing number of its node's term, so a node that
// does not know yet that another has taken over changes nothing (kit/elect).
//
// What became of a document's actions, on which nodes, and how far a running
// one has come, is readable as steps/KIND.ID for a week.
package task
