// Package webhook tells receivers outside of changed documents.
//
// It owns the subscriptions and the dead letters, and runs on the node that
// carries out the tasks. For each active subscription it watches the kind with
// the rights of who subscribed, and posts every document that has changed, in
// its latest version, signed after the Standard Webhooks specification
// (github.com/standard-webhooks/standard-webhooks):
//
//	change -posted-> done
//	   |       ^
//	   |       +--+ failed: again after 1 and 2 s
//	   +-failed thrice-> letter, retrying -posted-> deleted
//	                         |    ^  |
//	                         |    |  +--+ failed: again after 4 s to 1 h
//	                         +-given up-> letter, dead -:retry-> retrying
//
// The changes of one document are posted one after the other and never an older
// version after a newer one, at least once; a repeat has the same webhook-id.
// (A node that was paused may still post when another has taken over: its
// fencing number is lower, and the document has its version.)
// One document that fails holds up no other. What was posted is known by a
// position in the subscription, so the next node goes on where one has died.
// There are at most maxAtWork documents of a subscription at work and maxParked
// letters that are retried; beyond, the subscription waits where it is, in the
// log. A receiver that answers 410 ends its subscription.
package webhook
