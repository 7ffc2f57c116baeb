package window

import (
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
)

func TestAWindowOpensAtItsTimes(t *testing.T) {
	berlin := func(w api.Window) api.Window {
		w.Zone = "Europe/Berlin"
		return w
	}
	times := func(times ...string) api.Window { return api.Window{Times: times} }
	for _, test := range []struct {
		name      string
		w         api.Window
		now, want string // RFC 3339
	}{
		{"open", times("Mon-Thu 08:00-16:00"), "2026-11-23T10:43:00Z", "2026-11-23T10:43:00Z"},
		{"before", times("Mon-Thu 08:00-16:00"), "2026-11-23T07:59:59Z", "2026-11-23T08:00:00Z"},
		{"its end is closed", times("Mon-Thu 08:00-16:00"), "2026-11-23T16:00:00Z", "2026-11-24T08:00:00Z"},
		{"over the weekend", times("Mon-Thu 08:00-16:00"), "2026-11-27T09:00:00Z", "2026-11-30T08:00:00Z"},
		{"in its zone", berlin(times("Mon-Thu 08:00-16:00")), "2026-11-23T06:00:00Z", "2026-11-23T07:00:00Z"},
		{"the earliest of several", times("Sun 10:00-12:00", "Sat 20:00-24:00"), "2026-11-23T00:00:00Z", "2026-11-28T20:00:00Z"},
		{"days only", times("Sat,Mon-Tue"), "2026-11-25T12:00:00Z", "2026-11-28T00:00:00Z"},
		{"days over the end of the week", times("Sat-Mon"), "2026-11-23T23:59:00Z", "2026-11-23T23:59:00Z"},
		{"hours only", times("22:00-04:00"), "2026-11-23T12:00:00Z", "2026-11-23T22:00:00Z"},
		{"after midnight", times("Mon 22:00-04:00"), "2026-11-24T03:59:00Z", "2026-11-24T03:59:00Z"},
		{"after that", times("Mon 22:00-04:00"), "2026-11-24T04:00:00Z", "2026-11-30T22:00:00Z"},
		{"frozen", api.Window{Freezes: []string{"2026-11-23..2026-11-24"}}, "2026-11-23T10:00:00Z", "2026-11-25T00:00:00Z"},
		{"frozen on its only day", api.Window{Times: []string{"Mon 08:00-16:00"}, Freezes: []string{"2026-11-23"}}, "2026-11-22T00:00:00Z", "2026-11-30T08:00:00Z"},
		{"one freeze after the other", api.Window{Freezes: []string{"2026-11-24..2026-11-25", "2026-11-23"}}, "2026-11-23T10:00:00Z", "2026-11-26T00:00:00Z"},
		{"a night of which the end is frozen", api.Window{Times: []string{"Mon 22:00-04:00"}, Freezes: []string{"2026-11-24"}}, "2026-11-24T01:00:00Z", "2026-11-30T22:00:00Z"},
		{"for a year", api.Window{Times: []string{"Mon 08:00-16:00"}, Freezes: []string{"2026-01-01..2026-12-31"}}, "2026-01-05T09:00:00Z", "2027-01-04T08:00:00Z"},
		{"frozen in its zone", berlin(api.Window{Freezes: []string{"2026-11-23"}}), "2026-11-23T10:00:00Z", "2026-11-23T23:00:00Z"},
		{"when the clocks go forward", berlin(times("Sun 02:15-02:45")), "2026-03-29T00:30:00Z", "2026-03-29T01:15:00Z"},
	} {
		w, err := Read(test.w)
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Opens(now).UTC().Format(time.RFC3339); got != test.want {
			t.Errorf("%s: at %s it opens at %s, want %s", test.name, test.now, got, test.want)
		}
	}
}

func TestWhatIsNoWindow(t *testing.T) {
	for _, test := range []struct {
		w    api.Window
		want string
	}{
		{api.Window{Times: []string{"Monday 08:00-16:00"}}, `the days "Monday" are none`},
		{api.Window{Times: []string{"Mon-Foo"}}, `the days "Mon-Foo" are none`},
		{api.Window{Times: []string{"Mon 8-16"}}, `the hours "8-16" are none`},
		{api.Window{Times: []string{"Mon 08:00-08:00"}}, `the hours "08:00-08:00" are none`},
		{api.Window{Times: []string{"Mon 08:00-25:00"}}, `the hours "08:00-25:00" are none`},
		{api.Window{Times: []string{"Mon 08:00-16:00 CET"}}, `want days and hours as "Mon-Thu 08:00-16:00"`},
		{api.Window{Times: []string{""}}, `"" is no time`},
		{api.Window{Zone: "Berlin"}, `zone "Berlin" is unknown`},
		{api.Window{Freezes: []string{"tomorrow"}}, `freeze "tomorrow": want a day`},
		{api.Window{Freezes: []string{"2026-12-20..2026-12-19"}}, `freeze "2026-12-20..2026-12-19"`},
		{api.Window{Freezes: []string{"2026-12-20..2028-12-19"}}, `of at most 366`},
	} {
		if _, err := Read(test.w); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: %v, want %q", test.w, err, test.want)
		}
	}
}
