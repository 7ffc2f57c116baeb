package calls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// far is a server that answers when the test says so.
type far struct {
	mu       sync.Mutex
	requests []*request
}

// request is one of several calls that far has got.
type request struct {
	ctx        context.Context
	lines      []Call
	repeatable bool
	answer     *io.PipeWriter
}

func (f *far) send(ctx context.Context, _ string, body []byte, repeatable bool) (*http.Response, bool, error) {
	lines, err := Read(body)
	if err != nil {
		return nil, true, err
	}
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, &request{ctx, lines, repeatable, w})
	return &http.Response{StatusCode: http.StatusOK, Body: r}, false, nil
}

// give answers the n-th line, with what it asks for as the body.
func (r *request) give(n int) {
	a := Answer{ID: r.lines[n].ID, Status: 200, Body: fmt.Appendf(nil, "%q", r.lines[n].Path)}
	_, _ = r.answer.Write(a.Append(nil))
}

// caller makes calls by a Sender, in goroutines of a bubble.
type caller struct {
	*Sender
	lane    Lane
	mu      sync.Mutex
	alone   []chan struct{}   // for each that goes alone, what lets it end
	results map[string]Result // by path
}

func newCaller(send Send) *caller {
	return &caller{Sender: NewSender(send), lane: Lane{"http://there", "leader"}, results: map[string]Result{}}
}

// begin makes calls of paths, one after the other, and returns when all wait.
func (c *caller) begin(ctx context.Context, repeatable bool, paths ...string) {
	for _, path := range paths {
		go func() {
			r := c.Do(ctx, c.lane, Call{Method: "GET", Path: path}, repeatable, func() Result {
				end := make(chan struct{})
				c.mu.Lock()
				c.alone = append(c.alone, end)
				c.mu.Unlock()
				<-end
				return Result{Answer: Answer{Status: 200, Body: []byte("alone")}}
			})
			c.mu.Lock()
			defer c.mu.Unlock()
			c.results[path] = r
		}()
		synctest.Wait()
	}
}

// endAlone lets the first n that went alone end.
func (c *caller) endAlone(n int) {
	c.mu.Lock()
	for _, end := range c.alone[:n] {
		close(end)
	}
	c.alone = c.alone[n:]
	c.mu.Unlock()
	synctest.Wait()
}

func (c *caller) want(t *testing.T, path, body string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if r, ok := c.results[path]; !ok || r.Err != nil || string(r.Body) != body {
		t.Errorf("%s came to %s, %v (done: %v), want %s", path, r.Body, r.Err, ok, body)
	}
}

const a, b, d, e, f, g = "/api/n/a", "/api/n/b", "/api/n/d", "/api/n/e", "/api/n/f", "/api/n/g"

func quoted(path string) string { return `"` + path + `"` }

func TestCallsThatComeMeanwhileGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there far
		c := newCaller(there.send)
		c.begin(t.Context(), true, a)
		c.endAlone(1) // nothing is kept busy by it
		c.begin(t.Context(), true, a, b)
		if len(c.alone) != c.lane.inFlight() || len(there.requests) != 0 {
			t.Fatalf("%d went alone and %d requests with several, want %d and none", len(c.alone), len(there.requests), c.lane.inFlight())
		}
		c.begin(t.Context(), true, d, e)
		c.begin(t.Context(), false, f)
		c.endAlone(1)
		if len(there.requests) != 1 || len(there.requests[0].lines) != 3 || there.requests[0].repeatable {
			t.Fatalf("after the end of one: %+v, want a request of three, which may not be repeated", there.requests)
		}
		there.requests[0].give(1)
		synctest.Wait()
		c.want(t, e, quoted(e)) // though the others wait
		c.begin(t.Context(), true, g)
		c.endAlone(1)
		if len(c.alone) != 1 || len(there.requests) != 1 {
			t.Error("one that waits by itself did not go alone when another ended")
		}
		there.requests[0].give(2)
		there.requests[0].give(0)
		there.requests[0].answer.Close()
		c.endAlone(1)
		c.want(t, d, quoted(d))
		c.want(t, f, quoted(f))
		c.want(t, g, "alone")
		if busy := c.lanes[c.lane].busy; busy != 0 {
			t.Errorf("%d requests are under way after all were answered", busy)
		}
	})
}

func TestWritesThatComeMeanwhileAllGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there far
		c := newCaller(there.send)
		c.lane.Sort = SortWrites
		c.begin(t.Context(), true, a, b, d)
		if len(c.alone) != 1 || len(there.requests) != 0 {
			t.Fatalf("%d writes went alone and %d requests with several, want one and none", len(c.alone), len(there.requests))
		}
		c.endAlone(1)
		if len(there.requests) != 1 || len(there.requests[0].lines) != 2 {
			t.Fatalf("after the end of one: %+v, want a request of two", there.requests)
		}
		there.requests[0].give(0)
		there.requests[0].give(1)
		there.requests[0].answer.Close()
		synctest.Wait()
		c.want(t, b, quoted(b))
		c.want(t, d, quoted(d))
		if busy := c.lanes[c.lane].busy; busy != 0 {
			t.Errorf("%d requests are under way after all were answered", busy)
		}
	})
}

func TestReadsDoNotWaitForWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(new(far).send)
		c.lane.Sort = SortWrites
		c.begin(t.Context(), true, a, b)
		c.lane.Sort = "eventual"
		c.begin(t.Context(), true, d)
		c.endAlone(2)
		c.want(t, d, "alone")
		c.endAlone(1) // the write that waited
	})
}

