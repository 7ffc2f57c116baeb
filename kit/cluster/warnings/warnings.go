// Package warnings hands what raft and memberlist warn of to a slog.Logger, at
// most once a minute for each thing.
package warnings

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

// Log logs warnings, at most once a minute for each key.
type Log struct {
	log *slog.Logger

	mu   sync.Mutex
	last map[string]time.Time
}

// Warn logs the warning unless one of the key was logged within the last minute.
func (l *Log) Warn(key, msg string, args ...any) {
	level := slog.LevelWarn
	if slices.ContainsFunc(harmless, func(start string) bool { return strings.HasPrefix(msg, start) }) {
		level = slog.LevelDebug
	}
	l.mu.Lock()
	fresh := time.Since(l.last[key]) > time.Minute
	if fresh {
		l.last[key] = time.Now()
	}
	l.mu.Unlock()
	if fresh {
		l.log.Log(context.Background(), level, msg, args...)
	}
}

// New returns a log of warnings of the part.
func New(l *slog.Logger, part string) *Log {
	return &Log{log: l.With("part", part), last: map[string]time.Time{}}
}

// Raft returns a logger for raft and its stores that hands warnings and
// errors to l. An error there is a warning here: raft tries again by itself,
// and what it cannot mend ends Run.
func Raft(l *slog.Logger) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Level: hclog.Off, Output: io.Discard})
	h.RegisterSink(raftSink{New(l, "raft")})
	return h
}

type raftSink struct{ *Log }

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
	s.Warn(key, msg, args...)
}

// Gossip is the same for memberlist, which marks levels in the text:
// "[WARN] memberlist: ...".
func Gossip(l *slog.Logger) *log.Logger {
	return log.New(gossipSink{New(l, "gossip")}, "", 0)
}

type gossipSink struct{ *Log }

// Write logs one message of memberlist's.
func (s gossipSink) Write(line []byte) (int, error) {
	mark, msg, found := strings.Cut(strings.TrimSpace(string(line)), "] ")
	if found && (mark == "[WARN" || mark == "[ERR") {
		msg = strings.TrimPrefix(msg, "memberlist: ")
		s.Warn(msg, msg)
	}
	return len(line), nil
}
