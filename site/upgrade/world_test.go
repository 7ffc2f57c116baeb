package upgrade

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/site/upgrade/spare"
)

// world is a gate, a copier and groups in memory, which keep their promises
// and check what an upgrade must never do.
type world struct {
	t *testing.T
	// before and after are asked around the effect of each call; an error is the
	// call's answer. Both may block until ctx ends.
	before, after func(ctx context.Context, call string) error
	// cycles is asked for the result of each cycle.
	cycles func(final bool) Copied
	// returns is asked for the result of each cycle back.
	returns                  func(final bool) Copied
	different, differentBack int
	repairs                  bool // what differs
	poison, poisonBack       []api.Quarantined
	oneWay                   []string
	rooms                    map[string]api.Room // of the sides, and "free"
	values                   map[string]float64  // of the checks
	changed                  int64               // documents, on top of those that were written
	// torn says that both sides may take writes: one could not be fenced.
	torn bool
	// street, if not nil, is a platform in use, which copying slows down.
	street    *street
	stateless map[string]bool

	mu       sync.Mutex
	calls    []string
	groups   map[string]bool // that run
	fences   map[string]fence
	written  map[string]int64 // positions
	returned int64            // green's position up to which blue has all
	closed   map[string]bool
	slowed   float64
	holding  bool
	to       string
	epoch    int64 // of the gate
}

type fence struct {
	epoch int64
	on    bool
}

func newWorld(t *testing.T) *world {
	return &world{
		t:         t,
		stateless: map[string]bool{},
		groups:    map[string]bool{"blue": true},
		closed:    map[string]bool{},
		fences:    map[string]fence{"blue": {1, false}},
		written:   map[string]int64{"blue": 500, "green": 700},
		to:        "blue", epoch: 9,
	}
}

