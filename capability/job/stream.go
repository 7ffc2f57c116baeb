package job

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// offsetIn returns where in the log of b's current attempt a reader goes on who
// has seen the event with the id from. What it has seen of an earlier attempt
// is no part of it.
func offsetIn(b api.Build, from string) (int64, error) {
	if from == "" {
		return 0, nil
	}
	first, second, _ := strings.Cut(from, ".")
	attempt, err1 := strconv.Atoi(first)
	offset, err2 := strconv.ParseInt(second, 10, 64)
	if err1 != nil || err2 != nil || offset < 0 {
		return 0, kit.Errorf(kit.ErrInvalid, b.Link, "%q is no place in the log: use the id of an event", from)
	}
	if attempt != max(b.Attempt, 1) {
		return 0, nil
	}
	return offset, nil
}

// stream sends the log of b from offset, and what is appended, until the build
// has ended and all is sent. If the build is leased again, the log of the next
// attempt follows.
func (l logServer) stream(ctx context.Context, w http.ResponseWriter, b api.Build, offset int64) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	f := follower{logServer: l, w: w, seen: l.watch(ctx, b.Link.ID())}
	for {
		later, ok := f.attempt(ctx, b, offset)
		if !ok {
			return
		}
		if logName(later) == logName(b) {
			_, _ = fmt.Fprint(w, "event: end\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			return
		}
		b, offset = later, 0
		if f.send(b.Attempt, 0, fmt.Appendf(nil, "\nThe runner fell silent or its engine failed; attempt %d follows.\n", b.Attempt)) != nil {
			return
		}
	}
}

// over tells whether all of b's log is there.
func over(b api.Build) bool { return b.State.Done() && !fading(b) }

// watch yields the build as it changes, the latest only, and is closed after
// it is done or ctx has ended.
func (l logServer) watch(ctx context.Context, id string) <-chan api.Build {
	seen := make(chan api.Build, 1)
	go func() {
		defer close(seen)
		_, _ = api.Builds.Await(ctx, l.client, id, func(b api.Build) bool {
			select {
			case <-seen: // what nobody has taken is old now
			default:
			}
			seen <- b
			return over(b)
		})
	}()
	return seen
}

// follower sends a log that grows as Server-Sent Events. The data of each is a
// JSON string of whole characters, its id "ATTEMPT.OFFSET", where what follows
// begins, in bytes; the event "end" is the last.
type follower struct {
	logServer
	w    http.ResponseWriter
	seen <-chan api.Build
}

// attempt sends the log of b's current attempt until that is over, and returns
// the build as it then is. It returns false if ctx has ended or the client is
// gone.
func (f *follower) attempt(ctx context.Context, b api.Build, offset int64) (api.Build, bool) {
	log, err := f.open(ctx, b)
	if err != nil {
		return b, false
	}
	defer log.Close()
	if _, err := log.Seek(offset, io.SeekStart); err != nil {
		return b, false
	}
	beat := time.NewTicker(15 * time.Second)
	defer beat.Stop()
	text := &text{follower: f, attempt: max(b.Attempt, 1), offset: offset}
	for later := b; ; {
		changed := f.logs.Changed()
		if _, err := io.Copy(text, log); err != nil {
			return b, false
		}
		if over(later) || logName(later) != logName(b) {
			return later, text.end() == nil
		}
		if http.NewResponseController(f.w).Flush() != nil {
			return b, false
		}
		var open bool
		select {
		case <-ctx.Done():
			return b, false
		case later, open = <-f.seen:
			if !open {
				return b, false
			}
		case <-changed:
		case <-beat.C:
			_, _ = fmt.Fprint(f.w, ": beat\n\n")
		}
	}
}

// send writes one event.
func (f *follower) send(attempt int, offset int64, b []byte) error {
	data, err := json.Marshal(string(b))
	if err == nil {
		_, err = fmt.Fprintf(f.w, "id: %d.%d\ndata: %s\n\n", attempt, offset, data)
	}
	return err
}

// text cuts what is written to it into events between characters.
type text struct {
	*follower
	attempt int
	offset  int64  // after what is sent
	part    []byte // the beginning of a character whose rest is to come
}

// Write implements io.Writer.
func (t *text) Write(p []byte) (int, error) {
	b := append(t.part, p...)
	n := whole(b)
	t.part = append([]byte(nil), b[n:]...)
	return len(p), t.send(b[:n])
}

// end sends the rest, whether it is a character or not.
func (t *text) end() error {
	rest := t.part
	t.part = nil
	return t.send(rest)
}

func (t *text) send(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	t.offset += int64(len(b))
	return t.follower.send(t.attempt, t.offset, b)
}

// whole returns how many bytes of b there are before a character that is cut
// off at its end.
func whole(b []byte) int {
	for i := len(b) - 1; i >= 0 && i > len(b)-utf8.UTFMax; i-- {
		if utf8.RuneStart(b[i]) {
			if utf8.FullRune(b[i:]) {
				return len(b)
			}
			return i
		}
	}
	return len(b)
}
