package cron

import "time"

// date is a day of the calendar, in no zone.
type date struct {
	year  int
	month time.Month
	day   int
}

func dateOf(t time.Time) date {
	y, m, d := t.Date()
	return date{y, m, d}
}

// utc is the day's midnight, as if it were in UTC.
func (d date) utc() time.Time { return time.Date(d.year, d.month, d.day, 0, 0, 0, 0, time.UTC) }

func (d date) add(days int) date { return dateOf(d.utc().AddDate(0, 0, days)) }

func (d date) weekday() time.Weekday { return d.utc().Weekday() }

// at returns when the clocks of the zone show h:m on d: the first time if they
// do so twice, and if they jump over it, the first minute after the jump.
//
// The offset of the clocks is that of a day before or of a day after, as they
// are not changed twice in two days.
func (d date) at(h, m int, zone *time.Location) time.Time {
	shown := d.utc().Add(time.Duration(h)*time.Hour + time.Duration(m)*time.Minute)
	before, after := offset(shown.Add(-24*time.Hour), zone), offset(shown.Add(24*time.Hour), zone)
	earlier, later := shown.Add(-max(before, after)), shown.Add(-min(before, after))
	switch {
	case offset(earlier, zone) == max(before, after):
		return earlier
	case offset(later, zone) == min(before, after):
		return later
	}
	// By the clock as it was before, the time lies after the jump.
	jump, _ := shown.Add(-before).In(zone).ZoneBounds()
	if rest := jump.Sub(jump.Truncate(time.Minute)); rest > 0 {
		jump = jump.Add(time.Minute - rest)
	}
	return jump.UTC()
}

func offset(t time.Time, zone *time.Location) time.Duration {
	_, seconds := t.In(zone).Zone()
	return time.Duration(seconds) * time.Second
}
