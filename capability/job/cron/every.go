package cron

import (
	"errors"
	"strings"
	"time"
)

// interval fires each so many minutes, counted by the time that passes and not by
// the clock. Where it begins is drawn, so that a restart changes nothing.
type interval struct {
	text          string // as it was written
	period, begin time.Duration
}

// everyMark begins the line of an interval.
const everyMark = "@every "

// The periods that an interval may have.
const (
	shortest = time.Minute
	longest  = 366 * 24 * time.Hour
)

func parseInterval(l string, draw *draw) (interval, error) {
	period, err := time.ParseDuration(strings.TrimSpace(l[len(everyMark):]))
	if err != nil || period < shortest || period > longest || period%time.Minute != 0 {
		return interval{}, errors.New("after @every write whole minutes or hours, such as 90m or 48h, from 1m to 8784h")
	}
	minutes := int(period / time.Minute)
	return interval{l, period, time.Duration(draw.below(minutes)) * time.Minute}, nil
}

// next returns the first time after the given one.
func (i interval) next(after time.Time) time.Time {
	first := time.Unix(0, 0).Add(i.begin)
	return first.Add((after.Sub(first)/i.period + 1) * i.period)
}
