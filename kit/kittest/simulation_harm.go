package kittest

import (
	"slices"
	"time"

	"landfall.dev/kit/store/memory"
)

// send carries a message from one node to another: late, twice or never.
func (w *world) send(from, to *simNode, f func()) {
	if !w.calm && w.chance(4) {
		return
	}
	copies := 1
	if w.chance(4) {
		copies = 2
	}
	for range copies {
		delay := time.Millisecond + w.upTo(8*time.Millisecond)
		if !w.calm && w.chance(5) {
			delay += w.upTo(400 * time.Millisecond)
		}
		life := to.life
		w.after(delay, func() {
			if to.up && to.life == life && !w.cuts[[2]int{from.id, to.id}] {
				f()
			}
		})
	}
}

// beat has leaders repeat what may have been lost.
func (w *world) beat() {
	w.inLine = w.calm && !slices.ContainsFunc(w.nodes, func(n *simNode) bool {
		return n.applied != uint64(len(w.committed)) || n.last() != n.applied || n.batch != nil || len(n.queue) > 0
	})
	for _, n := range w.nodes {
		if n.up && n.leads {
			for _, f := range w.nodes {
				n.replicate(f)
			}
		}
	}
}

// elect makes a node the leader if there is none that a majority hears, and
// sometimes though there is one.
func (w *world) elect() {
	for _, n := range w.nodes {
		if n.up && n.leads && len(w.voters(n)) > len(w.nodes)/2 && (w.calm || !w.chance(2)) {
			return
		}
	}
	n := w.nodes[w.random.IntN(len(w.nodes))]
	if voters := w.voters(n); n.up && len(voters) > len(w.nodes)/2 {
		term := uint64(0)
		for _, v := range voters {
			term = max(term, v.term)
		}
		for _, v := range voters {
			v.stepDown()
			v.term = term + 1
		}
		n.rule(term + 1)
	}
}

// voters returns the nodes that would have n lead, itself among them: those
// that it can talk with, whose term is not newer than that of one that leads,
// and whose log is not longer.
func (w *world) voters(n *simNode) []*simNode {
	var voters []*simNode
	last, _ := n.termAt(n.last())
	for _, v := range w.nodes {
		mine, _ := v.termAt(v.last())
		newer := mine > last || mine == last && v.last() > n.last()
		if v.up && !w.cuts[[2]int{n.id, v.id}] && !w.cuts[[2]int{v.id, n.id}] && (v == n || !newer && !(n.leads && v.term > n.term)) {
			voters = append(voters, v)
		}
	}
	return voters
}

// harm does something bad to the cluster.
func (w *world) harm() {
	if w.calm {
		return
	}
	n := w.nodes[w.random.IntN(len(w.nodes))]
	switch w.random.IntN(6) {
	case 0:
		if n.up {
			n.crash()
			w.after(20*time.Millisecond+w.upTo(800*time.Millisecond), n.restart)
		}
	case 1:
		if w.chance(15) {
			for _, n := range w.nodes {
				if n.up {
					n.crash()
					w.after(20*time.Millisecond+w.upTo(800*time.Millisecond), n.restart)
				}
			}
		}
	case 2:
		w.cut(n)
	case 3:
		n.skew = w.hours()
		if w.chance(10) && !w.script.Steady {
			n.skew += memory.TombstoneAge + 2*time.Hour // what was deleted is forgotten
		}
		w.note("the clock of node %d is off by %s", n.id, n.skew)
	default:
		if n.up {
			n.snapshot()
		}
	}
}

// cut loses what one node says to some others, or what they say to it.
func (w *world) cut(n *simNode) {
	hears, speaks := !w.chance(30), !w.chance(30)
	for _, o := range w.nodes {
		if o != n && w.chance(70) {
			w.cuts[[2]int{n.id, o.id}] = w.cuts[[2]int{n.id, o.id}] || !speaks || hears
			w.cuts[[2]int{o.id, n.id}] = w.cuts[[2]int{o.id, n.id}] || !hears || speaks
		}
	}
	w.note("node %d is cut off", n.id)
	w.after(100*time.Millisecond+w.upTo(time.Second), func() { clear(w.cuts) })
}

// becalm ends all harm: from now on the nodes come in line.
func (w *world) becalm() {
	w.note("calm")
	w.calm = true
	clear(w.cuts)
	for _, n := range w.nodes {
		n.restart()
	}
}
