package job

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// sealer makes the logs of ended builds blobs.
type sealer struct {
	logs  *Logs
	blobs kit.Blobs
}

// seal stores the log of the build r as a blob, for a runner that has not asked
// for it. Its file is kept: it is what readers follow, and what a repeat starts
// from.
func (s sealer) seal(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	b, err := api.Builds.Decode(r)
	if err != nil {
		return nil, err
	}
	return s.store(ctx, logName(b))
}

func (s sealer) store(ctx context.Context, log string) (api.LogSeal, error) {
	f := s.logs.Open(log)
	defer f.Close()
	count := &lineCounter{in: f}
	d, n, err := s.blobs.Put(ctx, count, "")
	return api.LogSeal{Digest: d, Size: n, Lines: count.total()}, err
}

// lineCounter counts the lines of what is read through it.
type lineCounter struct {
	in    io.Reader
	lines int64
	open  bool // the last one has not ended
}

// Read implements io.Reader.
func (c *lineCounter) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if n > 0 {
		c.lines += int64(bytes.Count(p[:n], []byte{'\n'}))
		c.open = p[n-1] != '\n'
	}
	return n, err
}

func (c *lineCounter) total() int64 {
	if c.open {
		return c.lines + 1
	}
	return c.lines
}

// logServer serves the logs of builds.
type logServer struct {
	client kit.Client
	logs   *Logs
	blobs  kit.Blobs
}

// append takes a part of a log from the runner that holds the lease:
// POST /logs/BUILD?attempt=N&offset=BYTES, answered with {"size": BYTES}.
// Each attempt's log starts anew.
func (l logServer) append(w http.ResponseWriter, r *http.Request) error {
	size, err := l.take(r)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]int64{"size": size})
	return nil
}

func (l logServer) take(r *http.Request) (int64, error) {
	b, err := l.written(r)
	if err != nil {
		return 0, err
	}
	offset, err := strconv.ParseInt(r.FormValue("offset"), 10, 64)
	if err != nil || offset < 0 {
		return 0, kit.Errorf(kit.ErrInvalid, b.Link, "a part of a log needs ?attempt=N&offset=BYTES")
	}
	part, err := io.ReadAll(io.LimitReader(r.Body, kit.MaxDocument+1))
	if err != nil {
		return 0, kit.Errorf(kit.ErrInvalid, b.Link, "the part broke off")
	}
	if len(part) > kit.MaxDocument {
		return 0, kit.Errorf(kit.ErrTooLarge, b.Link, "a part of a log has at most %d bytes", kit.MaxDocument)
	}
	return l.logs.Append(logName(b), offset, part)
}

// written returns the build whose log the request is about, if the runner that
// asks is the one that writes it: until the build has ended and, if somebody has
// cancelled it, until what it then still wrote is there.
func (l logServer) written(r *http.Request) (api.Build, error) {
	id := r.PathValue("build")
	link := api.Builds.Link(id)
	if err := kit.CallerOf(r.Context()).May("heartbeat", link); err != nil {
		return api.Build{}, err
	}
	b, err := api.Builds.Read(r.Context(), l.client, id)
	if err != nil {
		return b, err
	}
	attempt, err := strconv.Atoi(r.FormValue("attempt"))
	if err != nil {
		return b, kit.Errorf(kit.ErrInvalid, link, "%q is no attempt of a build: use ?attempt=N", r.FormValue("attempt"))
	}
	if b.Attempt != attempt || b.State != api.BuildRunning && !fading(b) {
		return b, kit.Errorf(kit.ErrConflict, link, "attempt %d is over: the build is %s, attempt %d", attempt, b.State, b.Attempt)
	}
	return b, nil
}

// fading tells whether b was cancelled, but may still write.
func fading(b api.Build) bool {
	return b.State == api.BuildCancelled && b.Attempt > 0 && b.LogDigest == ""
}

// seal makes what there is of a log durable, and says what that is:
// POST /logs/BUILD/seal?attempt=N.
func (l logServer) seal(w http.ResponseWriter, r *http.Request) error {
	b, err := l.written(r)
	if err != nil {
		return err
	}
	sealed, err := sealer{l.logs, l.blobs}.store(r.Context(), logName(b))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(sealed)
	return nil
}

// logName names the file of the build's current attempt.
func logName(b api.Build) string {
	if b.Attempt <= 1 {
		return b.Link.ID()
	}
	return fmt.Sprintf("%s@%d", b.Link.ID(), b.Attempt)
}

// read answers with the build's log as text, or with a range of its bytes; as
// Server-Sent Events, live, to who accepts those, see follower. With
// Last-Event-ID or ?from= these go on after the event with that id.
func (l logServer) read(w http.ResponseWriter, r *http.Request) error {
	b, err := l.asked(r)
	if err != nil {
		return err
	}
	if strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		from := cmp.Or(r.Header.Get("Last-Event-ID"), r.FormValue("from"))
		offset, err := offsetIn(b, from)
		if err != nil {
			return err
		}
		l.stream(r.Context(), w, b, offset)
		return nil
	}
	f, err := l.open(r.Context(), b)
	if err != nil {
		return err
	}
	defer f.Close()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if b.LogDigest != "" {
		w.Header().Set("ETag", strconv.Quote(string(b.LogDigest)))
	}
	http.ServeContent(w, r, "", time.Time{}, f)
	return nil
}

// asked returns the build that the request is about, if the caller may see it.
func (l logServer) asked(r *http.Request) (api.Build, error) {
	id := r.PathValue("build")
	if err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Builds.Link(id)); err != nil {
		return api.Build{}, err
	}
	return api.Builds.Read(r.Context(), l.client, id)
}

// open returns the log of the build's current attempt.
func (l logServer) open(ctx context.Context, b api.Build) (io.ReadSeekCloser, error) {
	if b.LogDigest != "" {
		return l.blobs.Open(ctx, b.LogDigest)
	}
	return l.logs.Open(logName(b)), nil
}
