// Package elect tells who leads a name, and lets programs campaign for it.
//
// It owns the leaders, one document for each name. Its fencing number grows
// with each change of holder and never goes back:
//
//	nobody -campaign-> held -renew-> held -resign-> nobody
//	                    |
//	                    +- not renewed for Age: the next campaign wins
//	any -claim-> held, until another claim
//
// A holder renews its lease every third of Age, and counts it by its own clock
// from before it asked; a candidate counts, by its own clock, from when it has
// seen the last renewal, and the document checks the time of the log besides.
// So the holder's context ends before another can win, unless the holder was
// paused. Such a one has a number that is too low: Assert in a batch refuses
// its writes, and systems outside refuse what they are handed with FenceOf.
//
// A claim takes over at once, without a lease: the node that the cluster's log
// has made its leader claims the name Tasks.
package elect
