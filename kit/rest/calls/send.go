package calls

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"time"
)

// The bounds of what a Sender sends.
const (
	// LargeBody is the size in bytes from which on a body should go alone.
	LargeBody = 64 << 10
	// maxBytes of calls go together, so that whoever stands between can keep the
	// request to repeat it.
	maxBytes = 512 << 10
	// sendTime bounds one request.
	sendTime = time.Minute
	// unknownTime is how long calls are not sent together to a server that did
	// not know them, until it may have been replaced.
	unknownTime = time.Minute
)

// Result is what came of a call: an answer, or the error that there is none.
type Result struct {
	Answer
	Err    error
	Unsent bool // with Err: nothing of the call was sent
}

// Lane is what has calls in common that can be sent together: the server, and
// what they wait for there, lest a read waits for a write.
type Lane struct{ Base, Sort string }

// SortWrites is the Sort of what waits for the leader's log.
const SortWrites = "write"

// inFlight is how many requests of the lane are under way at once. The more, the
// fewer calls are in each; and a leader has one entry of its log under way, in
// which all writes go that come together.
func (l Lane) inFlight() int {
	if l.Sort == SortWrites {
		return 1
	}
	return 2
}

// Send sends calls to the server at base. Its third result tells, with an
// error, that nothing was sent. With repeatable the request may be sent again
// if its connection breaks.
type Send func(ctx context.Context, base string, body []byte, repeatable bool) (res *http.Response, unsent bool, err error)

// Sender sends the calls that come while others are under way together. It
// delays none for which there is room: a call that comes while fewer requests of
// its lane are under way than may be is sent at once, by itself. Its methods may
// be called concurrently.
type Sender struct {
	send Send

	mu    sync.Mutex
	lanes map[Lane]*lane
	alone map[string]time.Time // until when which servers do not know calls
}

// NewSender returns a Sender that sends by send.
func NewSender(send Send) *Sender {
	return &Sender{send: send, lanes: map[Lane]*lane{}, alone: map[string]time.Time{}}
}

// lane has the calls of a Lane that wait. The Sender's mu guards it.
type lane struct {
	busy  int // requests under way
	queue []*waiting
}

// waiting is a call that waits for its answer.
type waiting struct {
	call       Call
	repeatable bool
	told       chan told // of capacity 1

	// The Sender's mu guards these.
	in   *together // nil until it is sent
	over bool      // it is answered, or its caller waits no more
}

// told is what a waiting call is told: its result, or that it is to be sent
// alone, and then whether as one of the lane's requests.
type told struct {
	Result
	alone, counts bool
}

// together are calls in one request. The Sender's mu guards the numbers.
type together struct {
	left    int // that are not over
	givenUp int
	cancel  context.CancelFunc
}

// Do makes the call c, whose ID does not matter, and returns what came of it:
// by alone, which makes a request of its own, or with others. If ctx ends first
// it returns ctx's error; what the others wait for goes on.
func (s *Sender) Do(ctx context.Context, at Lane, c Call, repeatable bool, alone func() Result) Result {
	w, counts := s.enter(at, c, repeatable)
	if w == nil {
		return s.byItself(at, counts, alone)
	}
	select {
	case t := <-w.told:
		if t.alone {
			return s.byItself(at, t.counts, alone)
		}
		return t.Result
	case <-ctx.Done():
		return s.giveUp(ctx, at, w)
	}
}

// enter lets c wait in its lane, or returns nil if it is to be sent alone.
func (s *Sender) enter(at Lane, c Call, repeatable bool) (w *waiting, counts bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if until, ok := s.alone[at.Base]; ok {
		if time.Now().Before(until) {
			return nil, false
		}
		delete(s.alone, at.Base)
	}
	l := s.lanes[at]
	if l == nil {
		l = &lane{}
		s.lanes[at] = l
	}
	if l.busy < at.inFlight() {
		l.busy++
		return nil, true
	}
	w = &waiting{call: c, repeatable: repeatable, told: make(chan told, 1)}
	l.queue = append(l.queue, w)
	return w, false
}

// byItself makes a call alone; counts tells whether it is one of the lane's
// requests.
func (s *Sender) byItself(at Lane, counts bool, alone func() Result) Result {
	if counts {
		defer s.next(at)
	}
	return alone()
}

