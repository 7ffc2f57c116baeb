package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
)

// errSilent ends a connection without heartbeats.
var errSilent = errors.New("the connection went silent")

// errStopped says that the consumer of a watch wants no more.
var errStopped = errors.New("stopped")

// Watch implements kit.Client.
func (c *Client) Watch(ctx context.Context, q kit.WatchQuery) iter.Seq2[kit.Change, error] {
	return func(yield func(kit.Change, error) bool) {
		if err := kit.CheckKind(q.Kind); err != nil {
			yield(kit.Change{}, err)
			return
		}
		f := follower{client: c, query: q, yield: yield, first: q.From == kit.Position{}, met: map[kit.Link]bool{}}
		for failures := 0; ctx.Err() == nil; failures++ {
			before := f.query.From
			err := f.connect(ctx)
			if errors.Is(err, errStopped) || ctx.Err() != nil {
				return
			}
			if f.first && errors.Is(err, kit.ErrGone) && f.query.From != (kit.Position{}) {
				// Cut off among the existing documents, whose positions may be older
				// than the tombstones: begin again, without what was there.
				f.again()
				continue
			}
			if !kit.Temporary(err) {
				yield(kit.Change{}, err)
				return
			}
			c.current.Add(1)
			if f.query.From != before {
				failures = 0
			}
			sleep(ctx, max(pause(failures), f.retry))
		}
	}
}

// longestRetry is how long a server can make a watch wait after it was cut.
const longestRetry = 30 * time.Second

// follower is a running watch.
type follower struct {
	client *Client
	query  kit.WatchQuery // From moves on
	yield  func(kit.Change, error) bool
	first  bool         // the existing documents are not all here yet
	seen   kit.Position // up to where they were, before a new beginning
	// met are, as long as first, the documents that were yielded and not deleted,
	// and whether that was since the latest beginning.
	met   map[kit.Link]bool
	retry time.Duration // what the server asks to wait before coming back
}

// again makes the watch begin anew, without what was yielded.
func (f *follower) again() {
	if cut := f.query.From; cut.Epoch != f.seen.Epoch || cut.Seq > f.seen.Seq {
		f.seen = cut
	}
	f.query.From = kit.Position{}
	for l := range f.met {
		f.met[l] = false
	}
}

// connect opens one event stream from the query's position and follows it
// until it ends, which always is an error.
func (f *follower) connect(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silence := time.AfterFunc(watchSilence, func() { cancel(errSilent) })
	defer silence.Stop()

	v := url.Values{}
	if f.query.Filter != "" {
		v.Set("filter", f.query.Filter)
	}
	if f.query.Pending {
		v.Set("pending", "true")
	}
	if f.query.From != (kit.Position{}) {
		v.Set("from", f.query.From.String())
	}
	link := kit.NewLink(f.query.Kind, "")
	c := f.client
	base := c.bases[int(c.current.Load())%len(c.bases)]
	req, err := c.request(ctx, base, call{method: http.MethodGet, path: "/api/" + f.query.Kind, query: v, link: link})
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "text/event-stream")
	res, err := c.via.RoundTrip(req)
	if err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Link: link, Detail: "nothing answers at " + base, Err: err}
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(res.Body)
		return kit.DecodeProblem(res.StatusCode, b)
	}
	in := bufio.NewReader(res.Body)
	for {
		e, err := readEvent(in, func() { silence.Reset(watchSilence) })
		if err != nil {
			return &kit.Error{Fault: kit.ErrUnavailable, Link: link, Detail: "the watch was cut", Err: errors.Join(context.Cause(ctx), err)}
		}
		// A slow consumer is no silence of the server.
		silence.Stop()
		if err := f.dispatch(ctx, e); err != nil {
			return err
		}
		silence.Reset(watchSilence)
	}
}

// dispatch hands e on and remembers its position.
func (f *follower) dispatch(ctx context.Context, e event) error {
	if e.retry >= 0 {
		f.retry = min(e.retry, longestRetry)
	}
	at := f.query.From
	if e.id != "" {
		p, err := kit.ParsePosition(e.id)
		if err != nil {
			return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the watch sent a broken event", Err: err}
		}
		at = p
		f.client.session.note(at)
	}
	var err error
	switch e.name {
	case "put", "delete":
		err = f.change(e, at)
	case "live":
		err = f.live(ctx, at)
	}
	if err == nil {
		f.query.From = at
	}
	return err
}

// change yields the document in e, unless it was yielded before.
func (f *follower) change(e event, at kit.Position) error {
	ch := kit.Change{Position: at}
	if err := json.Unmarshal(e.data, &ch.Record); err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the watch sent a broken event", Err: err}
	}
	ch.Record.Seq = at.Seq
	if e.name == "delete" {
		ch.Record.Deleted, ch.Record.Body = true, nil
	}
	switch {
	case !f.first:
	case ch.Record.Deleted:
		delete(f.met, ch.Record.Link)
	default:
		f.met[ch.Record.Link] = true
	}
	old := f.first && at.Epoch == f.seen.Epoch && at.Seq <= f.seen.Seq
	if !old && !f.yield(ch, nil) {
		return errStopped
	}
	return nil
}

// live notes that all existing documents are here. Those that were yielded
// before a new beginning and are not among them were deleted meanwhile, which
// nobody else tells, or the watch is not about them any more.
func (f *follower) live(ctx context.Context, at kit.Position) error {
	for _, l := range slices.Sorted(maps.Keys(f.met)) {
		if f.met[l] {
			continue
		}
		_, err := f.client.Read(ctx, l, kit.ReadOptions{Consistency: kit.Eventual})
		switch kit.FaultOf(err) {
		case 0, kit.ErrForbidden:
		case kit.ErrNotFound:
			if !f.yield(kit.Change{Position: at, Record: kit.Record{Meta: kit.Meta{Link: l}, Seq: at.Seq, Deleted: true}}, nil) {
				return errStopped
			}
		default:
			return err
		}
		delete(f.met, l)
	}
	f.first, f.met = false, nil
	return nil
}

// event is a server-sent event.
type event struct {
	id    string
	name  string
	data  []byte
	retry time.Duration // less than 0 if it does not say
}

// readEvent reads the next event as the HTML standard's section on
// server-sent events says, but that one without data is returned too: its id
// counts. It calls alive for each line.
func readEvent(in *bufio.Reader, alive func()) (event, error) {
	e := event{retry: -1}
	for seen := false; ; {
		line, err := in.ReadBytes('\n')
		if err != nil {
			return e, err
		}
		alive()
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			if seen {
				return e, nil
			}
			continue
		}
		name, value, _ := strings.Cut(string(line), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "id":
			e.id, seen = value, true
		case "event":
			e.name, seen = value, true
		case "retry":
			if ms, err := strconv.ParseUint(value, 10, 31); err == nil {
				e.retry, seen = time.Duration(ms)*time.Millisecond, true
			}
		case "data":
			if e.data != nil {
				e.data = append(e.data, '\n')
			}
			e.data, seen = append(e.data, value...), true
		}
	}
}
