package job

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

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
	f := s.logs.Open(logName(b))
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
// who accepts those, see follower. With Last-Event-ID or ?from= it goes on
// after the event with that id.
func (l logServer) read(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("build")
	if err := kit.CallerOf(r.Context()).May(kit.VerbRead, api.Builds.Link(id)); err != nil {
		return err
	}
	b, err := api.Builds.Read(r.Context(), l.client, id)
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
	_, _ = io.Copy(w, f)
	return nil
}

// open returns the log of the build's current attempt.
func (l logServer) open(ctx context.Context, b api.Build) (io.ReadSeekCloser, error) {
	if b.LogDigest != "" {
		return l.blobs.Open(ctx, b.LogDigest)
	}
	return l.logs.Open(logName(b)), nil
}
