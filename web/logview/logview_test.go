package logview

import (
	"fmt"
	"strings"
	"testing"

	"landfall.dev/api"
)

// window is a window of a long log that ends with text.
func window(text string) api.LogWindow {
	w := api.LogWindow{First: 1001}
	for n := range fewLines {
		w.Lines = append(w.Lines, api.LogLine{Text: fmt.Sprint("before ", n)})
	}
	for line := range strings.SplitSeq(text, "\n") {
		w.Lines = append(w.Lines, api.LogLine{Text: line})
	}
	return w
}

// outline names the parts after the first: open ones with a "+", their lines
// counted.
func outline(parts []Part) string {
	var all []string
	for _, p := range parts[1:] {
		name := "no title"
		if p.Title != nil {
			name = string(p.Title.Text)
		}
		if p.Open {
			name = "+ " + name
		}
		all = append(all, fmt.Sprintf("%s: %d", name, len(p.Lines)))
	}
	return strings.Join(all, "; ")
}

func TestSectionsFold(t *testing.T) {
	const steps = "--- step 1: a\none\ntwo\n--- step 2: b\nthree\n"
	tests := map[string]struct {
		text string
		open Open
		want string
	}{
		"of a build that passed":     {steps + "--- passed: x", Open{}, "--- step 1: a: 2; --- step 2: b: 1; no title: 1"},
		"but not where it failed":    {steps + "--- step 2 exited with 3\n--- after the build, step 1: c\nfour", Open{Last: true}, "--- step 1: a: 2; + --- step 2: b: 1; no title: 1; --- after the build, step 1: c: 1"},
		"but not where it is":        {steps + "four", Open{Last: true}, "--- step 1: a: 2; + --- step 2: b: 2"},
		"but not around a line":      {steps + "four", Open{Line: 1000 + fewLines + 3}, "+ --- step 1: a: 2; --- step 2: b: 2"},
		"but not if all are wanted":  {steps + "four", Open{All: true}, "+ --- step 1: a: 2; + --- step 2: b: 2"},
		"until their group ends":     {"::group::a\none\n::endgroup::\ntwo\nthree", Open{}, "::group::a: 2; no title: 2"},
		"unless they say otherwise":  {"+++ a\none\n\x1b[31m--- FAIL: TestA\x1b[0m\ntwo\n--- PASS: TestB\nthree", Open{}, `+ +++ a: 1; + <span class="term-fg31">--- FAIL: TestA</span>: 1; --- PASS: TestB: 1`},
		"as do differences of files": {"--- a/x.go\n+++ b/x.go\n+ one", Open{}, "no title: 1; + +++ b/x.go: 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := outline(Parts(window(test.text), test.open)); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestNoLineIsLost(t *testing.T) {
	next := int64(1001)
	for _, p := range Parts(window("--- a\n--- b\none\n::endgroup::\n--- c\n\n--- d"), Open{}) {
		lines := p.Lines
		if p.Title != nil {
			lines = append([]Line{*p.Title}, lines...)
		}
		for _, line := range lines {
			if line.Number != next {
				t.Errorf("got line %d, want %d", line.Number, next)
			}
			next++
		}
	}
	if next != 1001+fewLines+7 {
		t.Errorf("the last line is %d, want %d", next-1, 1000+fewLines+7)
	}
}

func TestShortLogsAreOpen(t *testing.T) {
	parts := Parts(api.LogWindow{First: 1, Lines: []api.LogLine{{Text: "--- a"}, {Text: "one"}}}, Open{})
	if len(parts) != 1 || !parts[0].Open {
		t.Errorf("got %+v, want a section that is open", parts)
	}
	if parts = Parts(api.LogWindow{First: 1}, Open{}); parts != nil {
		t.Errorf("of no lines: got %+v", parts)
	}
}
