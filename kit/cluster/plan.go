package cluster

import "time"

// standing is all that decides about a node's membership.
type standing struct {
	ID     string
	Member bool // in the log's configuration
	Voter  bool
	Alive  bool
	Ready  bool // has caught up
	Left   bool // said good-bye or was removed
	Down   time.Duration
}

// step is one change of the membership.
type step int

const (
	nothing   step = iota
	addReader      // a node that joined, or came back
	addVoter       // a reader that has caught up
	remove
)

// plan returns the next change of the membership, if one is due, and the id of
// the node. It is pure. Nodes must be sorted, so that leaders agree.
//
// Whoever left goes at once, whoever is dead for longer than grace when that
// makes the group safer: a reader is there to take the vote, or the rest then
// bears one more death. A voter goes only if most of the other voters are
// alive, so no step loses the majority.
func plan(nodes []standing, voters int, grace time.Duration) (step, string) {
	dead := func(n standing) bool { return n.Member && !n.Alive && n.Down >= grace }
	for _, n := range nodes {
		switch {
		case n.Member && n.Left && removable(nodes, n):
			return remove, n.ID
		case n.Alive && !n.Member && !n.Left:
			return addReader, n.ID
		case dead(n) && !n.Voter:
			return remove, n.ID
		}
	}
	spare, haveSpare := promotable(nodes)
	useful := haveSpare || tolerance(nodes, dead) > tolerance(nodes, nil)
	for _, n := range nodes {
		if dead(n) && useful && removable(nodes, n) {
			return remove, n.ID
		}
	}
	if count, _ := electorate(nodes, nil); haveSpare && count < voters {
		return addVoter, spare
	}
	return nothing, ""
}

// promotable returns the first reader that has caught up.
func promotable(nodes []standing) (string, bool) {
	for _, n := range nodes {
		if n.Member && !n.Voter && n.Alive && n.Ready && !n.Left {
			return n.ID, true
		}
	}
	return "", false
}

// electorate counts the voters, and those alive, without some.
func electorate(nodes []standing, without func(standing) bool) (count, alive int) {
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
func tolerance(nodes []standing, without func(standing) bool) int {
	count, alive := electorate(nodes, without)
	return alive - (count/2 + 1)
}

// removable tells whether there is a majority with n and without.
func removable(nodes []standing, n standing) bool {
	return !n.Voter || tolerance(nodes, nil) >= 0 && tolerance(nodes, func(o standing) bool { return o.ID == n.ID }) >= 0
}
