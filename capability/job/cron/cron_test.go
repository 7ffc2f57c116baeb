package cron

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// fires lists the first n times after the given one, as the zone's clocks show
// them.
func fires(t *testing.T, text, zone, after string, n int) []string {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	table, err := Parse("nightly", "TZ="+zone+"\n"+text)
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339, after)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for range n {
		at = table.Next(at)
		all = append(all, at.In(z).Format("01-02 15:04 MST"))
	}
	return all
}

func TestWhereClocksAreChanged(t *testing.T) {
	for _, test := range []struct {
		name, line, zone, after string
		want                    []string
	}{
		{"Berlin jumps over the time", "30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z",
			[]string{"03-28 02:30 CET", "03-29 03:00 CEST", "03-30 02:30 CEST"}},
		{"Berlin jumps over two times, which become one", "0,30 2 * * *", "Europe/Berlin", "2026-03-28T20:00:00Z",
			[]string{"03-29 03:00 CEST", "03-30 02:00 CEST"}},
		{"Berlin jumps, the other time stays", "30 2,3 * * *", "Europe/Berlin", "2026-03-28T20:00:00Z",
			[]string{"03-29 03:00 CEST", "03-29 03:30 CEST", "03-30 02:30 CEST"}},
		{"Berlin shows the time twice", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z",
			[]string{"10-25 02:30 CEST", "10-26 02:30 CET"}},
		{"Berlin, from between the two", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z",
			[]string{"10-26 02:30 CET"}},
		{"Berlin, every second hour, the second is shown twice", "0 */2 * * *", "Europe/Berlin", "2026-10-24T22:30:00Z",
			[]string{"10-25 02:00 CEST", "10-25 04:00 CET"}},
		{"Berlin, each hour when it jumps", "30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z",
			[]string{"03-29 01:30 CET", "03-29 03:30 CEST"}},
		{"Berlin, each hour when it shows one twice", "30 * * * *", "Europe/Berlin", "2026-10-24T23:40:00Z",
			[]string{"10-25 02:30 CEST", "10-25 02:30 CET", "10-25 03:30 CET"}},
		{"New York jumps over the time", "15 2 * * 0", "America/New_York", "2026-03-02T00:00:00Z",
			[]string{"03-08 03:00 EDT", "03-15 02:15 EDT"}},
		{"New York shows the time twice", "30 1 * * *", "America/New_York", "2026-10-31T12:00:00Z",
			[]string{"11-01 01:30 EDT", "11-02 01:30 EST"}},
		{"New York, each half hour in the hour that comes twice", "*/30 * * * *", "America/New_York", "2026-11-01T04:45:00Z",
			[]string{"11-01 01:00 EDT", "11-01 01:30 EDT", "11-01 01:00 EST", "11-01 01:30 EST", "11-01 02:00 EST"}},
		{"Lord Howe jumps by half an hour", "10 2 * * *", "Australia/Lord_Howe", "2026-10-02T20:00:00Z",
			[]string{"10-04 02:30 +11", "10-05 02:10 +11"}},
		{"Lord Howe, a time behind the jump", "40 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z",
			[]string{"10-04 02:40 +11", "10-05 02:40 +11"}},
		{"Lord Howe shows half an hour twice", "45 1 * * *", "Australia/Lord_Howe", "2026-04-03T20:00:00Z",
			[]string{"04-05 01:45 +11", "04-06 01:45 +1030"}},
		{"Lord Howe, each hour in that half an hour", "45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:00:00Z",
			[]string{"04-05 01:45 +11", "04-05 01:45 +1030", "04-05 02:45 +1030"}},
		{"a midnight that does not exist", "0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z",
			[]string{"11-04 01:00 -02", "11-05 00:00 -02"}},
		{"a day that does not exist", "0 3 * * *", "Pacific/Apia", "2011-12-29T20:00:00Z",
			[]string{"12-31 00:00 +14", "12-31 03:00 +14"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := fires(t, test.line, test.zone, test.after, len(test.want)); !slices.Equal(got, test.want) {
				t.Errorf("%s fires at %q, want %q", test.line, got, test.want)
			}
		})
	}
}

