package web

import (
	"math"

	"landfall.dev/api"
)

// chart draws the documents of an upgrade's cycles, on a logarithmic scale.
// Lengths are SVG units.
type chart struct {
	Width, Height int
	Bars          []bar
	Lines         []gridLine
	Left, Base    int // where the axes are
}

// bar is a cycle.
type bar struct {
	X, Y, Width, Height int
	Middle              int
	api.Cycle
}

// gridLine is a power of ten.
type gridLine struct {
	Y     int
	Label string
}

// The measures of a chart.
const (
	chartWidth, chartHeight = 760, 240
	chartLeft, chartTop     = 88, 24
	chartBase               = chartHeight - 28
	widestBar               = 64
)

// chartOf draws the last cycles, as many as can be told apart.
func chartOf(cycles []api.Cycle) chart {
	const most = 60
	cycles = cycles[max(0, len(cycles)-most):]
	c := chart{Width: chartWidth, Height: chartHeight, Left: chartLeft, Base: chartBase}
	if len(cycles) == 0 {
		return c
	}
	decades := 1
	for _, cycle := range cycles {
		decades = max(decades, int(math.Ceil(math.Log10(float64(cycle.Documents+1)))))
	}
	height := func(documents float64) int {
		return int(math.Log10(documents+1) / float64(decades) * (chartBase - chartTop))
	}
	for d := range decades + 1 {
		power := math.Pow(10, float64(d))
		c.Lines = append(c.Lines, gridLine{Y: chartBase - height(power-1), Label: count(int64(power))})
	}
	c.Lines[0].Label = "0"
	step := min((chartWidth-chartLeft)/len(cycles), widestBar)
	for i, cycle := range cycles {
		h := max(height(float64(cycle.Documents)), 1)
		x := chartLeft + i*step + step/8
		width := step - step/4
		c.Bars = append(c.Bars, bar{X: x, Y: chartBase - h, Width: width, Height: h, Middle: x + width/2, Cycle: cycle})
	}
	return c
}

// pauses compares how long traffic may be held, would be and was.
type pauses []pauseBar

type pauseBar struct {
	What  string // "budget", "predicted", "actual"
	Y     int
	Width int
	Text  string
}

// The measures of the comparison.
const (
	pauseWidth = 420
	pauseStep  = 26
)

func pausesOf(u api.Upgrade) pauses {
	longest := max(u.Budget, u.Predicted, u.Pause)
	if longest <= 0 {
		return nil
	}
	var ps pauses
	for _, p := range []struct {
		what string
		d    api.Duration
	}{{"budget", u.Budget}, {"predicted", u.Predicted}, {"actual", u.Pause}} {
		if p.d <= 0 {
			continue
		}
		width := max(int(float64(p.d/longest)*pauseWidth), 2)
		ps = append(ps, pauseBar{What: p.what, Y: len(ps) * pauseStep, Width: width, Text: brief(p.d.Std())})
	}
	return ps
}

// Height returns the height of the drawing.
func (p pauses) Height() int { return len(p) * pauseStep }