func TestOneWhoGivesUpDoesNotHurtTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there far
		c := newCaller(there.send)
		c.begin(t.Context(), true, a, b)
		stopped := errors.New("no time")
		queued, stop := context.WithCancelCause(t.Context())
		c.begin(queued, true, d)
		c.begin(t.Context(), true, e)
		sent, stopSent := context.WithCancelCause(t.Context())
		c.begin(sent, true, f)
		stop(stopped)
		synctest.Wait()
		if r := c.results[d]; r.Err != stopped || !r.Unsent {
			t.Errorf("one that gave up while it waited: %+v, want its reason, and that it was not sent", r)
		}
		c.endAlone(1)
		r := there.requests[0]
		if len(r.lines) != 2 {
			t.Fatalf("%d calls were sent, want the two that are waited for", len(r.lines))
		}
		stopSent(stopped)
		synctest.Wait()
		if got := c.results[f]; got.Err != stopped || got.Unsent || r.ctx.Err() != nil {
			t.Errorf("one that gave up after it was sent: %+v, request ended: %v, want its reason, and the request to go on", got, r.ctx.Err())
		}
		r.give(0)
		synctest.Wait()
		c.want(t, e, quoted(e))
		if r.ctx.Err() == nil || c.lanes[c.lane].busy != 1 {
			t.Error("a request goes on in which nobody is interested any more")
		}
		c.endAlone(1)
	})
}

func TestOneWhoGivesUpAsItsTurnComesPassesItOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCaller(new(far).send)
		c.begin(t.Context(), true, a, b)
		ctx, stop := context.WithCancel(t.Context())
		c.begin(ctx, true, d)
		stop()
		c.endAlone(2)
		if len(c.alone) == 1 { // it took its turn nevertheless
			c.endAlone(1)
		}
		if busy := c.lanes[c.lane].busy; busy != 0 || len(c.results) != 3 {
			t.Errorf("%d requests are under way and %d calls done, want 0 and 3", busy, len(c.results))
		}
	})
}

func TestBrokenConnectionLeavesWhatWasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there far
		c := newCaller(there.send)
		c.begin(t.Context(), true, a, b, d, e)
		c.endAlone(1)
		there.requests[0].give(0)
		_, _ = io.WriteString(there.requests[0].answer, `{"id":1,"stat`)
		there.requests[0].answer.Close()
		synctest.Wait()
		c.want(t, d, quoted(d))
		if r := c.results[e]; !errors.Is(r.Err, io.ErrUnexpectedEOF) || r.Unsent {
			t.Errorf("the one without an answer: %+v, want an unexpected end", r)
		}
		refused := errors.New("connection refused")
		c.send = func(context.Context, string, []byte, bool) (*http.Response, bool, error) { return nil, true, refused }
		c.begin(t.Context(), true, a, f, g)
		c.endAlone(2)
		if r := c.results[f]; r.Err != refused || !r.Unsent {
			t.Errorf("calls that could not be sent: %+v, want that", r)
		}
	})
}

// refusing answers requests with the status.
func refusing(status int, requests *int) Send {
	return func(context.Context, string, []byte, bool) (*http.Response, bool, error) {
		*requests++
		return &http.Response{
			StatusCode: status, Header: http.Header{"Retry-After": {"3"}}, Body: io.NopCloser(strings.NewReader("no")),
		}, false, nil
	}
}

func TestRefusalOfARequestIsThatOfItsCalls(t *testing.T) {
	for _, status := range []int{401, 413, 429, 502, 503} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			c := newCaller(refusing(status, &requests))
			c.begin(t.Context(), true, a, b, d, e)
			c.endAlone(2)
			for _, path := range []string{d, e} {
				if r := c.results[path]; r.Err != nil || r.Status != status || string(r.Body) != "no" || r.Header.Get("Retry-After") != "3" {
					t.Errorf("%s came to %+v, want the refusal by %d", path, r, status)
				}
			}
		})
	}
}

func TestServerThatDoesNotKnowCallsGetsRequests(t *testing.T) {
	for _, status := range []int{400, 404, 405} {
		synctest.Test(t, func(t *testing.T) {
			requests := 0
			c := newCaller(refusing(status, &requests))
			c.begin(t.Context(), true, a, b, d, e)
			c.endAlone(1)
			c.endAlone(3)
			c.want(t, d, "alone")
			c.begin(t.Context(), true, a, b, d, f)
			if c.endAlone(4); requests != 1 {
				t.Errorf("%d requests of several calls to a server that answered %d, want one", requests, status)
			}
			time.Sleep(unknownTime) // it may have been replaced
			c.begin(t.Context(), true, a, b, d, e)
			c.endAlone(1)
			if requests != 2 {
				t.Error("the server is not asked again later")
			}
			c.endAlone(3)
		})
	}
}

func TestRequestsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var there far
		c := newCaller(there.send)
		c.begin(t.Context(), true, a, b)
		large := append(append([]byte{'"'}, bytes.Repeat([]byte("x"), LargeBody-3)...), '"')
		var done sync.WaitGroup
		for i := range 2 * maxBytes / LargeBody {
			done.Go(func() {
				c.Do(t.Context(), c.lane, Call{Method: "PATCH", Path: fmt.Sprint("/api/n/", i), Body: large}, false, nil)
			})
		}
		synctest.Wait()
		c.endAlone(2)
		for _, r := range there.requests {
			if n := len(r.lines); n != maxBytes/LargeBody+1 && n != maxBytes/LargeBody-1 {
				t.Errorf("a request has %d calls of %d bytes", n, LargeBody)
			}
			r.answer.Close()
		}
		if len(there.requests) != 2 {
			t.Errorf("%d requests, want 2", len(there.requests))
		}
		done.Wait()
	})
}