func TestDays(t *testing.T) {
	for _, test := range []struct {
		line string
		want []string
	}{
		{"0 0 29 2 *", []string{"02-29 00:00 UTC"}},
		{"0 12 * feb-Mar MON", []string{"02-02 12:00 UTC", "02-09 12:00 UTC"}},
		{"0 0 13 * 5", []string{"02-13 00:00 UTC", "03-13 00:00 UTC", "11-13 00:00 UTC"}},
		{"0 0 * * 7", []string{"01-04 00:00 UTC", "01-11 00:00 UTC"}},
		{"5,50-59/4 0 1 1 *", []string{"01-01 00:50 UTC", "01-01 00:54 UTC", "01-01 00:58 UTC", "01-01 00:05 UTC"}},
		{"0 0 31 * *\n# the last of some\n\n0 0 30 4 *", []string{"01-31 00:00 UTC", "03-31 00:00 UTC", "04-30 00:00 UTC"}},
	} {
		if got := fires(t, test.line, "UTC", "2026-01-01T00:05:00Z", len(test.want)); !slices.Equal(got, test.want) {
			t.Errorf("%q fires at %q, want %q", test.line, got, test.want)
		}
	}
}

func TestTheZoneHoldsForTheLinesBelow(t *testing.T) {
	table, err := Parse("x", "0 3 * * *\nTZ=Europe/Berlin\n0 3 * * *", "0 4 * * *")
	if err != nil {
		t.Fatal(err)
	}
	first := table.Next(time.Date(2026, 7, 1, 0, 0, 0, 0, time.UTC))
	second := table.Next(first)
	third := table.Next(second)
	if first.Hour() != 1 || second.Hour() != 3 || third.Hour() != 4 {
		t.Errorf("it fires at %s, %s and %s, want 01:00, 03:00 and 04:00 UTC", first, second, third)
	}
}

func TestHIsOfTheJobsOwn(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		table, err := Parse(name, "H H(0-7) H H/3 *\nH(30-59)/15 * * * *")
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Parse(name, "H H(0-7) H H/3 *\nH(30-59)/15 * * * *")
		if table.String() != again.String() {
			t.Errorf("job %s gets %s, then %s", name, table, again)
		}
		seen[table.String()] = true
		for f, most := range map[int]uint64{hour: 1<<8 - 1, day: 1<<29 - 2} {
			if set := table.lines[0].sets[f]; set&^most != 0 || set&(set-1) != 0 {
				t.Errorf("job %s: the %s is %b, want one of %b", name, fields[f].name, set, most)
			}
		}
		if s := table.lines[1].sets[minute]; s != (s&-s)*(1<<15+1) || s < 1<<45 || s<<4 == 0 {
			t.Errorf("job %s: the minutes are %b, want two, 15 apart, from 30 on", name, s)
		}
	}
	if len(seen) < 7 {
		t.Errorf("eight jobs share %d tables: %v", len(seen), seen)
	}
}

// The first numbers of new java.util.Random(42).nextInt() are widely known to be
// -1170105035, 234785527, -1360544799 and 205897768; nextInt(100) takes their
// upper 31 bits.
func TestTheDrawIsJavas(t *testing.T) {
	d, p := seeded(42), seeded(42)
	for _, n := range []int32{-1170105035, 234785527, -1360544799, 205897768} {
		upper := int(uint32(n) >> 1)
		if got := d.below(100); got != upper%100 {
			t.Errorf("of 100 drew %d, want %d", got, upper%100)
		}
		if got := p.below(64); got != upper>>25 {
			t.Errorf("of 64 drew %d, want %d", got, upper>>25)
		}
	}
}

