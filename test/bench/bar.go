package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// bar is a demand and what came of it.
type bar struct {
	name       string // "kit/writes"
	what       string // and in which unit
	ours, peer float64
	want       limit // of the ratio
}

// limit is what a ratio must keep to.
type limit struct {
	least bool // else at most
	ratio float64
}

func atLeast(ratio float64) limit { return limit{true, ratio} }
func atMost(ratio float64) limit  { return limit{false, ratio} }

// String is the limit as "<=1.5".
func (l limit) String() string {
	sign := "<="
	if l.least {
		sign = ">="
	}
	return sign + strconv.FormatFloat(l.ratio, 'g', -1, 64)
}

func (b bar) ratio() float64 { return b.ours / b.peer }

// met tells whether the bar is reached. What could not be measured is not.
func (b bar) met() bool {
	r := b.ratio()
	if math.IsNaN(r) || math.IsInf(r, 0) {
		return false
	}
	if b.want.least {
		return r >= b.want.ratio
	}
	return r <= b.want.ratio
}

func (b bar) verdict() string {
	if b.met() {
		return "met"
	}
	return "missed"
}

// String is the bar's line.
func (b bar) String() string {
	return fmt.Sprintf("bar %s ours=%s peer=%s ratio=%s want=%s %s",
		b.name, figure(b.ours), figure(b.peer), digits(b.ratio(), 3), b.want, b.verdict())
}

// figure writes v with at least three digits that count, and a whole number
// from a hundred on.
func figure(v float64) string {
	if math.Abs(v) >= 100 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return digits(v, 3)
}

// digits writes v with n digits that count, without an exponent.
func digits(v float64, n int) string {
	if v == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	places := max(n-1-int(math.Floor(math.Log10(math.Abs(v)))), 0)
	s := strconv.FormatFloat(v, 'f', places, 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}
