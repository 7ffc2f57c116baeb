// Package plan decides how the membership of a cluster follows who is alive.
package plan

import "time"

// Standing is all that decides about a node's membership.
type Standing struct {
	ID     string
	Member bool // in the log's configuration
	Voter  bool
	Alive  bool
	Ready  bool // has caught up
	Left   bool // was removed for ever
	Down   time.Duration
}

// Step is one change of the membership.
type Step int

const (
	Nothing   Step = iota
	AddReader      // a node that joined, or came back
	AddVoter       // a reader that has caught up
	Remove
)

// Next returns the next change of the membership, if one is due, and the id of
// the node. It is pure. Nodes must be sorted, so that leaders agree.
//
// Whoever left goes at once, whoever is dead for longer than grace when that
// makes the group safer: a reader is there to take the vote, or the rest then
// bears one more death. A voter goes only if most of the other voters are
// alive, so no step loses the majority.
func Next(nodes []Standing, voters int, grace time.Duration) (Step, string) {
	dead := func(n Standing) bool { return n.Member && !n.Alive && n.Down >= grace }
	for _, n := range nodes {
		switch {
		case n.Member && n.Left && Removable(nodes, n):
			return Remove, n.ID
		case n.Alive && !n.Member && !n.Left:
			return AddReader, n.ID
		case dead(n) && !n.Voter:
			return Remove, n.ID
		}
	}
	spare, haveSpare := promotable(nodes)
	useful := haveSpare || tolerance(nodes, dead) > tolerance(nodes, nil)
	for _, n := range nodes {
		if dead(n) && useful && Removable(nodes, n) {
			return Remove, n.ID
		}
	}
	if count, _ := electorate(nodes, nil); haveSpare && count < voters {
		return AddVoter, spare
	}
	return Nothing, ""
}

// promotable returns the first reader that has caught up.
func promotable(nodes []Standing) (string, bool) {
	for _, n := range nodes {
		if n.Member && !n.Voter && n.Alive && n.Ready && !n.Left {
			return n.ID, true
		}
	}
	return "", false
}

// electorate counts the voters, and those alive, without some.
func electorate(nodes []Standing, without func(Standing) bool) (count, alive int) {
	for _, n := range nodes {
		if !n.Member || !n.Voter || without != nil && without(n) {
			continue
		}
		count++
		if n.Alive {
			alive++
		}
	}
	return count, alive
}

// tolerance returns how many more deaths the voters without some can bear.
func tolerance(nodes []Standing, without func(Standing) bool) int {
	count, alive := electorate(nodes, without)
	return alive - (count/2 + 1)
}

// Removable tells whether there is a majority with n and without.
func Removable(nodes []Standing, n Standing) bool {
	return !n.Voter || tolerance(nodes, nil) >= 0 && tolerance(nodes, func(o Standing) bool { return o.ID == n.ID }) >= 0
}
