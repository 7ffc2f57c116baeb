package webhook

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/elect"
)

// Name is the service's.
const Name = "webhook"

// Options are what the service is made of.
type Options struct {
	// Client returns a client that acts as the subject.
	Client func(subject string) kit.Client
	// Key is the cluster's secret, on each node the same. Secrets are sealed with
	// what is derived from it.
	Key []byte
	// Public refuses receivers that are not on the public internet, loopback
	// included.
	Public bool
	// Retry says how a message is repeated; zero means after 1 s, twice as long
	// each time up to an hour, 36 times: about a day.
	Retry kit.Retry
	// Transport carries the posts; nil means a new one.
	Transport http.RoundTripper
	Logger    *slog.Logger
}

// Service returns the service that owns and serves subscriptions.
func Service(o Options) kit.Service {
	o.Retry.Attempts = cmp.Or(o.Retry.Attempts, 36)
	o.Retry.First = cmp.Or(o.Retry.First, time.Second)
	o.Retry.Longest = cmp.Or(o.Retry.Longest, time.Hour)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	d := &dispatcher{
		Options: o, vault: newVault(o.Key), http: newClient(o.Transport, o.Public), log: o.Logger.With("service", Name),
	}
	life := rules{d.vault, o.Public}
	return kit.Service{
		Name: Name,
		Owns: []kit.Owned{
			kit.Own(Subscriptions, life.next, methodPause, methodResume),
			kit.Own(Letters, nextLetter, methodRetry),
		},
		Leads: []func(context.Context) error{d.run},
	}
}

// dispatcher runs a stream for each active subscription.
type dispatcher struct {
	Options
	vault vault
	http  *http.Client
	log   *slog.Logger
}

// term is what a dispatcher runs while it leads.
type term struct {
	*dispatcher
	own     kit.Client // as the service, fenced
	running sync.WaitGroup

	mu      sync.Mutex
	streams map[kit.Link]*stream
}

// run serves the subscriptions until ctx ends.
func (d *dispatcher) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	fence := elect.Term{Name: elect.Tasks, Fence: kit.FenceOf(ctx)}
	t := &term{dispatcher: d, own: fence.Fenced(d.Client("services/"+Name), cancel), streams: map[kit.Link]*stream{}}
	defer t.running.Wait()
	t.running.Go(func() { t.follow(ctx, Letters.Name, t.seeLetter) })
	t.follow(ctx, Subscriptions.Name, t.seeSubscription)
	return nil
}

// follow calls see for the documents of a kind as they are and change.
func (t *term) follow(ctx context.Context, kind string, see func(context.Context, kit.Change) error) {
	for attempt := 0; ctx.Err() == nil; attempt++ {
		for ch, err := range t.own.Watch(ctx, kit.WatchQuery{Kind: kind}) {
			if err == nil {
				err = see(ctx, ch)
			}
			if err != nil {
				t.log.Error("watch ended", "kind", kind, "error", err)
				break
			}
			attempt = 0
		}
		sleep(ctx, kit.Retry{}.Pause(attempt))
	}
}

// seeSubscription starts, stops or changes the stream of a subscription.
func (t *term) seeSubscription(ctx context.Context, ch kit.Change) error {
	link := ch.Record.Link
	t.mu.Lock()
	running := t.streams[link]
	t.mu.Unlock()
	var sub Subscription
	if !ch.Record.Deleted {
		var err error
		if sub, err = Subscriptions.Decode(ch.Record); err != nil {
			return err
		}
	}
	active := !ch.Record.Deleted && sub.State == Active
	if running != nil && active && running.serves(sub) {
		return nil
	}
	if running != nil {
		running.stop()
		t.mu.Lock()
		delete(t.streams, link)
		t.mu.Unlock()
	}
	if active {
		return t.start(ctx, link, ch)
	}
	return nil
}

// start begins to serve the subscription at link, which ch is about.
func (t *term) start(ctx context.Context, link kit.Link, ch kit.Change) error {
	// The stream that was stopped has moved the position since.
	sub, err := Subscriptions.Read(ctx, t.own, link.ID())
	if errors.Is(err, kit.ErrNotFound) || err == nil && sub.State != Active {
		return nil // the next change says so
	}
	if err != nil {
		return err
	}
	if sub.Position == "" && ch.Record.Version == 1 {
		sub.Position = ch.Position.String() // what came before is not asked for
	}
	s := newStream(t, sub)
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	s.stop = func() {
		cancel(errors.New("the subscription has changed"))
		<-done
	}
	t.mu.Lock()
	t.streams[link] = s
	t.mu.Unlock()
	t.running.Go(func() {
		defer close(done)
		defer cancel(nil)
		s.run(ctx)
	})
	return nil
}

// seeLetter tells the stream of a letter that somebody retries or drops it.
func (t *term) seeLetter(ctx context.Context, ch kit.Change) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if ch.Record.Deleted {
		for _, s := range t.streams {
			s.drop(ch.Record)
		}
		return nil
	}
	l, err := Letters.Decode(ch.Record)
	if err != nil {
		return err
	}
	if s := t.streams[l.Subscription]; s != nil && l.State == Retrying {
		s.adopt(l)
	}
	return nil
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
