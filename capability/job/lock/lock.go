// Package lock keeps builds apart that must not run at the same time.
//
// A lock has room for so many parts, which builds hold from before they are
// queued until they have ended. Who came first gets it first: a build that
// takes all of the room is not passed by small ones for ever.
package lock

import (
	"slices"
	"time"

	"landfall.dev/kit"
)

// All keep builds that must not run together apart. The id is
// "project~name".
var All = kit.Define[Lock]("locks")

// Lock is held by builds, in the order in which they came.
type Lock struct {
	kit.Meta
	Room    int      `json:"room"`
	Holders []Holder `json:"holders,omitempty"`
	Waiting []Holder `json:"waiting,omitempty"`
}

// Holder is a build that holds a part of a lock, or waits for it.
type Holder struct {
	Build kit.Link `json:"build"`
	Part  int      `json:"part"`
}

// Want are the arguments of the event "want": a build asks for a part of a lock
// with this room. It is sent the event "granted" with a Grant once it has it.
type Want struct {
	Build kit.Link `json:"build"`
	Room  int      `json:"room"`
	Part  int      `json:"part"`
}

// Free are the arguments of the event "free": a build gives back what it holds,
// or does not want it any more.
type Free struct {
	Build kit.Link `json:"build"`
}

// Grant is what a build is told.
type Grant struct {
	Lock kit.Link `json:"lock"`
}

// Next returns l after e, and what must now happen.
func Next(l Lock, e kit.Event, _ time.Time) (Lock, []kit.Op) {
	switch e.Name {
	case "want":
		var w Want
		if err := e.Into(&w); err != nil {
			return l, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		l.Room = max(1, w.Room) // what the latest definition says
		held := func(h Holder) bool { return h.Build == w.Build }
		if slices.ContainsFunc(l.Holders, held) {
			return l, []kit.Op{grant(l, w.Build)}
		}
		if !slices.ContainsFunc(l.Waiting, held) {
			l.Waiting = append(l.Waiting, Holder{Build: w.Build, Part: max(1, w.Part)})
		}
	case "free":
		var f Free
		if err := e.Into(&f); err != nil {
			return l, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		held := func(h Holder) bool { return h.Build == f.Build }
		l.Holders = slices.DeleteFunc(slices.Clone(l.Holders), held)
		l.Waiting = slices.DeleteFunc(slices.Clone(l.Waiting), held)
	default:
		return l, nil
	}
	return fill(l)
}

// fill gives the room that there is to those who wait, in their order. One that
// wants more than there ever is gets it when nobody else has any.
func fill(l Lock) (Lock, []kit.Op) {
	var ops []kit.Op
	taken := 0
	for _, h := range l.Holders {
		taken += h.Part
	}
	for len(l.Waiting) > 0 {
		first := l.Waiting[0]
		if taken > 0 && taken+first.Part > l.Room {
			break
		}
		taken += first.Part
		l.Holders, l.Waiting = append(l.Holders, first), l.Waiting[1:]
		ops = append(ops, grant(l, first.Build))
	}
	return l, ops
}

func grant(l Lock, build kit.Link) kit.Op {
	return kit.Send(build, "granted", Grant{Lock: l.Link})
}
