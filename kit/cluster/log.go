package cluster

import (
	"context"
	"fmt"
	"io"
	"log"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// harmless starts the warnings about what happens whenever a node starts or
// stops.
var harmless = []string{
	"Got ping for unexpected node", "failed to decode incoming command", "failed to flush response",
	"failed to get previous log", "appendEntries rejected",
}

// quietly logs a warning of another's, at most once a minute for each key.
type quietly struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time
}

func (q *quietly) warn(key, msg string, args ...any) {
	level := slog.LevelWarn
	if slices.ContainsFunc(harmless, func(start string) bool { return strings.HasPrefix(msg, start) }) {
		level = slog.LevelDebug
	}
	q.mu.Lock()
	fresh := time.Since(q.last[key]) > time.Minute
	if fresh {
		q.last[key] = time.Now()
	}
	q.mu.Unlock()
	if fresh {
		q.log.Log(context.Background(), level, msg, args...)
	}
}

func newQuietly(l *slog.Logger, part string) *quietly {
	return &quietly{log: l.With("part", part), last: map[string]time.Time{}}
}

// raftLog returns a logger for raft and its stores that hands warnings and
// errors to l. An error there is a warning here: raft tries again by itself,
// and what it cannot mend ends Run.
func raftLog(l *slog.Logger) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	h.RegisterSink(raftSink{newQuietly(l, "raft")})
	return h
}

type raftSink struct{ *quietly }

// Accept logs one message of raft's.
func (s raftSink) Accept(_ string, level hclog.Level, msg string, args ...any) {
	if level < hclog.Warn {
		return
	}
	key := msg
	for i, a := range args {
		if f, ok := a.(hclog.Format); ok && len(f) > 0 {
			args[i] = fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)
		}
		if i > 0 && args[i-1] == "peer" {
			key = fmt.Sprint(msg, args[i])
		}
	}
	s.warn(key, msg, args...)
}

// gossipLog is the same for memberlist, which marks levels in the text:
// "[WARN] memberlist: ...".
func gossipLog(l *slog.Logger) *log.Logger {
	return log.New(gossipSink{newQuietly(l, "gossip")}, "", 0)
}

type gossipSink struct{ *quietly }

// Write logs one message of memberlist's.
func (s gossipSink) Write(line []byte) (int, error) {
	mark, msg, found := strings.Cut(strings.TrimSpace(string(line)), "] ")
	if found && (mark == "[WARN" || mark == "[ERR") {
		msg = strings.TrimPrefix(msg, "memberlist: ")
		s.warn(msg, msg)
	}
	return len(line), nil
}
