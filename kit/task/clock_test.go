package task

import (
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
)

// TestClockFollowsTheLatestChange has documents whose times come from machines
// with other clocks.
func TestClockFollowsTheLatestChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		begun := time.Now()
		changed := func(seq int64, after time.Duration) {
			r := kit.Record{Seq: seq}
			r.Updated = begun.Add(after)
			c.saw(r)
		}
		left := func(after, want time.Duration) {
			t.Helper()
			if got := c.until(begun.Add(after)); got != want {
				t.Errorf("until %s after the beginning it is %s, want %s", after, got, want)
			}
		}
		left(time.Hour, time.Hour)
		changed(7, -time.Hour) // of long ago
		left(time.Hour, time.Hour)
		changed(8, 30*time.Minute) // the log is ahead of this machine
		left(time.Hour, 30*time.Minute)
		time.Sleep(10 * time.Minute)
		left(time.Hour, 20*time.Minute)
		changed(5, 50*time.Minute) // seen late
		left(time.Hour, 20*time.Minute)
		changed(9, 10*time.Minute) // and is right by now
		left(time.Hour, 50*time.Minute)
	})
}
