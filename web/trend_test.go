package web

import "testing"

func TestTrendsAreDrawnToTheirScale(t *testing.T) {
	readings := func(values ...float64) (all []reading) {
		for _, v := range values {
			all = append(all, reading{value: v})
		}
		return all
	}
	for _, test := range []struct {
		name, unit string
		values     []float64
		top, last  string
		points     string
	}{
		{"percents", "%", []float64{0, 100}, "100 %", "100 %", "54,140 344,14"},
		{"numbers", "", []float64{3, 10, 7.25}, "10", "7.2", "54,103 199,14 344,49"},
		{"nothing", "", []float64{0, 0}, "1", "0", "54,140 344,140"},
		{"seconds", "s", []float64{120, 210}, "500 s", "210 s", "54,110 344,88"},
	} {
		d := trendOf(test.name, test.unit, readings(test.values...))
		if d.Lines[2].Label != test.top || d.Last != test.last || d.Points != test.points || len(d.Dots) != len(test.values) {
			t.Errorf("%s: up to %q, last %q, at %q, want %q, %q, %q", test.name, d.Lines[2].Label, d.Last, d.Points, test.top, test.last, test.points)
		}
	}
	if d := trendOf("one", "", readings(1)); d != nil {
		t.Errorf("one reading is drawn as %+v, want nothing", d)
	}
}
