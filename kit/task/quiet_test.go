package task_test

import (
	"log/slog"
	"testing"
)

// quiet returns a log into the test's output.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
