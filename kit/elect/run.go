package elect

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"landfall.dev/kit"
)

// The times of a lease, all by this machine's own clock.
const (
	renewal = Age / 3         // between two renewals
	margin  = Age / 10        // the holder stops so much before its lease ends
	pause   = Age / 30        // before a failed renewal or campaign is repeated
	handing = 3 * time.Second // for the resignation
)

// ErrLost is why the context of a leader ends whose lease could not be renewed
// in time.
var ErrLost = errors.New("the lease could not be renewed in time: another may lead")

// Run campaigns for the name as holder and calls lead while it leads. lead's
// context carries the fencing number, for kit.FenceOf too, and ends before
// another can lead; lead then returns soon, and Run campaigns again. When lead
// returns by itself, the next candidate leads at once, and Run returns lead's
// error. When ctx ends, it returns the cause.
//
// A service that campaigns declares that it writes the kind leaders.
func Run(ctx context.Context, c kit.Client, name, holder string, lead func(ctx context.Context, fence int64) error) error {
	for {
		x := &candidate{client: c, name: name, holder: holder, session: rand.Text()}
		began, l, err := x.campaign(ctx)
		if err != nil {
			return err
		}
		t := &tenure{client: c, term: Term{name, holder, l.Fence}}
		again, err := t.run(ctx, began, lead)
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !again:
			return err
		}
	}
}

// candidate wants to lead.
type candidate struct {
	client                kit.Client
	name, holder, session string

	seen   int64     // the version that was seen last
	seenAt time.Time // for the first time
}

// campaign returns when x leads, with when it asked for that at the latest.
// An error is for good.
func (x *candidate) campaign(ctx context.Context) (began time.Time, l Leader, err error) {
	for {
		l, err := x.look(ctx)
		if err == nil && x.free(l) {
			began = time.Now()
			if l, err = x.win(ctx, l.Version); err == nil {
				return began, l, nil
			}
		}
		switch {
		case ctx.Err() != nil:
			return began, l, context.Cause(ctx)
		case err == nil:
			x.wait(ctx)
		case errors.Is(err, kit.ErrConflict), errors.Is(err, kit.ErrNotFound), kit.Temporary(err):
			sleep(ctx, pause)
		default:
			return began, l, fmt.Errorf("campaigning for %s: %w", x.name, err)
		}
	}
}

// look returns the leader, whose document it makes if there is none.
func (x *candidate) look(ctx context.Context) (Leader, error) {
	l, err := Leaders.Read(ctx, x.client, x.name)
	if errors.Is(err, kit.ErrNotFound) {
		l, err = Leaders.Create(ctx, x.client, x.name, Leader{})
	}
	if err == nil && l.Version != x.seen {
		x.seen, x.seenAt = l.Version, time.Now()
	}
	return l, err
}

// free tells whether nobody else can be leading now.
func (x *candidate) free(l Leader) bool {
	if l.Holder == "" || l.Session == x.session {
		return true
	}
	return !l.Until.IsZero() && time.Since(x.seenAt) >= Age
}

// win takes the lead, unless the document has changed since the version.
func (x *candidate) win(ctx context.Context, version int64) (Leader, error) {
	args, err := json.Marshal(arguments{Holder: x.holder, Session: x.session})
	if err != nil {
		return Leader{}, err
	}
	records, err := x.client.Batch(ctx, []kit.Write{{Verb: methodCampaign, Link: Leaders.Link(x.name), Body: args, IfMatch: version}})
	if err != nil {
		return Leader{}, err
	}
	return Leaders.Decode(records[0])
}

// wait returns when the document is not at the version seen any more, or when
// it is time to look again.
func (x *candidate) wait(ctx context.Context) {
	limit := renewal
	if left := Age - time.Since(x.seenAt); left > 0 && left < limit {
		limit = left
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := Leaders.Await(ctx, x.client, x.name, func(l Leader) bool { return l.Version != x.seen })
	if err != nil && ctx.Err() == nil {
		sleep(ctx, pause) // it may not watch, or the document is gone
	}
}

// tenure is the time while a holder leads.
type tenure struct {
	client kit.Client
	term   Term
}

// run calls lead while the lease can be renewed. again tells that it was lost.
func (t *tenure) run(ctx context.Context, began time.Time, lead func(context.Context, int64) error) (again bool, err error) {
	inner, end := context.WithCancelCause(kit.WithFence(ctx, t.term.Fence))
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		t.keep(inner, began, end)
	}()
	err = lead(inner, t.term.Fence)
	again = errors.Is(context.Cause(inner), ErrLost)
	end(errors.New("the leader has returned"))
	<-kept
	if !again {
		t.resign(ctx)
	}
	return again, err
}

// keep renews the lease until ctx ends, and ends it when that may be too late.
func (t *tenure) keep(ctx context.Context, began time.Time, end context.CancelCauseFunc) {
	expiry := time.AfterFunc(time.Until(began.Add(Age-margin)), func() { end(ErrLost) })
	defer expiry.Stop()
	for wait := time.Until(began.Add(renewal)); ; {
		sleep(ctx, wait)
		if ctx.Err() != nil {
			return
		}
		asked := time.Now()
		err := t.tell(ctx, methodRenew)
		switch {
		case err == nil:
			expiry.Reset(time.Until(asked.Add(Age - margin)))
			wait = time.Until(asked.Add(renewal))
		case kit.Temporary(err):
			wait = pause
		default:
			end(fmt.Errorf("%w: %w", ErrLost, err))
			return
		}
	}
}

// resign gives the lead to the next candidate. If that fails, the lease ends
// by itself.
func (t *tenure) resign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), handing)
	defer cancel()
	_ = t.tell(ctx, methodResign)
}

func (t *tenure) tell(ctx context.Context, method string) error {
	args, err := json.Marshal(arguments{Fence: t.term.Fence})
	if err != nil {
		return err
	}
	_, err = t.client.Do(ctx, Leaders.Link(t.term.Name), method, args)
	return err
}

// sleep returns when d has passed or ctx has ended.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
