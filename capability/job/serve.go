package job

import (
	"context"
	"encoding/json"
	"errors"
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

// seal stores the log of the build r as a blob. Its file is kept: it is what
// readers follow, and what a repeat starts from.
func (s sealer) seal(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	b, err := api.Builds.Decode(r)
	if err != nil {
		return nil, err
	}
	f, err := s.logs.Open(logName(b))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	d, n, err := s.blobs.Put(ctx, f, "")
	if err != nil {
		return nil, err
	}
	return sealResult{Digest: d, Size: n}, nil
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
func (l logServer) append(w http.ResponseWriter, r *http.Request) {
	size, err := l.take(r)
	if err != nil {
		problem(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]int64{"size": size})
}

func (l logServer) take(r *http.Request) (int64, error) {
	id := r.PathValue("build")
	link := api.Builds.Link(id)
	if err := kit.CallerOf(r.Context()).May("heartbeat", link); err != nil {
		return 0, err
	}
	b, err := api.Builds.Read(r.Context(), l.client, id)
	if err != nil {
		return 0, err
	}
	attempt, err1 := strconv.Atoi(r.FormValue("attempt"))
	offset, err2 := strconv.ParseInt(r.FormValue("offset"), 10, 64)
	if err1 != nil || err2 != nil || offset < 0 {
		return 0, kit.Errorf(kit.ErrInvalid, link, "a part of a log needs ?attempt=N&offset=BYTES")
	}
	if b.State != api.BuildRunning || b.Attempt != attempt {
		return 0, kit.Errorf(kit.ErrConflict, link, "attempt %d is over: the build is %s, attempt %d", attempt, b.State, b.Attempt)
	}
	part, err := io.ReadAll(io.LimitReader(r.Body, kit.MaxDocument+1))
	if err != nil {
		return 0, kit.Errorf(kit.ErrInvalid, link, "the part broke off")
	}
	if len(part) > kit.MaxDocument {
		return 0, kit.Errorf(kit.ErrTooLarge, link, "a part of a log has at most %d bytes", kit.MaxDocument)
	}
	return l.logs.Append(logName(b), offset, part)
}

// logName names the file of the build's current attempt.
func logName(b api.Build) string {
	if b.Attempt <= 1 {
		return b.Link.ID()
	}
	return fmt.Sprintf("%s@%d", b.Link.ID(), b.Attempt)
}

// read answers with the build's log as text; as Server-Sent Events, live, to
// who accepts those: each event's data is a JSON string, its id the offset
// after it, and the event "end" is the last.
func (l logServer) read(w http.ResponseWriter, r *http.Request) {
	b, f, err := l.open(r)
	if err != nil {
		problem(w, err)
		return
	}
	defer f.Close()
	if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = io.Copy(w, f)
		return
	}
	from := r.Header.Get("Last-Event-ID")
	if from == "" {
		from = r.FormValue("from")
	}
	offset, err := strconv.ParseInt("0"+from, 10, 64)
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err != nil {
		problem(w, kit.Errorf(kit.ErrInvalid, b.Link, "%q is no offset in the log: use the id of an event", from))
		return
	}
	l.stream(r.Context(), w, b, f, offset)
}

func (l logServer) open(r *http.Request) (api.Build, io.ReadSeekCloser, error) {
	id := r.PathValue("build")
	if err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Builds.Link(id)); err != nil {
		return api.Build{}, nil, err
	}
	b, err := api.Builds.Read(r.Context(), l.client, id)
	if err != nil {
		return b, nil, err
	}
	if b.LogDigest != "" {
		blob, err := l.blobs.Open(r.Context(), b.LogDigest)
		return b, blob, err
	}
	f, err := l.logs.Open(logName(b))
	return b, f, err
}

// stream sends f from offset, and what is appended, until the build has ended
// and all is sent.
func (l logServer) stream(ctx context.Context, w http.ResponseWriter, b api.Build, f io.Reader, offset int64) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w).Flush
	ended := b.LogDigest != ""
	done := make(chan struct{})
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if !ended {
		go func() {
			defer close(done)
			_, _ = api.Builds.Await(ctx, l.client, b.Link.ID(), func(b api.Build) bool { return b.State.Done() })
		}()
	}
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	buf := make([]byte, 64<<10)
	for {
		changed := l.logs.Changed(logName(b))
		for {
			n, err := f.Read(buf)
			if n > 0 {
				offset += int64(n)
				text, _ := json.Marshal(string(buf[:n]))
				_, _ = fmt.Fprintf(w, "id: %d\ndata: %s\n\n", offset, text)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return
			}
			if n == 0 {
				break
			}
		}
		if ended {
			_, _ = fmt.Fprint(w, "event: end\ndata: {}\n\n")
			_ = flush()
			return
		}
		if flush() != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-done:
			ended, done = true, nil
		case <-changed:
		case <-beat.C:
			_, _ = fmt.Fprint(w, ": beat\n\n")
		}
	}
}
