package again

import (
	"testing"
	"time"
)

func TestPausesBetweenStartsGrow(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, test := range []struct {
		ends int
		wait time.Duration
	}{{0, 0}, {1, time.Second}, {2, 2 * time.Second}, {5, 16 * time.Second}, {6, 30 * time.Second}, {100, 30 * time.Second}} {
		e := Ends{test.ends, began}
		if !e.Due(began.Add(test.wait)) || test.wait > 0 && e.Due(began.Add(test.wait-1)) {
			t.Errorf("an instance that has ended %d times is not due after %s", test.ends, test.wait)
		}
	}
	if e := (Ends{3, began}); e.Well(began.Add(time.Minute)) || !e.Well(began.Add(time.Minute+1)) || (Ends{}).Well(began) {
		t.Error("an instance is well again after more than a minute")
	}
}
