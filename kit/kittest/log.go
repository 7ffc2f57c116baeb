package kittest

import (
	"io"
	"log/slog"
	"sync"
	"testing"
)

// Log returns a log into the test's output, from level on. What still runs once
// the test has ended logs into nothing: testing would panic.
func Log(t testing.TB, level slog.Level) *slog.Logger {
	out := &output{to: t.Output()}
	t.Cleanup(out.end)
	return slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: level}))
}

// output writes until the test has ended.
type output struct {
	mu sync.Mutex
	to io.Writer // io.Discard after the end
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.to.Write(p)
}

func (o *output) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.to = io.Discard
}
