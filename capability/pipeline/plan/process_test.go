package plan

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestChildEvaluates(t *testing.T) {
	in := ledger(t)
	r, err := Evaluate(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := draw(r.Plan), draw(planOf(t, in)); got != want {
		t.Errorf("got the plan\n%s\n\nwant, as in process,\n%s", got, want)
	}
}

func TestChildReportsErrorAndLog(t *testing.T) {
	r, err := Evaluate(t.Context(), mainOf(`print("hello")`, `return 1 // 0`))
	if e := asError(t, err); e.Line != 3 || e.Message != "floored division by zero" {
		t.Errorf("got %v, want the division in line 3", err)
	}
	if r.Log != "hello\n" {
		t.Errorf("got log %q, want hello", r.Log)
	}
}

func TestMemoryBombsEndOnlyTheChild(t *testing.T) {
	for name, in := range map[string]Input{
		"a list of a trillion":          mainOf(`return list(range(1 << 40))`),
		"a list longer than any memory": mainOf(`return list(range(1 << 62))`),
		"a string that doubles":         mainOf(`s = "x"`, `for i in range(40): s += s`, `return []`),
		"a list that grows":             mainOf(`l = []`, `for i in range(400): l.append("x" * (i << 13) + "y")`, `return l`),
		"text without end in the plan":  mainOf(`t = "x" * (64 << 20)`, `return [notify(t) for i in range(100)]`),
	} {
		t.Run(name, func(t *testing.T) {
			wantTooMuch(t, in, maxWall, "pipeline.star used more than 256 MB of memory")
		})
	}
}

func TestWhatAnEvaluationWritesIsBounded(t *testing.T) {
	var c capped
	for range 2 {
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			t.Fatalf("the first two MB: %v", err)
		}
	}
	if _, err := c.Write([]byte("x")); err == nil || c.Len() != maxAnswer {
		t.Errorf("one byte more: %v, and %d bytes are kept, want an error and %d", err, c.Len(), maxAnswer)
	}
}

func TestGarbageDoesNotCountAsMemory(t *testing.T) {
	in := mainOf(`for i in range(640): s = "x" * (i + (1 << 20))`, `return []`)
	if _, err := evaluate(t.Context(), in, time.Minute); err != nil {
		t.Errorf("640 MB of garbage: %v", err)
	}
}

func TestEndlessLoopEndsByItsSteps(t *testing.T) {
	_, err := Evaluate(t.Context(), mainOf(`for i in range(1 << 40): pass`))
	if e := asError(t, err); e.Line != 2 || !strings.Contains(e.Message, "1000000 steps") {
		t.Errorf("got %v, want the steps in line 2", err)
	}
}

// slow takes minutes in few steps.
func slow() Input {
	return mainOf(`s = "x" * (32 << 20)`, `for i in range(100000): s.count("xy")`, `return []`)
}

func TestSlowStepsEndByTheirCPUTime(t *testing.T) {
	wantTooMuch(t, slow(), time.Minute, "pipeline.star used more than 2s of CPU time")
}

func TestSlowEvaluationEndsByTheClock(t *testing.T) {
	wantTooMuch(t, slow(), 100*time.Millisecond, "pipeline.star took longer than 100ms")
}

func TestEndOfContextIsNoFaultOfTheProgram(t *testing.T) {
	reason := errors.New("a newer patch set came")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	_, err := Evaluate(ctx, slow())
	var e *Error
	if !errors.Is(err, reason) || errors.As(err, &e) {
		t.Errorf("got %v (%T), want the cause of the context's end", err, err)
	}
}

func wantTooMuch(t *testing.T, in Input, wall time.Duration, want string) {
	t.Helper()
	_, err := evaluate(t.Context(), in, wall)
	if e := asError(t, err); e.Error() != want || e.File != mainFile {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
