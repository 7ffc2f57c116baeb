package docker

import (
	"strconv"
	"testing"
	"time"

	"landfall.dev/engine"
)

// firstWrite notes when it was first written to.
type firstWrite struct{ at time.Time }

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.at.IsZero() {
		w.at = time.Now()
	}
	return len(p), nil
}

// BenchmarkFirstLine measures the time from a task to its first line, in a fresh
// container and in a prepared one, in turn.
func BenchmarkFirstLine(b *testing.B) {
	e := open(b)
	tools := loadTools(b, e)
	var fresh, prepared time.Duration
	for n := 0; b.Loop(); n++ {
		task := engine.Task{ID: "bench-" + strconv.Itoa(n), Image: tools, Dir: b.TempDir(), Command: []string{"sh", "-c", "echo first"}}
		fresh += firstLine(b, e, task)
		spare := task
		spare.ID, spare.Command = "spare-"+strconv.Itoa(n), nil
		if err := e.Prepare(b.Context(), spare); err != nil {
			b.Fatal(err)
		}
		task.Spare = spare.ID
		prepared += firstLine(b, e, task)
	}
	b.ReportMetric(float64(fresh.Milliseconds())/float64(b.N), "ms-fresh")
	b.ReportMetric(float64(prepared.Milliseconds())/float64(b.N), "ms-prepared")
}

func firstLine(b *testing.B, e *Engine, t engine.Task) time.Duration {
	var first firstWrite
	began := time.Now()
	if _, err := e.Run(b.Context(), t, &first); err != nil {
		b.Fatal(err)
	}
	return first.at.Sub(began)
}
