// Package window tells when something may begin: at which times of a week, in
// which time zone, and on which days not at all.
//
// It is pure: it has no clock, and its time zones are those of the binary.
package window

import (
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones must not depend on the machine

	"landfall.dev/api"
)

// Window is an api.Window that was read.
type Window struct {
	zone    *time.Location
	periods []period
	freezes []freeze
}

// period is a part of each of some days. One that ends before it begins ends on
// the day after.
type period struct {
	days     [7]bool // by time.Weekday
	from, to int     // minutes of the day
}

// freeze is days on which nothing begins: from the first to the last.
type freeze struct{ first, last time.Time }

// Read returns what w says, or what is wrong with it.
func Read(w api.Window) (Window, error) {
	var out Window
	var err error
	if out.zone, err = time.LoadLocation(w.Zone); err != nil {
		return out, fmt.Errorf("zone %q is unknown: want a name as Europe/Berlin or UTC", w.Zone)
	}
	for _, text := range w.Times {
		p, err := readPeriod(text)
		if err != nil {
			return out, err
		}
		out.periods = append(out.periods, p)
	}
	if len(out.periods) == 0 {
		p := period{to: 24 * 60}
		for day := range p.days {
			p.days[day] = true
		}
		out.periods = []period{p}
	}
	for _, text := range w.Freezes {
		f, err := out.readFreeze(text)
		if err != nil {
			return out, err
		}
		out.freezes = append(out.freezes, f)
	}
	return out, nil
}

const wanted = `want days and hours as "Mon-Thu 08:00-16:00", "Sat,Sun" or "22:00-04:00"`

// names are the days as people write them, by time.Weekday.
var names = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

func readPeriod(text string) (period, error) {
	p := period{to: 24 * 60}
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > 2 {
		return p, fmt.Errorf("%q is no time: %s", text, wanted)
	}
	days, hours := "", words[len(words)-1]
	if len(words) == 2 || !strings.Contains(hours, ":") {
		days = words[0]
	}
	if err := p.readDays(days); err != nil {
		return p, fmt.Errorf("%q: %w", text, err)
	}
	if days == hours {
		return p, nil
	}
	from, to, ok := strings.Cut(hours, "-")
	var ok1, ok2 bool
	p.from, ok1 = minutes(from)
	p.to, ok2 = minutes(to)
	if !ok || !ok1 || !ok2 || p.from == 24*60 || p.from == p.to {
		return p, fmt.Errorf("%q: the hours %q are none: %s", text, hours, wanted)
	}
	return p, nil
}

// readDays reads days like "Mon-Thu,Sat"; none are all.
func (p *period) readDays(text string) error {
	for part := range strings.SplitSeq(text, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		a, b := slices.Index(names, first), slices.Index(names, last)
		if text == "" {
			a, b = 0, 6
		}
		if a < 0 || b < 0 {
			return fmt.Errorf("the days %q are none: %s", part, wanted)
		}
		for day := a; ; day = (day + 1) % 7 {
			p.days[day] = true
			if day == b {
				break
			}
		}
	}
	return nil
}

// minutes reads a time of the day, up to "24:00".
func minutes(text string) (int, bool) {
	if text == "24:00" {
		return 24 * 60, true
	}
	t, err := time.Parse("15:04", text)
	return t.Hour()*60 + t.Minute(), err == nil && len(text) == 5
}

// maxFreeze bounds the days of a freeze.
const maxFreeze = 366

func (w Window) readFreeze(text string) (freeze, error) {
	first, last, isRange := strings.Cut(text, "..")
	if !isRange {
		last = first
	}
	a, err1 := time.ParseInLocation(time.DateOnly, first, w.zone)
	b, err2 := time.ParseInLocation(time.DateOnly, last, w.zone)
	if err1 != nil || err2 != nil || b.Before(a) || b.After(a.AddDate(0, 0, maxFreeze)) {
		return freeze{}, fmt.Errorf(`freeze %q: want a day, or the first and the last of at most %d, as "2026-12-20..2027-01-03"`, text, maxFreeze)
	}
	return freeze{a, b}, nil
}

// Opens returns the first time from now on at which the window is open: now, if
// it is.
func (w Window) Opens(now time.Time) time.Time {
	now = now.In(w.zone)
	// A period that began yesterday may last until today. What is not frozen
	// comes again within a week; an hour of a day may be missing once, when the
	// clocks go forward.
	var best time.Time
	for day := -1; best.IsZero(); day++ {
		for _, p := range w.periods {
			if t, ok := w.within(p, now, day); ok && (best.IsZero() || t.Before(best)) {
				best = t
			}
		}
	}
	return best
}

// within returns the first time from now on that is in the period p as it
// begins so many days after now.
func (w Window) within(p period, now time.Time, day int) (time.Time, bool) {
	year, month, date := now.Date()
	at := func(day, minutes int) time.Time {
		return time.Date(year, month, date+day, 0, minutes, 0, 0, w.zone)
	}
	from, to := at(day, p.from), at(day, p.to)
	if p.to <= p.from {
		to = at(day+1, p.to)
	}
	if !p.days[at(day, 12*60).Weekday()] {
		return time.Time{}, false
	}
	if from.Before(now) {
		from = now
	}
	for again := true; again; {
		again = false
		for _, f := range w.freezes {
			end := f.last.AddDate(0, 0, 1)
			if !from.Before(f.first) && from.Before(end) {
				from, again = end, true
			}
		}
	}
	return from, from.Before(to)
}

// Closed says that w is closed until the time, for people.
func Closed(w api.Window, until time.Time) string {
	return fmt.Sprintf("waits until %s for its window, %s", until.Format("Mon 2006-01-02 15:04 MST"), Text(w))
}

// Text is w in a few words.
func Text(w api.Window) string {
	text := strings.Join(w.Times, " or ")
	if text == "" {
		text = "any time"
	}
	if w.Zone != "" {
		text += " in " + w.Zone
	}
	if len(w.Freezes) > 0 {
		text += " but not " + strings.Join(w.Freezes, ", ")
	}
	return text
}
