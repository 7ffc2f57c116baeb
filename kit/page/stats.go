package page

import (
	"fmt"
	"math"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/stats"
)

// rates returns how many reads and writes there were each second of the last
// minute.
func rates(verbs []stats.Verb) (reads, writes float64) {
	for _, v := range verbs {
		switch kit.Verb(v.Verb) {
		case kit.VerbRead, kit.VerbList, kit.VerbWatch:
			reads += v.Rate1m
		default:
			writes += v.Rate1m
		}
	}
	return reads, writes
}

// statsPage is what a node has answered.
type statsPage struct {
	Since   time.Time
	Watches int
	Kinds   []kindStats
	Idle    []string // kinds that nobody has asked for
}

// kindStats are the statistics of a kind.
type kindStats struct {
	kindRow
	Verbs []verbStats
}

type verbStats struct {
	stats.Verb
	Refused uint64 // answers from 400 on
	Bars    []bar
}

// bar is a bar of a histogram, which is barsHigh high.
type bar struct {
	X, Y, Height int
	Within       float64 // seconds, at most
	Count        uint64
}

// The size of a histogram: its bars' distance and height, and what the first
// and, twice as long each, the others stand for.
const (
	barStep  = 5
	barsHigh = 20
	firstBar = 50e-6
	barCount = 20
)

// stats shows the statistics of the kinds that the caller may list.
func (s site) stats(r request) (page, error) {
	rows, node, err := s.listed(r)
	if err != nil {
		return page{}, err
	}
	content := statsPage{Since: node.Since, Watches: node.Watches}
	for _, row := range rows {
		if len(row.Verbs) == 0 {
			content.Idle = append(content.Idle, row.Kind)
			continue
		}
		k := kindStats{kindRow: row}
		for _, v := range row.Verbs {
			k.Verbs = append(k.Verbs, verbOf(v))
		}
		content.Kinds = append(content.Kinds, k)
	}
	return page{Title: "Statistics", Section: "/kit/stats", Body: "stats", Content: content}, nil
}

func verbOf(v stats.Verb) verbStats {
	out := verbStats{Verb: v}
	for code, n := range v.Codes {
		if code >= "400" {
			out.Refused += n
		}
	}
	if v.Seconds == nil {
		return out
	}
	var most, before uint64
	for _, b := range v.Seconds.Buckets {
		at := int(math.Ceil(math.Log2(b.Within/firstBar) - 1e-9))
		out.Bars = append(out.Bars, bar{X: barStep * min(max(at, 0), barCount-1), Within: b.Within, Count: b.Count - before})
		most, before = max(most, b.Count-before), b.Count
	}
	for i := range out.Bars {
		b := &out.Bars[i]
		b.Height = max(1, int(barsHigh*b.Count/most))
		b.Y = barsHigh - b.Height
	}
	return out
}

// rateText returns a rate as people read it.
func rateText(rate float64) string {
	switch {
	case rate == 0:
		return "–"
	case rate < 0.01:
		return "<0.01/s"
	case rate < 10:
		return fmt.Sprintf("%.2f/s", rate)
	}
	return fmt.Sprintf("%.0f/s", rate)
}

// spanText returns seconds as people read them.
func spanText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	for digits := time.Nanosecond; ; digits *= 10 {
		if d < 1000*digits {
			return d.Round(digits).String()
		}
	}
}
