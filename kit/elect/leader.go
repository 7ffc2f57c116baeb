package elect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"landfall.dev/kit"
)

// Age is how long a lease lasts after it was renewed.
const Age = 15 * time.Second

// Tasks is the name whose leader carries out the services' tasks.
const Tasks = "tasks"

// Leader is who leads a name.
type Leader struct {
	kit.Meta
	// Holder is who leads; empty means nobody.
	Holder string `json:"holder,omitempty"`
	// Fence is the fencing number of the holder, or of the last one.
	Fence int64 `json:"fence"`
	// Session tells two stays of one holder apart.
	Session string `json:"session,omitempty"`
	// Until is when the lease ends, by the log's clock. Zero means that it lasts
	// until another takes over.
	Until time.Time `json:"until,omitzero"`
}

// Leaders are the leaders of all names. They stay in their cluster; a number
// of a newer cluster is higher, since each is at least the time in seconds.
var Leaders = kit.Define[Leader]("leaders", kit.Local())

// The methods of a leader.
const (
	methodCampaign = "campaign" // {"holder": ..., "session": ...}
	methodRenew    = "renew"    // {"fence": ...}
	methodResign   = "resign"   // {"fence": ...}
	methodClaim    = "~claim"   // {"holder": ...}

	// VerbAssert is the method that changes nothing, and is ErrStale unless its
	// argument {"fence": ...} is the number of who leads now.
	VerbAssert kit.Verb = "assert"
)

// Owned declares the kind for the service that owns it.
func Owned() kit.Owned {
	o := kit.Own(Leaders, next, methodCampaign, methodRenew, methodResign, string(VerbAssert))
	step := o.Step
	o.Step = func(r kit.Record, e kit.Event, now time.Time) (json.RawMessage, []kit.Op, error) {
		if e.Name == string(VerbAssert) {
			return r.Body, nil, assert(r, e)
		}
		return step(r, e, now)
	}
	return o
}

// assert is the step of VerbAssert. Every write of a runner has one, so it
// decodes no more than it needs.
func assert(r kit.Record, e kit.Event) error {
	var a arguments
	if err := e.Into(&a); err != nil {
		return err
	}
	var l arguments // holder and fence of a Leader
	if err := json.Unmarshal(r.Body, &l); err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Link: r.Link, Err: err}
	}
	if l.Holder == "" || l.Fence != a.Fence {
		return &kit.Error{Fault: kit.ErrStale, Op: e.Name, Link: r.Link, Detail: deposed(l.Holder, l.Fence, a.Fence)}
	}
	return nil
}

// arguments are those of any method.
type arguments struct {
	Holder  string `json:"holder,omitempty"`
	Session string `json:"session,omitempty"`
	Fence   int64  `json:"fence,omitempty"`
}

// next is the life of a leader. A document begins with nobody, whatever its
// creator has written.
func next(l Leader, e kit.Event, now time.Time) (Leader, []kit.Op) {
	var a arguments
	if err := e.Into(&a); err != nil {
		return l, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	holds := l.Holder != "" && a.Fence == l.Fence
	switch e.Name {
	case "created":
		return Leader{Meta: l.Meta}, nil
	case methodCampaign:
		switch {
		case a.Holder == "" || a.Session == "":
			return l, kit.Refuse(kit.ErrInvalid, "a campaign needs a holder and a session")
		case l.Session == a.Session:
			l.Until = now.Add(Age) // it has won before, and did not hear of it
			return l, nil
		case l.Holder != "" && l.Until.IsZero():
			return l, kit.Refuse(kit.ErrConflict, "%s leads, without a lease", l.Holder)
		case l.Holder != "" && now.Before(l.Until):
			return l, kit.Refuse(kit.ErrConflict, "%s leads until %s", l.Holder, l.Until.Format(time.RFC3339))
		}
		return Leader{Meta: l.Meta, Holder: a.Holder, Session: a.Session, Fence: higher(l.Fence, now), Until: now.Add(Age)}, nil
	case methodRenew:
		if !holds || l.Until.IsZero() {
			return l, kit.Refuse(kit.ErrConflict, "%s", deposed(l.Holder, l.Fence, a.Fence))
		}
		l.Until = now.Add(Age)
	case methodResign:
		if !holds {
			return l, kit.Refuse(kit.ErrConflict, "%s", deposed(l.Holder, l.Fence, a.Fence))
		}
		l.Holder, l.Session, l.Until = "", "", time.Time{}
	case methodClaim:
		return Leader{Meta: l.Meta, Holder: a.Holder, Fence: higher(l.Fence, now)}, nil
	case "updated":
		return l, kit.Refuse(kit.ErrConflict, "a leader is changed by its methods campaign, renew and resign only")
	}
	return l, nil
}

// higher returns the next fencing number. After a document that was deleted, or
// a cluster that was restored or replaced, the time in microseconds is higher
// than any number before, since no leader is made so fast.
func higher(fence int64, now time.Time) int64 { return max(fence+1, now.UnixMicro()) }

func deposed(holder string, now, yours int64) string {
	if holder == "" {
		return "nobody leads it any more"
	}
	return fmt.Sprintf("%s leads it with the fencing number %d, yours is %d", holder, now, yours)
}

// Lead returns who leads the name, empty for nobody, and its fencing number. A
// lease that has run out by this machine's clock counts as nobody's. The
// answer may be old when it arrives: only the number protects.
func Lead(ctx context.Context, c kit.Client, name string) (holder string, fence int64, err error) {
	l, err := Leaders.Read(ctx, c, name)
	if errors.Is(err, kit.ErrNotFound) {
		return "", 0, nil
	}
	if err == nil && !l.Until.IsZero() && time.Now().After(l.Until) {
		l.Holder = ""
	}
	return l.Holder, l.Fence, err
}
