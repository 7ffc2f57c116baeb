package calls

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"

	"landfall.dev/kit"
)

// atOnce is how many jobs of a request are done side by side.
const atOnce = 256

// Job does some of a request's calls and gives the answer to each as it comes.
// It returns after the last.
type Job func(give func(Answer))

// Serve does the jobs of a request side by side, and answers it as their
// answers come. It returns when all are done.
func Serve(w http.ResponseWriter, jobs []Job) {
	g := &given{wake: make(chan struct{}, 1)}
	g.left.Store(int64(len(jobs)))
	var next atomic.Int64
	var workers sync.WaitGroup
	for i := range min(len(jobs), atOnce) {
		workers.Go(func() {
			reserve(i)
			for i := next.Add(1) - 1; i < int64(len(jobs)); i = next.Add(1) - 1 {
				jobs[i](g.add)
				if g.left.Add(-1) == 0 {
					g.awake()
				}
			}
		})
	}
	w.Header().Set("Content-Type", ContentType)
	w.Header().Set("Cache-Control", "no-store")
	g.write(w)
	workers.Wait()
}

// reserve makes room on the stack of a goroutine for a call, as long as there is
// little on it that has to move to a larger one. What it returns means nothing.
//
//go:noinline
func reserve(i int) byte {
	var room [4 << 10]byte
	return room[i%len(room)]
}

// given are answers on their way to the client.
type given struct {
	left atomic.Int64  // jobs that are not done
	wake chan struct{} // of capacity 1

	mu    sync.Mutex
	lines []byte // that are not written yet
}

func (g *given) awake() {
	select {
	case g.wake <- struct{}{}:
	default:
	}
}

func (g *given) add(a Answer) {
	g.mu.Lock()
	g.lines = a.Append(g.lines)
	g.mu.Unlock()
	g.awake()
}

// write writes lines as they come until all jobs are done. It lets the jobs
// that can run at once run first, so that what is ready together goes together.
func (g *given) write(w http.ResponseWriter) {
	var lines []byte
	flush, wrote := http.NewResponseController(w), false
	for over := false; !over; {
		<-g.wake
		runtime.Gosched()
		over = g.left.Load() == 0 // before the lines are taken: then they are the last
		g.mu.Lock()
		lines, g.lines = g.lines, lines[:0]
		g.mu.Unlock()
		if over && !wrote {
			w.Header().Set("Content-Length", strconv.Itoa(len(lines)))
		}
		if len(lines) == 0 {
			continue
		}
		wrote = true
		_, err := w.Write(lines)
		if err == nil && !over {
			_ = flush.Flush()
		}
	}
}

// Request returns c as a request of its own, with what concerns its sender
// from the request that it came in.
func (c Call) Request(in *http.Request) *http.Request {
	r := in.WithContext(in.Context())
	r.Method, r.URL, r.RequestURI = c.Method, c.url, c.Path
	r.Header = make(http.Header, 4+len(c.Header))
	for _, name := range ofSenders {
		if v := in.Header[name]; v != nil {
			r.Header[name] = v
		}
	}
	maps.Copy(r.Header, c.Header)
	r.Body, r.ContentLength, r.TransferEncoding = http.NoBody, int64(len(c.Body)), nil
	if len(c.Body) > 0 {
		r.Body = io.NopCloser(bytes.NewReader(c.Body))
	}
	return r
}

// ofSenders are the headers of the whole request that hold for each call.
// Landfall-Position may be a call's own.
var ofSenders = []string{"Authorization", "Cookie", "Landfall-Forwarded", "Landfall-Position", "X-Forwarded-For"}

// By returns the job to have h answer the call c, as the request r.
func By(h http.Handler, c Call, r *http.Request) Job {
	return func(give func(Answer)) {
		w := &recorder{header: make(http.Header, 4)}
		defer func() {
			// The handler gives up this way in the middle of an answer.
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				panic(p)
			} else if p != nil {
				give(c.lost())
				return
			}
			give(w.answer(c.ID))
		}()
		h.ServeHTTP(w, r)
	}
}

// lost is the answer to a call whose own was lost on the way from the leader.
func (c Call) lost() Answer {
	err := &kit.Error{Fault: kit.ErrTimeout, Detail: "the leader's answer was lost; whether the change was made is unknown"}
	if c.Reads() {
		err = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the leader's answer was lost", Hint: "try again in a moment"}
	}
	body, status := kit.EncodeProblem(err)
	return Answer{ID: c.ID, Status: status, Body: body}
}

// recorder keeps the answer to one call.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= 200 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

// FlushError is for http.ResponseController.
func (w *recorder) FlushError() error { return nil }

func (w *recorder) answer(id int) Answer {
	w.WriteHeader(http.StatusOK)
	return Answer{ID: id, Status: w.status, Header: w.header, Body: inLine(w.body)}
}

// inLine returns a body as JSON in one line.
func inLine(body []byte) []byte {
	body = bytes.TrimSpace(body)
	if len(body) == 0 || bytes.IndexByte(body, '\n') < 0 && (body[0] == '{' || body[0] == '[') {
		return body
	}
	var b bytes.Buffer
	if json.Compact(&b, body) == nil {
		return b.Bytes()
	}
	quoted, _ := json.Marshal(string(body)) // a string can be marshalled
	return quoted
}
