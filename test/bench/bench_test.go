package main

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLinesOfBars(t *testing.T) {
	for _, c := range []struct {
		what string
		bar  bar
		want string
	}{
		{"reached, at least", bar{"kit/writes", "", 12031.4, 3904, atLeast(3)}, "bar kit/writes ours=12031 peer=3904 ratio=3.08 want=>=3 met"},
		{"just not reached", bar{"kit/writes", "", 2999, 1000, atLeast(3)}, "bar kit/writes ours=2999 peer=1000 ratio=3 want=>=3 missed"},
		{"reached, at most", bar{"kit/write-latency-1", "", 1.4142, 1.25, atMost(1.5)}, "bar kit/write-latency-1 ours=1.41 peer=1.25 ratio=1.13 want=<=1.5 met"},
		{"exactly reached", bar{"kit/writes-p99", "", 20, 20, atMost(1)}, "bar kit/writes-p99 ours=20 peer=20 ratio=1 want=<=1 met"},
		{"small figures", bar{"kit/gc-pause", "", 0.0412, 0.00501, atMost(1.5)}, "bar kit/gc-pause ours=0.0412 peer=0.00501 ratio=8.22 want=<=1.5 missed"},
		{"millions", bar{"kit/reads-in-process", "", 2_100_000, 2_000_000, atLeast(1)}, "bar kit/reads-in-process ours=2100000 peer=2000000 ratio=1.05 want=>=1 met"},
		{"nothing to compare with", bar{"kit/writes", "", 5, 0, atLeast(3)}, "bar kit/writes ours=5 peer=0 ratio=+Inf want=>=3 missed"},
		{"nothing at all", bar{"kit/writes", "", 0, 0, atMost(3)}, "bar kit/writes ours=0 peer=0 ratio=NaN want=<=3 missed"},
	} {
		if got := c.bar.String(); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.what, got, c.want)
		}
	}
}

func TestFigures(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 0.5: "0.5", 1.005: "1", 9.876: "9.88", 99.96: "100", 100.4: "100", 1e7: "10000000", math.Inf(1): "+Inf"} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v): got %s, want %s", v, got, want)
		}
	}
}

// judged is a group whose only bar is reached or not.
func judged(name string, ours float64) group {
	return group{name: name, run: func(_ context.Context, m *measurement) error {
		m.bar("speed", "requests a second", ours, 10, atLeast(1))
		m.tell("p99: %s ms", figure(2.5))
		return nil
	}}
}

func TestExitCodesAndThePage(t *testing.T) {
	broken := group{name: "broken", run: func(context.Context, *measurement) error { return errors.New("the peer does not start") }}
	table := []group{judged("good", 12), judged("bad", 8), broken}
	for _, c := range []struct {
		what string
		args []string
		code int
		says string // on either output
		page []string
	}{
		{"a bar that is met", []string{"-only", "good"}, 0, "bar good/speed ours=12 peer=10 ratio=1.2 want=>=1 met\n", []string{"## good"}},
		{"a bar that is missed", []string{"-only", "bad"}, 1, "bar bad/speed ours=8 peer=10 ratio=0.8 want=>=1 missed\n", []string{"## bad", "The disk is slow."}},
		{"a group that fails", []string{"-only", "broken"}, 1, "bench: broken: the peer does not start", nil},
		{"all groups, though one fails", nil, 1, "bar bad/speed", []string{"## good", "## bad"}},
		{"some bars only, which make no page", []string{"-only", "good", "-bars", "speed"}, 0, "met\n", nil},
		{"a group that there is not", []string{"-only", "fast"}, 2, `there is no group "fast": the groups are good, bad, broken`, nil},
		{"a flag that there is not", []string{"-fast"}, 2, "-fast", nil},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "bad.md"), []byte("The disk is slow.\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "doc", "benchmarks.md")
		var out bytes.Buffer
		code := run(t.Context(), table, append([]string{"-report", file, "-notes", dir}, c.args...), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.says) {
			t.Errorf("%s: got the code %d, want %d, and the words\n%s\nwant %q", c.what, code, c.code, out.String(), c.says)
		}
		page, err := os.ReadFile(file)
		if (err == nil) != (c.page != nil) {
			t.Errorf("%s: reading the page: %v", c.what, err)
		}
		for _, want := range c.page {
			if !strings.Contains(string(page), want) {
				t.Errorf("%s: the page has no %q:\n%s", c.what, want, page)
			}
		}
	}
}

func TestASectionTakesThePlaceOfTheGroupsLast(t *testing.T) {
	m := measurement{group: "kit", peers: []string{"etcd 3.4"}, setup: []string{"Three nodes."}}
	m.bars = []bar{{"kit/writes", "writes a second", 8, 4, atLeast(3)}}
	m.also = []string{"p99: 3 ms"}
	first := place("", "kit", m.section(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), "2 cores", ""))
	second := place(first, "front", "## front\n\nold\n")
	m.bars[0].ours = 16
	third := place(place(second, "front", "## front\n\nnew\n"), "kit", m.section(time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC), "2 cores", "\nBecause.\n"))
	if strings.Count(third, "## kit\n") != 1 || strings.Count(third, "## front\n") != 1 || strings.Contains(third, "old") || strings.Contains(third, "2026-03-01") {
		t.Errorf("a section is not in the place of the last:\n%s", third)
	}
	for _, want := range []string{
		"# Benchmarks\n", "## kit\n\n2026-03-02 12:00 UTC: 2 cores.\nAgainst etcd 3.4.\n", "\nThree nodes.\n",
		"| kit/writes | writes a second | 16 | 4 | 4 | >=3 | met |\n", "- p99: 3 ms\n", "### Notes\n\nBecause.\n\n## front\n\nnew\n",
	} {
		if !strings.Contains(third, want) {
			t.Errorf("the page has no %q:\n%s", want, third)
		}
	}
	if !strings.Contains(first, "Nobody has written it down yet.") {
		t.Errorf("a bar is missed, and the page does not say that the reason is:\n%s", first)
	}
}

func TestTheMachineIsDescribed(t *testing.T) {
	if got := machine(); !strings.Contains(got, "cores") || !strings.Contains(got, "go1.") {
		t.Errorf("the machine is described as %q, without cores or Go's version", got)
	}
}

func TestCountsAreWrittenAsPeopleSayThem(t *testing.T) {
	for n, want := range map[int]string{10_000_000: "10 million", 1_500_000: "1500 thousand", 10_000: "10 thousand", 1234: "1234"} {
		if got := count(n); got != want {
			t.Errorf("count(%d): got %q, want %q", n, got, want)
		}
	}
}
