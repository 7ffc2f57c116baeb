package web

import (
	"fmt"
	"slices"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// graph is the drawing of a run: its nodes in columns from left to right, each
// right of all that it needs. Lengths are SVG units.
type graph struct {
	Width, Height int
	Boxes         []box
	Arrows        []arrow
	Heads         []heading
}

// box is a node.
type box struct {
	X, Y, Width, Height int
	Name, What          string
	Full                string // its name in full
	State               api.RunState
	Time                string
	Link                kit.Link
}

// arrow leads from a node to one that needs it.
type arrow struct {
	Path  string
	State api.RunState // of the node that it comes from
}

// heading is the name of a stage above its column.
type heading struct {
	X    int
	Text string
}

// The measures of a graph.
const (
	boxWidth, boxHeight = 190, 58
	columnGap, rowGap   = 56, 16
	graphMargin         = 8
	headHeight          = 26
)

// maxArrows bounds the arrows to one node: of two wide parts of a plan, one
// after the other, nobody sees more.
const maxArrows = 20

// graphOf draws the steps.
func graphOf(steps []runStep) graph {
	columns := columnsOf(steps)
	g := graph{Width: 2 * graphMargin, Height: 2*graphMargin + headHeight}
	at := map[string]box{}
	tallest := 0
	for _, c := range columns {
		tallest = max(tallest, len(c))
	}
	g.Width += len(columns)*(boxWidth+columnGap) - columnGap
	g.Height += tallest*(boxHeight+rowGap) - rowGap
	for i, column := range columns {
		x := graphMargin + i*(boxWidth+columnGap)
		if stage := stageOf(column); stage != "" {
			g.Heads = append(g.Heads, heading{X: x, Text: stage})
		}
		y := graphMargin + headHeight + (tallest-len(column))*(boxHeight+rowGap)/2
		for _, s := range column {
			b := boxOf(s, x, y)
			at[s.Plan.ID] = b
			g.Boxes = append(g.Boxes, b)
			y += boxHeight + rowGap
		}
	}
	for _, s := range steps {
		for _, need := range s.Before[:min(len(s.Before), maxArrows)] {
			if from, ok := at[need]; ok {
				g.Arrows = append(g.Arrows, arrowBetween(from, at[s.Plan.ID]))
			}
		}
	}
	return g
}

// columnsOf groups the steps by how many others lie before them.
func columnsOf(steps []runStep) [][]runStep {
	byID := map[string]runStep{}
	for _, s := range steps {
		byID[s.Plan.ID] = s
	}
	depths := map[string]int{}
	var depth func(id string) int
	depth = func(id string) int {
		if d, known := depths[id]; known {
			return d
		}
		depths[id] = 0 // what waits for itself ends here
		d := 0
		for _, before := range byID[id].Before {
			if _, ok := byID[before]; ok {
				d = max(d, depth(before)+1)
			}
		}
		depths[id] = d
		return d
	}
	var columns [][]runStep
	for _, s := range steps {
		d := depth(s.Plan.ID)
		for len(columns) <= d {
			columns = append(columns, nil)
		}
		columns[d] = append(columns[d], s)
	}
	return slices.DeleteFunc(columns, func(c []runStep) bool { return len(c) == 0 })
}

// stageOf returns the stage that all of the steps are in, if there is one.
func stageOf(steps []runStep) string {
	stage := steps[0].Plan.Stage
	if slices.ContainsFunc(steps, func(s runStep) bool { return s.Plan.Stage != stage }) {
		return ""
	}
	return stage
}

func boxOf(s runStep, x, y int) box {
	took := span(s.Run.Started, s.Run.Finished, time.Now())
	return box{
		X: x, Y: y, Width: boxWidth, Height: boxHeight,
		Name: cut(s.Plan.ID, 23), Full: s.Plan.ID, What: cut(string(s.Plan.Type)+" "+s.What(), 23-len(took)),
		State: s.Run.State, Time: took,
		Link: s.Run.Link,
	}
}

func arrowBetween(from, to box) arrow {
	x1, y1 := from.X+from.Width, from.Y+from.Height/2
	x2, y2 := to.X-6, to.Y+to.Height/2
	middle := (x1 + x2) / 2
	return arrow{Path: fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, middle, y1, middle, y2, x2, y2), State: from.State}
}

// cut shortens s to n letters.
func cut(s string, n int) string {
	letters := []rune(s)
	if len(letters) <= n {
		return s
	}
	return string(letters[:n-1]) + "…"
}