// call records a call and carries its effect out between the hooks.
func (w *world) call(ctx context.Context, name string, effect func() error) error {
	w.mu.Lock()
	w.calls = append(w.calls, name)
	w.mu.Unlock()
	time.Sleep(time.Millisecond)
	if w.before != nil {
		if err := w.before(ctx, name); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	w.mu.Lock()
	err := effect()
	w.mu.Unlock()
	if err == nil && w.after != nil {
		err = w.after(ctx, name)
	}
	return err
}

func (w *world) Hold(ctx context.Context) error {
	err := w.call(ctx, "hold", func() error { w.holding = true; return nil })
	if err != nil && ctx.Err() != nil {
		w.mu.Lock()
		w.holding = false
		w.mu.Unlock()
	}
	return err
}

func (w *world) Open(ctx context.Context, side api.Side, epoch int64) error {
	return w.call(ctx, fmt.Sprintf("open %s %d", side.Group, epoch), func() error {
		if epoch < w.epoch || epoch == w.epoch && w.to != side.Group {
			return kit.Errorf(kit.ErrConflict, "", "epoch %d is older than %d", epoch, w.epoch)
		}
		if w.fences[side.Group].on {
			w.t.Errorf("traffic was opened to %s, which is fenced", side.Group)
		}
		for group, f := range w.fences {
			if group != side.Group && w.groups[group] && !f.on && !w.stateless[group] && !w.torn {
				w.t.Errorf("traffic was opened to %s while %s takes writes", side.Group, group)
			}
		}
		w.holding, w.to, w.epoch = false, side.Group, epoch
		return nil
	})
}

func (w *world) Stateless(ctx context.Context, side api.Side) (bool, error) {
	var is bool
	err := w.call(ctx, "stateless "+side.Group, func() error { is = w.stateless[side.Group]; return nil })
	return is, err
}

func (w *world) Cycle(ctx context.Context, from, to api.Side, rate float64, final bool) (Copied, error) {
	if w.street != nil {
		return w.street.copy(ctx, rate, final)
	}
	name := "cycle"
	if final {
		name = "final cycle"
	}
	c := Copied{Documents: 1000, Bytes: 200_000, Took: 10 * time.Millisecond}
	err := w.call(ctx, name, func() error {
		if w.cycles != nil {
			c = w.cycles(final)
		}
		c.Failed = append(c.Failed, unwaived(w.poison)...)
		if final && !w.fences[from.Group].on {
			w.t.Errorf("the final cycle began while %s takes writes", from.Group)
		}
		return nil
	})
	if err == nil {
		time.Sleep(c.Took)
	}
	return c, err
}

func (w *world) Fence(ctx context.Context, side api.Side, epoch int64, on bool) error {
	word := map[bool]string{true: "fence", false: "lift"}[on]
	return w.call(ctx, fmt.Sprintf("%s %s %d", word, side.Group, epoch), func() error {
		if epoch < w.fences[side.Group].epoch {
			return kit.Errorf(kit.ErrConflict, "", "epoch %d is older than %d", epoch, w.fences[side.Group].epoch)
		}
		w.fences[side.Group] = fence{epoch, on}
		delete(w.closed, side.Group)
		return nil
	})
}

func (w *world) Documents(_ context.Context, side api.Side) (int64, error) {
	return map[string]int64{"blue": 1000, "green": 400}[side.Group], nil
}

func (w *world) Position(ctx context.Context, side api.Side) (string, error) {
	var p string
	err := w.call(ctx, "position "+side.Group, func() error { p = fmt.Sprintf("3.%d", w.written[side.Group]); return nil })
	return p, err
}

func (w *world) Changed(ctx context.Context, side api.Side, after string) (int64, error) {
	var n int64
	err := w.call(ctx, "changed "+side.Group, func() error {
		p, err := kit.ParsePosition(after)
		n = w.written[side.Group] - p.Seq + w.changed
		return err
	})
	return n, err
}

func (w *world) Verify(ctx context.Context, _, _ api.Side) (api.Verification, error) {
	v := api.Verification{Documents: 1000, Buckets: 4096, Different: w.different}
	return v, w.call(ctx, "verify", func() error { return nil })
}

func (w *world) Slow(ctx context.Context, share float64) error {
	return w.call(ctx, fmt.Sprintf("slow %.2f", share), func() error { w.slowed = 1 - share; return nil })
}

func (w *world) Irreversible(ctx context.Context, _, _ api.Side) ([]string, error) {
	return w.oneWay, w.call(ctx, "irreversible", func() error { return nil })
}

func (w *world) Return(ctx context.Context, from, to api.Side, base string, final bool) (Copied, error) {
	name := "return green"
	if final {
		name = "final return green"
	}
	var c Copied
	err := w.call(ctx, name, func() error {
		if final && !w.fences[from.Group].on {
			w.t.Errorf("the final return began while %s takes writes", from.Group)
		}
		if !w.fences[to.Group].on {
			return kit.Errorf(kit.ErrConflict, "", "%s takes writes", to.Group)
		}
		p, err := kit.ParsePosition(base)
		if err != nil {
			return err
		}
		if w.returns != nil {
			c = w.returns(final)
			return nil
		}
		from := max(w.returned, p.Seq)
		c = Copied{Documents: w.written["green"] - from, Took: time.Millisecond, Failed: unwaived(w.poisonBack)}
		w.returned = w.written["green"]
		return nil
	})
	return c, err
}

func (w *world) VerifyBack(ctx context.Context, _, _ api.Side) (api.Verification, error) {
	var v api.Verification
	err := w.call(ctx, "verify back green", func() error {
		v = api.Verification{Documents: 1000, Buckets: 4096, Different: w.differentBack}
		return nil
	})
	return v, err
}

func (w *world) Repair(ctx context.Context, _, _ api.Side) (Copied, error) {
	err := w.call(ctx, "repair", func() error {
		if w.repairs {
			w.different = 0
		}
		return nil
	})
	return Copied{Documents: 1}, err
}

func (w *world) RepairBack(ctx context.Context, _, _ api.Side, _ string) (Copied, error) {
	err := w.call(ctx, "repair back", func() error {
		if w.repairs {
			w.differentBack = 0
		}
		return nil
	})
	return Copied{Documents: 1}, err
}

func (w *world) Quarantine(_ context.Context, _ api.Side, back bool) ([]api.Quarantined, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if back {
		return slices.Clone(w.poisonBack), nil
	}
	return slices.Clone(w.poison), nil
}

func (w *world) Retry(ctx context.Context, _, _ api.Side) (Copied, error) {
	return Copied{}, w.call(ctx, "retry", func() error { w.poison = nil; return nil })
}

func (w *world) Waive(ctx context.Context, side api.Side, by string, links []kit.Link) error {
	return w.call(ctx, fmt.Sprintf("waive %s %v", side.Group, links), func() error {
		all := w.poison
		if side.Group == "blue" {
			all = w.poisonBack
		}
		for _, l := range links {
			i := slices.IndexFunc(all, func(q api.Quarantined) bool { return q.Link == l })
			if i < 0 {
				return kit.Errorf(kit.ErrNotFound, l, "it is not in quarantine")
			}
			all[i].WaivedBy = by
		}
		return nil
	})
}

func unwaived(all []api.Quarantined) (failed []string) {
	for _, q := range all {
		if q.WaivedBy == "" {
			failed = append(failed, q.String())
		}
	}
	return failed
}

func (w *world) Pace(_ context.Context, _ api.Side, rate float64) (int64, error) {
	if w.street != nil {
		return w.street.pace(rate)
	}
	return 0, nil
}

func (w *world) Lately() (spare.Window, func() spare.Window) {
	if w.street != nil {
		return w.street.lately()
	}
	return spare.Window{}, func() spare.Window { return spare.Window{} }
}

// Close is no call that is recorded: it comes at any time after the switch.
func (w *world) Close(_ context.Context, side api.Side) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed[side.Group] = w.fences[side.Group].on
	return nil
}

func (w *world) Room(_ context.Context, side api.Side) (api.Room, error) {
	return w.rooms[side.Group], nil
}

