package cron

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on the machine
)

// Table is when a trigger fires. The zero value never does.
type Table struct {
	lines     []line
	intervals []interval
}

// line is one of a Table: for each field the set of numbers that fit, as bits.
type line struct {
	sets [fieldCount]uint64
	zone *time.Location
}

// maxLines bounds what a job can ask for: definitions come from patches.
const maxLines = 100

// Parse reads the lines of the triggers of the job called name. Its error has
// all that is wrong in them.
func Parse(name string, triggers ...string) (Table, error) {
	var t Table
	var wrong []error
	if n := strings.Count(strings.Join(triggers, "\n"), "\n"); n >= maxLines {
		return t, fmt.Errorf("there are %d lines, more than %d", n+1, maxLines)
	}
	draw := newDraw(name)
	for _, text := range triggers {
		zone := time.UTC
		for i, l := range strings.Split(text, "\n") {
			l = strings.TrimSpace(l)
			if l == "" || l[0] == '#' {
				continue
			}
			if err := t.read(l, &zone, draw); err != nil {
				wrong = append(wrong, fmt.Errorf("line %d, %q: %w", i+1, l, err))
			}
		}
	}
	if len(t.lines)+len(t.intervals) == 0 && wrong == nil {
		return t, errors.New(`there is no line: write one such as "H 3 * * *"`)
	}
	return t, errors.Join(wrong...)
}

// read adds the line l, or makes what it says the zone of those after it.
func (t *Table) read(l string, zone **time.Location, draw *draw) error {
	if name, ok := strings.CutPrefix(l, "TZ="); ok {
		z, err := time.LoadLocation(name)
		if err != nil || name == "" || name == "Local" {
			return fmt.Errorf("there is no time zone %q: use a name such as Europe/Berlin, on a line of its own", name)
		}
		*zone = z
		return nil
	}
	if len(l) >= len(everyMark) && strings.EqualFold(l[:len(everyMark)], everyMark) {
		i, err := parseInterval(l, draw)
		if err != nil {
			return err
		}
		t.intervals = append(t.intervals, i)
		return nil
	}
	sets, err := parseFields(l, draw)
	if err != nil {
		return err
	}
	x := line{sets, *zone}
	if !x.possible() {
		return errors.New("it never fires: no year has such a day")
	}
	t.lines = append(t.lines, x)
	return nil
}

// Next returns the first time after the given one at which t fires, zero if
// there is none in the next forty years.
func (t Table) Next(after time.Time) time.Time {
	var first time.Time
	for _, l := range t.lines {
		if at := l.next(after); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	for _, i := range t.intervals {
		if at := i.next(after); first.IsZero() || at.Before(first) {
			first = at
		}
	}
	return first.UTC()
}

// horizon is how far Next looks, in years. Within it the 29th of February falls
// on each day of the week, also where a century ends without one.
const horizon = 40

// possible tells whether there is a day that l fits.
func (l line) possible() bool {
	// These years have every date on every day of the week.
	d := date{2001, time.January, 1}
	for ; d.year < 2001+horizon; d = l.following(d) {
		if l.on(d) {
			return true
		}
	}
	return false
}

func (l line) next(after time.Time) time.Time {
	if l.sets[hour] == allHours {
		return l.nextByMinute(after)
	}
	// A time that is put off may belong to the day before.
	d := dateOf(after.In(l.zone)).add(-1)
	for last := d.year + horizon; d.year <= last; d = l.following(d) {
		if !l.on(d) {
			continue
		}
		for h := range 24 {
			for m := 0; l.has(hour, h) && m < 60; m++ {
				if !l.has(minute, m) {
					continue
				}
				if at := d.at(h, m, l.zone); at.After(after) {
					return at
				}
			}
		}
	}
	return time.Time{}
}

// nextByMinute is next for a line that fits all hours.
func (l line) nextByMinute(after time.Time) time.Time {
	at := after.Truncate(time.Minute).Add(time.Minute)
	for last := at.Year() + horizon; at.Year() <= last; {
		local := at.In(l.zone)
		d := dateOf(local)
		if !l.on(d) {
			at = l.following(d).at(0, 0, l.zone)
			continue
		}
		if l.has(minute, local.Minute()) {
			return at
		}
		at = at.Add(time.Minute)
	}
	return time.Time{}
}

func (l line) has(f int, n int) bool { return l.sets[f]&(1<<n) != 0 }

// on tells whether l fits the day.
func (l line) on(d date) bool {
	return l.has(month, int(d.month)) && l.has(day, d.day) && l.has(weekday, int(d.weekday()))
}

// following returns the next day that may fit: one in a month that does.
func (l line) following(d date) date {
	if l.has(month, int(d.month)) {
		return d.add(1)
	}
	return dateOf(time.Date(d.year, d.month+1, 1, 0, 0, 0, 0, time.UTC))
}