// giveUp forgets w, whose caller does not wait any more.
func (s *Sender) giveUp(ctx context.Context, at Lane, w *waiting) Result {
	s.mu.Lock()
	l := s.lanes[at]
	if i := slices.Index(l.queue, w); i >= 0 {
		l.queue = slices.Delete(l.queue, i, i+1)
		s.mu.Unlock()
		return Result{Err: context.Cause(ctx), Unsent: true}
	}
	if w.in != nil && !w.over {
		w.in.givenUp++
		w.end()
	}
	s.mu.Unlock()
	select {
	case t := <-w.told:
		if t.counts {
			s.next(at)
		}
	default:
	}
	return Result{Err: context.Cause(ctx)}
}

// end notes that w is over, and ends a request in which nobody is interested
// any more. The caller holds the Sender's mu.
func (w *waiting) end() {
	if w.over {
		return
	}
	w.over = true
	if w.in.left--; w.in.left == 0 && w.in.givenUp > 0 {
		w.in.cancel()
	}
}

// next ends a request of the lane, and begins one with the calls that wait.
func (s *Sender) next(at Lane) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lanes[at]
	n, size := 0, 0
	for n < min(len(l.queue), MaxCalls) && size < maxBytes {
		size += len(l.queue[n].call.Body)
		n++
	}
	switch n {
	case 0:
		l.busy--
	case 1:
		l.queue[0].told <- told{alone: true, counts: true}
	default:
		ctx, cancel := context.WithTimeout(context.Background(), sendTime)
		g := &together{left: n, cancel: cancel}
		sent := slices.Clone(l.queue[:n])
		for _, w := range sent {
			w.in = g
		}
		go func() {
			s.sendAll(ctx, at.Base, sent)
			cancel()
			s.gather(at)
			s.next(at)
		}()
	}
	l.queue = slices.Delete(l.queue, 0, n)
}

// gather lets those run who were answered last and are about to call again, for
// as long as there are some. Were they to miss the next request, the calls would
// part into two halves that take turns.
func (s *Sender) gather(at Lane) {
	for before := -1; ; {
		s.mu.Lock()
		n := len(s.lanes[at].queue)
		s.mu.Unlock()
		if n <= before || n >= MaxCalls {
			return
		}
		before = n
		runtime.Gosched()
		runtime.Gosched() // some have to be told first
	}
}

// sendAll sends the calls in one request and tells them what came of it.
func (s *Sender) sendAll(ctx context.Context, base string, sent []*waiting) {
	var body []byte
	repeatable := true
	for i, w := range sent {
		w.call.ID = i
		body = w.call.Append(body)
		repeatable = repeatable && w.repeatable
	}
	answers := make([]bool, len(sent))
	tellRest := func(t told) {
		for i, w := range sent {
			if !answers[i] {
				w.told <- t
			}
		}
	}
	res, unsent, err := s.send(ctx, base, body, repeatable)
	if err != nil {
		tellRest(told{Result: Result{Err: err, Unsent: unsent}})
		return
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		tellRest(s.refused(base, res))
		return
	}
	r := bufio.NewReaderSize(res.Body, 16<<10)
	for {
		line, err := r.ReadBytes('\n')
		if err == io.EOF {
			err = io.ErrUnexpectedEOF // for those without an answer
		}
		if err != nil {
			tellRest(told{Result: Result{Err: err}})
			return
		}
		if a, err := ReadAnswer(line); err == nil && a.ID < len(sent) && !answers[a.ID] {
			answers[a.ID] = true
			sent[a.ID].told <- told{Result: Result{Answer: a}}
			s.mu.Lock()
			sent[a.ID].end()
			s.mu.Unlock()
		}
	}
}

// refused returns what the refusal of a whole request means for each of its
// calls: the same, unless the server does not know what calls are.
func (s *Sender) refused(base string, res *http.Response) told {
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return told{Result: Result{Err: err}}
	case res.StatusCode == http.StatusNotFound || res.StatusCode == http.StatusMethodNotAllowed || res.StatusCode == http.StatusBadRequest:
		// A server from before took the path for that of a kind with a wrong name.
		s.mu.Lock()
		s.alone[base] = time.Now().Add(unknownTime)
		s.mu.Unlock()
		return told{alone: true}
	}
	return told{Result: Result{Answer: Answer{Status: res.StatusCode, Header: res.Header, Body: body}}}
}
