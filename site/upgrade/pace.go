package upgrade

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// How writers are slowed while the copy does not converge. The ladder is that
// of QEMU's migration (auto-converge): a cycle during which more than half as
// much has changed as it has copied is one that does not help.
const (
	firstSlow   = 0.2
	slowStep    = 0.1
	defaultSlow = 0.5 // the most
	enoughLeft  = 0.5 // of what the cycle has copied
)

// slowly is the time between two cycles of an upgrade that waits.
const slowly = 10 * time.Second

// slower returns the share of their rate that writers have to be kept from
// from now on, which is the present one if the last cycle has helped, or was
// bound: the next one is not.
func slower(u api.Upgrade, last api.Cycle) float64 {
	most := u.Slow
	if most == 0 {
		most = defaultSlow
	}
	if u.Rehearse || most < 0 || improves(last) || last.Bound > 0 {
		return u.Slowed
	}
	if u.Slowed == 0 {
		return min(firstSlow, most)
	}
	step := float64(int((u.Slowed+slowStep)*100+0.5)) / 100 // 0.3, not 0.30000000000000004
	return min(step, max(most, u.Slowed))
}

// improves tells whether the cycle has left much less than it has copied.
func improves(c api.Cycle) bool { return float64(c.Left) <= enoughLeft*float64(c.Documents) }

// slow makes the gate keep writers from the share of their rate, as far as the
// gate can: an upgrade that does not converge then is given up.
func (d *driver) slow(ctx context.Context, u api.Upgrade) {
	if u.Slowest == 0 {
		return
	}
	d.door.Lock()
	defer d.door.Unlock()
	if err := d.gate.Slow(ctx, 1-u.Slowed); err != nil && ctx.Err() == nil {
		d.log.Warn("writers were not slowed", "upgrade", u.Link, "share", u.Slowed, "error", err)
	}
}

// quicken lets writers write as fast as they want.
func (d *driver) quicken(ctx context.Context, u api.Upgrade) error {
	if u.Slowest == 0 {
		return nil
	}
	d.door.Lock()
	defer d.door.Unlock()
	if err := d.gate.Slow(ctx, 1); err != nil {
		return fmt.Errorf("letting writers go on as fast as they want: %w", err)
	}
	return nil
}

// later wishes for the next cycle of an upgrade that waits.
func later(u api.Upgrade, now time.Time) []kit.Op {
	op := kit.Call(api.UpgradeCopies, laterID(u), nil)
	op.At = now.Add(slowly)
	return []kit.Op{op}
}

func laterID(u api.Upgrade) string { return strconv.Itoa(nextNumber(u)) + " later" }

// How long a cutover is not tried again after an attempt that failed before
// blue was fenced, as when a further front door does not answer: the time
// doubles with each. Meanwhile there is a cycle every aside, so that little is
// left.
const (
	firstAside   = time.Second
	longestAside = 30 * time.Second
	aside        = 5 * time.Second
)

// unfenced returns how many attempts at the cutover did not come to fence blue.
func unfenced(u api.Upgrade) int { return u.Attempts - count(u, api.UpgradeFenced) }

// exhausted tells whether the attempt that is under way is the last one.
func exhausted(u api.Upgrade) bool {
	if u.State == api.UpgradeHolding {
		return unfenced(u) >= maxHolds
	}
	return count(u, api.UpgradeFenced) >= maxAttempts
}

// nextAttempt returns when the cutover may be tried again, which is at once
// after an attempt that has fenced blue, and if somebody has resumed it since.
func nextAttempt(u api.Upgrade) time.Time {
	for i, m := range slices.Backward(u.History) {
		if m.State != api.UpgradeReopening {
			continue
		}
		if u.History[i-1].State != api.UpgradeHolding || u.Resumed.After(m.At) {
			break
		}
		return m.At.Add(min(firstAside<<(unfenced(u)-1), longestAside))
	}
	return time.Time{}
}

// meanwhile wishes for the next cycle of an upgrade that is ready before it may
// try the cutover again.
func meanwhile(u api.Upgrade, now time.Time) (api.Upgrade, []kit.Op) {
	u.Slowed = 0
	op := again(u)[0]
	if op.At = now.Add(aside); op.At.After(nextAttempt(u)) {
		op.At = nextAttempt(u)
	}
	return u, []kit.Op{op}
}

// committedBy says why an event comes too late, or nothing.
func committedBy(u api.Upgrade) string {
	if _, committed := last(u, api.UpgradeCommitted); committed {
		return fmt.Sprintf("the upgrade is %s, past its commit", u.State)
	}
	if u.State == api.UpgradeAborting || u.State.Over() {
		return fmt.Sprintf("the upgrade is %s", u.State)
	}
	return ""
}

// paused makes u copy slowly and not hold traffic. What is held goes on with
// blue.
func paused(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	why := committedBy(u)
	switch {
	case why != "":
		return u, kit.Refuse(kit.ErrConflict, "%s: it cannot be paused", why)
	case u.Paused:
		return u, nil
	}
	waited := u.Waiting()
	u.Paused = true
	text := "paused by " + e.By
	switch u.State {
	case api.UpgradeHolding, api.UpgradeFenced, api.UpgradeFinal, api.UpgradeVerified:
		if exhausted(u) {
			return u, kit.Refuse(kit.ErrConflict, "this is the last attempt at the cutover, and it is under way: abort it instead")
		}
		u.Epoch++
		u.Slowed = 0
		return enter(u, api.UpgradeReopening, now, text), nil
	case api.UpgradeReady:
		u = enter(u, api.UpgradeReady, now, text)
		if waited || u.Rehearse {
			return u, nil
		}
		ops := []kit.Op{kit.Cancel(cutover(u)[0].ID)}
		if u.Stateless {
			return u, ops
		}
		u.Slowed = 0
		return u, append(ops, later(u, now)...)
	}
	return enter(u, u.State, now, text), nil
}

// resumed ends a pause, and begins the cutover of what is ready.
func resumed(u api.Upgrade, e kit.Event, now time.Time) (api.Upgrade, []kit.Op) {
	if why := committedBy(u); why != "" {
		return u, kit.Refuse(kit.ErrConflict, "%s: there is nothing to go on with", why)
	}
	if !u.Waiting() {
		return u, nil
	}
	if e.Name == "go" {
		u.Hold = ""
	}
	u.Paused, u.Resumed = false, now
	if left := stuck(u); !u.Waiting() && len(left) > 0 {
		return u, kit.Refuse(kit.ErrConflict, "%s and would end the upgrade: waive, retry or cancel", untransformed(left))
	}
	u = enter(u, u.State, now, map[bool]string{true: "go, said by ", false: "resumed by "}[e.Name == "go"]+e.By)
	unless := []kit.Op{kit.Cancel(api.UpgradeCopies + " " + laterID(u))}
	switch {
	case u.State == api.UpgradeReady && !u.Waiting() && !u.Rehearse:
		return u, append(unless, cutover(u)...)
	case u.State == api.UpgradeCopying:
		return u, append(unless, again(u)...)
	}
	return u, nil
}