func TestWhatIsNoTable(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "there is no line",
		"# nothing":                        "there is no line",
		strings.Repeat("H * * * *\n", 100): "there are 101 lines, more than 100",
		"* * * *":                          "line 1, \"* * * *\": it has 4 fields",
		"60 * * * *":                       "minute: 60 is outside of 0 to 59",
		"\n\n0 24 * * *":                   "line 3, \"0 24 * * *\": hour: 24 is outside of 0 to 23",
		"H(0-70) * * * *":                  "minute: 70 is outside",
		"H( * * * *":                       "after H write a range in brackets",
		"H(5) H H H(1 *":                   "month: \"H(1\" is unknown",
		"H/61 * * * *":                     "the step of \"H/61\" is longer than its range of 60",
		"*/0 * * * *":                      "the step \"0\"",
		"5/3 * * * *":                      "write a range, such as 5-59/3",
		"9-5 * * * *":                      "runs backwards",
		"x * * * *":                        "\"x\" is no number",
		"+5 * * * *":                       "\"+5\" is no number",
		", * * * *":                        "\"\" is no number",
		"* * * janfeb *":                   "\"janfeb\" is no number",
		"* * * anf *":                      "\"anf\" is no number",
		"@dayly":                           "there is no @dayly",
		"TZ=Europe/Berlino\nH * * * *":     "there is no time zone \"Europe/Berlino\"",
		"TZ=Local\nH * * * *":              "there is no time zone \"Local\"",
		"TZ=../etc\nH * * * *":             "there is no time zone",
		"0 0 31 6 *":                       "it never fires",
		"0 0 30,31 2 *":                    "it never fires",
	} {
		if _, err := Parse("x", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Parse("x", "60 * * * *", "* 24 * * *"); err == nil || strings.Count(err.Error(), "line ") != 2 {
		t.Errorf("two wrong lines: %v, want both named", err)
	}
}

// TestNextIsTheFirst compares with a walk through all minutes, where no clock
// is changed.
func TestNextIsTheFirst(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	for range 60 {
		text := strings.Join([]string{
			pick("*", "H", "H/20", "0", "5-50/9", "59"), pick("*", "H", "*/5", "0,23", "H(9-17)"),
			pick("*", "1", "H", "28-31", "*/9"), pick("*", "1-3", "2"), pick("*", "1-5", "SUN", "H"),
		}, " ")
		table, err := Parse(pick("a", "b", "c"), "TZ=Asia/Kathmandu\n"+text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		l := table.lines[0]
		from := time.Date(2026, 1, 1+random.IntN(300), random.IntN(24), random.IntN(60), random.IntN(60), 0, time.UTC)
		want := from.Truncate(time.Minute)
		for fits := false; !fits && want.Before(from.AddDate(0, 0, 20)); {
			want = want.Add(time.Minute)
			local := want.In(l.zone)
			fits = l.on(dateOf(local)) && l.has(hour, local.Hour()) && l.has(minute, local.Minute())
		}
		got := table.Next(from)
		if !got.Equal(want) && want.Before(from.AddDate(0, 0, 20)) {
			t.Errorf("%s after %s is %s, want %s", text, from, got, want)
		}
	}
}

func FuzzTable(f *testing.F) {
	for _, text := range []string{"H 3 * * 1-5", "TZ=Europe/Berlin\n@daily", "H(0-29)/10 * * * *", "*/7 0,2 29 feb MON", "TZ=Australia/Lord_Howe\n0-59/13 1-3 * * *"} {
		f.Add(text, int64(1774746000))
	}
	f.Fuzz(func(t *testing.T, text string, after int64) {
		table, err := Parse("x", text)
		if err != nil {
			return
		}
		from := time.Unix(after%(1<<33), 0)
		at := table.Next(from)
		if !at.After(from) || at.Second() != 0 {
			t.Fatalf("%q after %s fires at %s, want a later minute", text, from, at)
		}
		if between := from.Add(at.Sub(from) / 2); !table.Next(between).Equal(at) {
			t.Fatalf("%q fires at %s after %s, but at %s after %s", text, at, from, table.Next(between), between)
		}
	})
}

func TestIntervalsGoByTheTimeThatPasses(t *testing.T) {
	table, err := Parse("nightly", "TZ=Europe/Berlin\n@every 90m", "@Every 720h")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := table.String(), "@every 90m; @Every 720h"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	short := Table{intervals: table.intervals[:1]}
	at := time.Date(2026, 10, 24, 22, 0, 0, 0, time.UTC) // in that night Berlin's clocks go back
	first := short.Next(at)
	if wait := first.Sub(at); wait <= 0 || wait > 90*time.Minute || first.Second() != 0 {
		t.Errorf("after %s comes %s", at, first)
	}
	for i, at := range []time.Time{first, first.Add(time.Second), first.Add(89 * time.Minute)} {
		if got, want := short.Next(at), first.Add(90*time.Minute); !got.Equal(want) {
			t.Errorf("%d: after %s comes %s, want %s", i, at, got, want)
		}
	}
	if got := short.Next(first.Add(-time.Second)); !got.Equal(first) {
		t.Errorf("before %s comes %s", first, got)
	}
	other, err := Parse("weekly", "@every 90m")
	if err != nil || other.Next(at).Equal(first) {
		t.Errorf("two jobs begin at once, %v", err)
	}
	for _, l := range []string{"@every", "@every ", "@every day", "@every 30s", "@every 90s", "@every 9000h", "@every -1h"} {
		if _, err := Parse("nightly", l); err == nil || !strings.Contains(err.Error(), "@every") {
			t.Errorf("%q: %v", l, err)
		}
	}
}