func (w *world) Free(context.Context) (api.Room, error) { return w.rooms["free"], nil }

func (w *world) Value(_ context.Context, _ api.Upgrade, c api.Check) (float64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.values[c.Name]
	if !ok {
		return 0, errors.New("there is no value")
	}
	return v, nil
}

func (w *world) Start(ctx context.Context, side api.Side, standby bool) (api.Side, error) {
	name := "start " + side.Group
	if standby {
		name += " in standby"
	}
	side.URLs = []string{"http://127.0.0.1:1"}
	return side, w.call(ctx, name, func() error {
		w.groups[side.Group] = true
		if _, known := w.fences[side.Group]; !known {
			w.fences[side.Group] = fence{1, standby}
		}
		return nil
	})
}

func (w *world) Stop(ctx context.Context, side api.Side) error {
	return w.call(ctx, "stop "+side.Group, func() error {
		if w.to == side.Group && side.Group != "" && !w.holding {
			w.t.Errorf("%s was deleted while traffic goes there", side.Group)
		}
		delete(w.groups, side.Group)
		return nil
	})
}

// made returns the calls so far.
func (w *world) made() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *world) count(call string) int {
	n := 0
	for _, c := range w.made() {
		if c == call || strings.HasPrefix(c, call+" ") {
			n++
		}
	}
	return n
}

// serving checks that traffic goes to the group and that it takes writes.
func (w *world) serving(group string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.holding || w.to != group || w.fences[group].on || w.closed[group] || !w.groups[group] {
		w.t.Errorf("holding %t, traffic goes to %s, %s runs %t with fence %+v, closed %t; want traffic to %s; calls:\n%s",
			w.holding, w.to, group, w.groups[group], w.fences[group], w.closed[group], group, strings.Join(w.calls, "\n"))
	}
}

// rig is a node with the service under test.
type rig struct {
	*kittest.Cluster
	t       *testing.T
	service kit.Service
	stop    func()
}

// start runs an upgrade service over the world; wrap may replace its client.
func start(t *testing.T, w *world, wrap func(kit.Client) kit.Client) *rig {
	t.Helper()
	return startOver(t, w, w, wrap)
}

// startWith does the same with another copier.
func startWith(t *testing.T, w *world, c Copier) *rig {
	t.Helper()
	return startOver(t, w, c, nil)
}

func startOver(t *testing.T, w *world, copier Copier, wrap func(kit.Client) kit.Client) *rig {
	t.Helper()
	c := kittest.Serve(t)
	client := c.Client("services/upgrade")
	if wrap != nil {
		client = wrap(client)
	}
	log := kittest.Log(t, slog.LevelError+4)
	r := &rig{Cluster: c, t: t, service: Service(client, w, copier, w, w, log)}
	c.Server.Add(r.service)
	r.run()
	return r
}

func (r *rig) run() { r.stop = r.Run(r.service) }

// wanted is an upgrade as an agent creates it.
func wanted() api.Upgrade {
	return api.Upgrade{
		Environment: "acme", Project: "ledger", Epoch: 10,
		Blue:  api.Side{Group: "blue", Image: "ledger@sha256:1", URLs: []string{"http://127.0.0.1:2"}},
		Green: api.Side{Group: "green", Image: "ledger@sha256:2"},
	}
}

func (r *rig) create(u api.Upgrade) {
	r.t.Helper()
	if _, err := api.Upgrades.Create(r.t.Context(), r.Admin(), "1", u); err != nil {
		r.t.Fatalf("create: %v", err)
	}
}

func (r *rig) send(method string, args any) error {
	_, err := api.Upgrades.Send(r.t.Context(), r.Admin(), "1", method, args)
	return err
}

// awaits returns the upgrade once it is as described.
func (r *rig) awaits(what string, done func(api.Upgrade) bool) api.Upgrade {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Hour)
	defer cancel()
	u, err := api.Upgrades.Await(ctx, r.Admin(), "1", done)
	if err != nil {
		now, _ := api.Upgrades.Read(r.t.Context(), r.Admin(), "1")
		r.t.Fatalf("awaiting that it is %s: %v; it is %s, %s, pending %v", what, err, now.State, now.Error, now.Pending)
	}
	return u
}

// await returns the upgrade once it is in one of the states and nothing that
// was asked for is pending.
func (r *rig) await(states ...api.UpgradeState) api.Upgrade {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Hour)
	defer cancel()
	u, err := api.Upgrades.Await(ctx, r.Admin(), "1", func(u api.Upgrade) bool {
		return slices.Contains(states, u.State) && u.Settled()
	})
	if err != nil {
		now, _ := api.Upgrades.Read(r.t.Context(), r.Admin(), "1")
		r.t.Fatalf("awaiting %v: %v; it is %s, %s, pending %v", states, err, now.State, now.Error, now.Pending)
	}
	return u
}

// states returns the states that u was in.
func states(u api.Upgrade) string {
	var all []string
	for _, m := range u.History {
		all = append(all, string(m.State))
	}
	return strings.Join(all, " ")
}
