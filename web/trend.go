package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// trend draws how a number went over the builds of a job, oldest first.
// Lengths are SVG units.
type trend struct {
	Title         string
	Last          string // its value in the latest build
	Width, Height int
	Left, Base    int // where the axes are
	Lines         []gridLine
	Points        string // of a polyline
	Dots          []dot
}

// dot is a build.
type dot struct {
	X, Y  int
	Link  kit.Link
	Title string
}

// reading is a number of a build.
type reading struct {
	value float64
	link  kit.Link
	what  string // it belongs to
}

// The measures of a trend.
const (
	trendWidth, trendHeight = 350, 150
	trendLeft, trendTop     = 48, 14
	trendBase               = trendHeight - 10
)

// trendOf draws readings with a unit; nothing if there are fewer than two.
func trendOf(title, unit string, readings []reading) *trend {
	if len(readings) < 2 {
		return nil
	}
	highest := slices.MaxFunc(readings, func(a, b reading) int { return cmp.Compare(a.value, b.value) }).value
	top := ceiling(highest)
	if unit == "%" {
		top = 100
	}
	written := func(v float64) string {
		return strings.TrimSpace(strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0") + " " + unit)
	}
	height := func(v float64) int { return trendBase - int(v/top*(trendBase-trendTop)) }
	t := &trend{Title: title, Last: written(readings[len(readings)-1].value), Width: trendWidth, Height: trendHeight, Left: trendLeft, Base: trendBase}
	for _, v := range []float64{0, top / 2, top} {
		t.Lines = append(t.Lines, gridLine{Y: height(v), Label: written(v)})
	}
	var points []string
	for i, r := range readings {
		d := dot{X: trendLeft + 6 + i*(trendWidth-trendLeft-12)/(len(readings)-1), Y: height(r.value), Link: r.link, Title: r.what + ": " + written(r.value)}
		points = append(points, fmt.Sprintf("%d,%d", d.X, d.Y))
		t.Dots = append(t.Dots, d)
	}
	t.Points = strings.Join(points, " ")
	return t
}

// ceiling returns the next number that is 1, 2 or 5 times a power of ten.
func ceiling(v float64) float64 {
	if v <= 1 {
		return 1
	}
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*power {
			return n * power
		}
	}
	return 10 * power
}

// maxReadings is how many reports the trends of a job are made of.
const maxReadings = 60

// trends draws coverage, findings and tests of what has landed, by the reports
// of a job.
func trends(r request, project, job string) ([]*trend, error) {
	filter := fmt.Sprintf(`project == %q && job == %q && change == "" && state != %q`, project, job, api.ReportJudging)
	reports, _, err := some(r, kit.Query{Kind: api.Reports.Name, Filter: filter, Order: "-created", Limit: maxReadings}, api.Reports)
	switch kit.FaultOf(err) {
	case kit.ErrForbidden, kit.ErrNotFound:
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var coverage, findings, tests, took []reading
	for _, x := range slices.Backward(reports) {
		at := reading{link: x.Link, what: short(x.Commit) + " of " + x.Created.UTC().Format("2006-01-02 15:04")}
		if c := x.Coverage; c != nil && c.Lines > 0 {
			at.value = float64(c.Covered) * 100 / float64(c.Lines)
			coverage = append(coverage, at)
		}
		if x.Findings != nil {
			at.value = float64(x.Findings.Total)
			findings = append(findings, at)
		}
		if x.Tests != nil {
			at.value = float64(x.Tests.Passed + x.Tests.Failed)
			tests = append(tests, at)
			at.value = x.Tests.Seconds
			took = append(took, at)
		}
	}
	all := []*trend{trendOf("Coverage", "%", coverage), trendOf("Findings", "", findings), trendOf("Tests", "", tests), trendOf("Tests take", "s", took)}
	return slices.DeleteFunc(all, func(t *trend) bool { return t == nil }), nil
}
