// Package sim replays the decisions of the planner of upgrades, which is a pure
// function, against golden traces: what has happened goes in, states, wishes and
// predictions come out, without a clock, a disk or a network.
//
// A trace is a file in testdata. Its steps have the input, and what was decided:
//
//	after   time since the step before, as "10ms"
//	event   name of the event, by and data
//	state   that the upgrade has come to, with the text of its history
//	ops     that it wishes for: their ids, and when if not now
//	predicts the pause, if a cycle has ended
//	fields  of the document that the event has changed
//	refused why the event was refused
//
// To write a new trace, write its input and run go test ./test/sim -update; then
// read what was decided.
package sim
