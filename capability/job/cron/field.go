package cron

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// The fields of a line.
const (
	minute = iota
	hour
	day
	month
	weekday
	fieldCount
)

const allHours = 1<<24 - 1

// fields says what may be in each field. An H is at most drawn, so that each
// month has the day, and Sunday does not come up twice.
var fields = [fieldCount]struct {
	name             string
	low, high, drawn int
	words            string // three letters each, for the numbers from low
}{
	{"minute", 0, 59, 59, ""},
	{"hour", 0, 23, 23, ""},
	{"day of the month", 1, 31, 28, ""},
	{"month", 1, 12, 12, "janfebmaraprmayjunjulaugsepoctnovdec"},
	{"day of the week", 0, 7, 6, "sunmontuewedthufrisat"},
}

var shorthands = map[string]string{
	"@yearly":   "H H H H *",
	"@annually": "H H H H *",
	"@monthly":  "H H H * *",
	"@weekly":   "H H * * H",
	"@daily":    "H H * * *",
	"@midnight": "H H(0-2) * * *",
	"@hourly":   "H * * * *",
}

// parseFields reads a line.
func parseFields(l string, draw *draw) (sets [fieldCount]uint64, err error) {
	if l[0] == '@' {
		long, ok := shorthands[strings.ToLower(l)]
		if !ok {
			return sets, fmt.Errorf("there is no %s: use @hourly, @daily, @midnight, @weekly, @monthly or @yearly, or @every with a time such as 90m", l)
		}
		l = long
	}
	texts := strings.Fields(l)
	if len(texts) != fieldCount {
		return sets, fmt.Errorf("it has %d fields: write five, minute, hour, day of the month, month, day of the week", len(texts))
	}
	for f, text := range texts {
		for _, term := range strings.Split(text, ",") {
			set, err := parseTerm(f, term, draw)
			if err != nil {
				return sets, fmt.Errorf("%s: %w", fields[f].name, err)
			}
			sets[f] |= set
		}
	}
	if sets[weekday]&(1<<7) != 0 { // Sunday, too
		sets[weekday] = sets[weekday]&^(1<<7) | 1
	}
	return sets, nil
}

// parseTerm reads *, a number or a range, H or H(range), each maybe with /step.
func parseTerm(f int, term string, draw *draw) (uint64, error) {
	body, stepText, stepped := strings.Cut(term, "/")
	step := 1
	if stepped {
		var err error
		if step, err = strconv.Atoi(stepText); err != nil || step < 1 {
			return 0, fmt.Errorf("the step %q in %q must be a number from 1", stepText, term)
		}
	}
	if body != "" && (body[0] == 'H' || body[0] == 'h') {
		return drawTerm(f, term, body[1:], step, draw)
	}
	from, to := fields[f].low, fields[f].high
	if body != "*" {
		var err error
		if from, to, err = parseRange(f, body); err != nil {
			return 0, err
		}
		if from == to && stepped {
			return 0, fmt.Errorf("%q steps through a single number: write a range, such as %d-%d/%d", term, from, fields[f].high, step)
		}
	}
	return span(from, to, step), nil
}

// drawTerm reads what follows an H.
func drawTerm(f int, term, rest string, step int, draw *draw) (uint64, error) {
	from, to := fields[f].low, fields[f].drawn
	if rest != "" {
		inner, ok := strings.CutPrefix(rest, "(")
		inner, closed := strings.CutSuffix(inner, ")")
		if !ok || !closed {
			return 0, fmt.Errorf("%q is unknown: after H write a range in brackets, H(0-29), or a step, H/15", term)
		}
		var err error
		if from, to, err = parseRange(f, inner); err != nil {
			return 0, err
		}
	}
	if n := to - from + 1; step > n {
		return 0, fmt.Errorf("the step of %q is longer than its range of %d", term, n)
	}
	if step > 1 {
		return span(from+draw.below(step), to, step), nil
	}
	return 1 << (from + draw.below(to-from+1)), nil
}

func parseRange(f int, text string) (from, to int, err error) {
	a, b, isRange := strings.Cut(text, "-")
	if from, err = parseNumber(f, a); err != nil || !isRange {
		return from, from, err
	}
	if to, err = parseNumber(f, b); err != nil {
		return from, to, err
	}
	if from > to {
		return from, to, fmt.Errorf("the range %q runs backwards", text)
	}
	return from, to, nil
}

func parseNumber(f int, text string) (int, error) {
	x := fields[f]
	if i := strings.Index(x.words, strings.ToLower(text)); len(text) == 3 && i >= 0 && i%3 == 0 {
		return x.low + i/3, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || text[0] == '+' {
		return 0, fmt.Errorf("%q is no number, range, * or H", text)
	}
	if n < x.low || n > x.high {
		return 0, fmt.Errorf("%d is outside of %d to %d", n, x.low, x.high)
	}
	return n, nil
}

func span(from, to, step int) (set uint64) {
	for n := from; n <= to; n += step {
		set |= 1 << n
	}
	return set
}

// String writes the sets out, for people.
func (l line) String() string {
	var b strings.Builder
	for f, set := range l.sets {
		if f > 0 {
			b.WriteByte(' ')
		}
		all := span(fields[f].low, fields[f].high, 1)
		if f == weekday {
			all = span(0, 6, 1)
		}
		if set == all {
			b.WriteByte('*')
			continue
		}
		for i := 0; set != 0; i++ {
			if i > 0 {
				b.WriteByte(',')
			}
			n := bits.TrailingZeros64(set)
			b.WriteString(strconv.Itoa(n))
			set &^= 1 << n
		}
	}
	if name := l.zone.String(); name != "UTC" {
		b.WriteString(" " + name)
	}
	return b.String()
}

// String writes the lines with the numbers that each H stands for.
func (t Table) String() string {
	var texts []string
	for _, l := range t.lines {
		texts = append(texts, l.String())
	}
	for _, i := range t.intervals {
		texts = append(texts, i.text)
	}
	return strings.Join(texts, "; ")
}
