package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"landfall.dev/kit"
)

const (
	// pulse is the least time between two events to a browser.
	pulse = 250 * time.Millisecond
	// beat is the time between signs of life.
	beat = 15 * time.Second
	// patience is how long a browser may take to read an event.
	patience = 10 * time.Second
	// liveFor is when a browser has to come back, with a token that is still
	// valid.
	liveFor = 10 * time.Minute
)

// interest is what a page shows: the documents of some kinds, and some single
// ones.
type interest map[string]struct {
	all   bool
	links []kit.Link
}

// follow returns the address that tells when documents, "changes/42", or any of
// a kind, "changes", have changed.
func follow(names ...string) string {
	q := url.Values{}
	for _, name := range names {
		if strings.Contains(name, "/") {
			q.Add("link", name)
		} else {
			q.Add("kind", name)
		}
	}
	return "/live?" + q.Encode()
}

func interestOf(q url.Values) (interest, error) {
	in := interest{}
	for _, kind := range q["kind"] {
		of := in[kind]
		of.all = true
		in[kind] = of
	}
	for _, text := range q["link"] {
		link := kit.Link(text)
		if err := link.Check(); err != nil {
			return nil, err
		}
		of := in[link.Kind()]
		of.links = append(of.links, link)
		in[link.Kind()] = of
	}
	if len(in) == 0 {
		return nil, kit.Errorf(kit.ErrInvalid, "", "say what to follow: ?kind=changes or ?link=changes/42")
	}
	for kind := range in {
		if !slices.Contains(kinds, kind) {
			return nil, kit.Errorf(kit.ErrInvalid, "", "no page shows %q", kind)
		}
	}
	return in, nil
}

// live tells a browser, by Server-Sent Events, that documents which it shows
// have changed: the event "changed", at the beginning too, for what has
// changed since the page was made. Only documents that the caller may read
// count.
func (s site) live(w http.ResponseWriter, r *http.Request) {
	caller := kit.CallerOf(r.Context())
	if caller.Subject == "" {
		http.Error(w, "sign in first", http.StatusUnauthorized)
		return
	}
	in, err := interestOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), int(kit.FaultOf(err)))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), liveFor)
	changed := make(chan struct{}, 1)
	ended := make(chan struct{}, len(in))
	for kind := range in {
		go func() {
			s.watch(ctx, caller, kind, in, changed)
			cancel() // the browser comes back
			ended <- struct{}{}
		}()
	}
	tell(ctx, w, changed)
	cancel()
	for range in {
		<-ended
	}
}

// watch signals changed when it has begun, and for each change of kind that is
// of interest and that the caller may see. It returns when ctx or the watch
// ends.
func (s site) watch(ctx context.Context, caller kit.Caller, kind string, in interest, changed chan<- struct{}) {
	p, err := s.client.List(ctx, kit.Query{Kind: kind, Limit: 1})
	if err != nil {
		if kit.FaultOf(err) == kit.ErrNotFound { // this hub does not keep it
			<-ctx.Done()
		}
		return
	}
	from, err := kit.ParsePosition(p.Position)
	if err != nil {
		return
	}
	signal(changed)
	for c, err := range s.client.Watch(ctx, kit.WatchQuery{Kind: kind, From: from}) {
		if err != nil {
			return
		}
		link := c.Record.Link
		if !in[kind].all && !slices.Contains(in[kind].links, link) || caller.May(kit.VerbRead, link) != nil {
			continue
		}
		signal(changed)
	}
}

// signal leaves a signal, unless one waits already.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// tell passes signals on to a browser until ctx ends or it is gone.
func tell(ctx context.Context, w http.ResponseWriter, changed <-chan struct{}) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	send := func(text string) bool {
		if control.SetWriteDeadline(time.Now().Add(patience)) != nil {
			return false
		}
		_, err := fmt.Fprint(w, text)
		return err == nil && control.Flush() == nil
	}
	alive := time.NewTicker(beat)
	defer alive.Stop()
	for ok := send("retry: 1000\n\n"); ok; {
		select {
		case <-ctx.Done():
			return
		case <-alive.C:
			ok = send(": still here\n\n")
		case <-changed:
			ok = send("event: changed\ndata: {}\n\n")
			select {
			case <-ctx.Done():
				return
			case <-time.After(pulse):
			}
		}
	}
}
