package pipeline

import (
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/pipeline/window"
	"landfall.dev/kit"
)

// inWindow tells whether p, which could start, may do so now. If not, it notes
// until when it waits.
func (w *walk) inWindow(p *part) bool {
	if p.window == nil || p.Override != nil {
		return true
	}
	if w.awaits(p) {
		return false
	}
	open, err := window.Read(*p.window)
	if err != nil { // it was read when the plan was made, by another binary
		w.fail(p, api.CauseFailure, shorten(err.Error()))
		return false
	}
	until := open.Opens(w.now)
	if !until.After(w.now) {
		return true
	}
	p.Until, p.Error = until, shorten(window.Closed(*p.window, until))
	return false
}

// awaits tells whether p waits for its window to open.
func (w *walk) awaits(p *part) bool {
	return p.State == api.RunWaiting && p.window != nil && p.Override == nil && w.now.Before(p.Until)
}

// override lets all begin that waits for its window.
func override(r api.Run, e kit.Event, now time.Time) (api.Run, []kit.Op) {
	var a api.OverrideArgs
	if err := e.Into(&a); err != nil {
		return r, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	if strings.TrimSpace(a.Reason) == "" {
		return r, kit.Refuse(kit.ErrInvalid, "give the reason for which it cannot wait for its window")
	}
	w := newWalk(&r, now)
	found := false
	for _, p := range w.all {
		if w.awaits(p) {
			p.Override, found = &api.Override{By: e.By, At: now, Reason: shorten(a.Reason)}, true
		}
	}
	if !found {
		return r, kit.Refuse(kit.ErrConflict, "nothing of the run waits for its window")
	}
	w.advance()
	return r, w.ops
}
