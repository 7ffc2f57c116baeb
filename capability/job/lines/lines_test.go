package lines

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/api"
)

// opened is a Log of the text whose index is in a directory of its own.
func opened(t testing.TB, text string, ended bool) *Log {
	t.Helper()
	l, err := Open(strings.NewReader(text), filepath.Join(t.TempDir(), "index"), ended)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// numbered has the lines "line 1" to "line n".
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d\n", i+1)
	}
	return b.String()
}

func TestWindows(t *testing.T) {
	million := numbered(1_000_000)
	long := "short\n" + strings.Repeat("x", 1<<20) + "\nafter\n"
	wide := strings.Repeat(strings.Repeat("y", 8000)+"\n", 3000)
	for _, c := range []struct {
		name, text  string
		ended       bool
		from, to    int64
		first, last int64
		total       int64
		text1       string // the first line
		end         int64  // negative: from the end of the log
	}{
		{"an empty log", "", true, 0, 0, 1, 0, 0, "", 0},
		{"a line that has not ended is none", "one\ntw", false, 0, 0, 1, 1, 1, "one", 4},
		{"unless the log has", "one\ntw", true, 2, 0, 2, 2, 2, "tw", 6},
		{"the first lines", million, true, 1, 3, 1, 2, 1_000_000, "line 1", 14},
		{"some in the middle", million, true, 500_001, 500_003, 500_001, 500_002, 1_000_000, "line 500001", 0},
		{"the last ones", million, true, 0, 0, 998_001, 1_000_000, 1_000_000, "line 998001", -1},
		{"those before a line", million, true, 0, 5001, 3001, 5000, 1_000_000, "line 3001", 0},
		{"no more than fit", million, true, 1, 100_000, 1, 2000, 1_000_000, "line 1", 0},
		{"after the end", "one\n", true, 7, 9, 7, 6, 1, "", 0},
		{"a long line is cut", long, true, 2, 0, 2, 3, 3, strings.Repeat("x", maxLine), -1},
		{"no more bytes than fit", wide, true, 1, 0, 1, 262, 3000, strings.Repeat("y", 8000), 0},
		{"the last bytes", wide, true, 0, 0, 2739, 3000, 3000, strings.Repeat("y", 8000), -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, end, err := opened(t, c.text, c.ended).Window(c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			last := w.First + int64(len(w.Lines)) - 1
			if w.First != c.first || last != c.last || w.Total != c.total {
				t.Fatalf("got lines %d to %d of %d, want %d to %d of %d", w.First, last, w.Total, c.first, c.last, c.total)
			}
			if len(w.Lines) > 0 && w.Lines[0].Text != c.text1 {
				t.Errorf("the first is %.40q, want %.40q", w.Lines[0].Text, c.text1)
			}
			if c.end < 0 && end != int64(len(c.text)) {
				t.Errorf("it ends at %d, want %d", end, len(c.text))
			}
		})
	}
	w, _, err := opened(t, long, true).Window(2, 3)
	if err != nil || w.Lines[0].Cut != 1<<20-maxLine {
		t.Errorf("the long line is cut by %d, error %v; want %d", w.Lines[0].Cut, err, 1<<20-maxLine)
	}
}

func TestTheIndexGrowsWithTheLog(t *testing.T) {
	text, index := numbered(50_000), filepath.Join(t.TempDir(), "index")
	for _, size := range []int{0, 10, len(text) / 2, len(text) - 1, len(text), len(text)} {
		l, err := Open(strings.NewReader(text[:size]), index, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := int64(strings.Count(text[:size], "\n")); l.Total() != want {
			t.Fatalf("of %d bytes: %d lines, want %d", size, l.Total(), want)
		}
		n := max(l.Total(), 1)
		w, end, err := l.Window(n, 0)
		if err != nil || l.Total() > 0 && (w.Lines[0].Text != fmt.Sprint("line ", n) || end != int64(strings.LastIndexByte(text[:size], '\n')+1)) {
			t.Errorf("of %d bytes: the last line is %+v up to %d, error %v", size, w.Lines, end, err)
		}
	}
	marks, err := readIndex(index)
	if err != nil || len(marks) != 50_000/markLines {
		t.Errorf("%d marks, error %v; want %d", len(marks), err, 50_000/markLines)
	}
	l, err := Open(strings.NewReader("another\n"), index, true)
	if err != nil || l.Total() != 1 {
		t.Errorf("a log that is shorter than its index: %+v, error %v; want 1 line", l, err)
	}
}

func TestSearch(t *testing.T) {
	text := numbered(5000) + "\x1b[1;31mFAIL\x1b[0m: \x1b]0;title\x07TestX\r\n10%\rFAIL: last\n" + strings.Repeat("z", 1<<20) + "\ntail\n"
	l := opened(t, text, true)
	find := func(q Question) api.LogSearch {
		t.Helper()
		found, err := l.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	found := find(Question{Pattern: "^FAIL: (TestX|last)$", Around: 1})
	if len(found.Matches) != 2 || found.Next != 0 || found.Matches[0].Line != 5001 || found.Matches[0].Text != "FAIL: TestX" ||
		strings.Join(found.Matches[0].Before, "|") != "line 5000" || strings.Join(found.Matches[0].After, "|") != "FAIL: last" || found.Matches[1].Line != 5002 {
		t.Errorf("got %+v", found)
	}
	if found = find(Question{Pattern: "^line 49..$", Limit: 3, Around: 2}); len(found.Matches) != 3 || found.Next != 4903 || len(found.Matches[2].After) != 2 {
		t.Errorf("got %+v; want 3 matches with context, and more from line 4903", found)
	}
	if found = find(Question{Pattern: "^line 49..$", Limit: 3, From: found.Next}); found.Matches[0].Line != 4903 {
		t.Errorf("it goes on at %+v; want line 4903", found.Matches[0])
	}
	for _, wrong := range []Question{{Pattern: "("}, {}, {Pattern: strings.Repeat("a", 1001)}, {Pattern: "a", Around: 11}} {
		if _, err := l.Search(t.Context(), wrong); err == nil {
			t.Errorf("%.30q is searched for, want it refused", wrong.Pattern)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if found, err := l.Search(ctx, Question{Pattern: "never"}); err != nil || found.Next != checkEvery {
		t.Errorf("out of time: got %+v, error %v; want it to say where to go on", found, err)
	}
}

func TestSections(t *testing.T) {
	text := "--- step 1: go build\n---\n + ++\n\x1b[1m+++ loud\x1b[0m\n~~~ quiet\n::group::folded\n::endgroup::\n----\nplain\n"
	found, err := opened(t, text, true).Sections(t.Context())
	if err != nil || fmt.Sprint(found) != "[{1 step 1: go build} {4 loud} {5 quiet} {6 folded}]" {
		t.Errorf("got %v, error %v", found, err)
	}
}

func BenchmarkOpenAndShowTheEnd(b *testing.B) {
	text := bytes.Repeat([]byte(numbered(10_000)), 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		l, err := Open(bytes.NewReader(text), filepath.Join(b.TempDir(), "index"), true)
		if err != nil {
			b.Fatal(err)
		}
		if _, _, err := l.Window(0, 0); err != nil {
			b.Fatal(err)
		}
	}
}
