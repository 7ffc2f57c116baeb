package duplication

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// code is n lines of a function, each with more than ten words and signs.
func code(name string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "\t%s[%d] = compute(%d, values[%d], false)\n", name, i, i+1, i+2)
	}
	return b.String()
}

func TestLinesThatAreThereTwice(t *testing.T) {
	respaced := strings.ReplaceAll(strings.ReplaceAll(code("a", 12), "\t", "    "), ")\n", ")\n\n// Note\n}\n")
	for _, test := range []struct {
		name   string
		files  []string // name and text
		from   int      // the lines of the last file from this on are added
		added  int
		double int
	}{
		{"a copy of another file", []string{"x.go", code("a", 12), "y.go", code("a", 12)}, 1, 12, 12},
		{"with other spaces, comments and brackets", []string{"x.go", code("a", 12), "y.go", respaced}, 1, 12, 12},
		{"a part of it", []string{"x.go", code("a", 11), "y.go", code("b", 20) + code("a", 11)}, 15, 17, 11},
		{"too few lines", []string{"x.go", code("a", 9), "y.go", code("a", 9)}, 1, 9, 0},
		{"too few words", []string{"x.go", strings.Repeat("x\ny\n", 6), "y.go", strings.Repeat("x\ny\n", 6)}, 1, 12, 0},
		{"twice in one file", []string{"x.go", code("a", 10) + code("b", 3) + code("a", 10)}, 1, 23, 20},
		{"one line again and again", []string{"x.go", strings.Repeat(code("a", 1), 19)}, 1, 19, 0},
		{"what was there before", []string{"x.go", code("a", 12), "y.go", code("a", 12) + code("b", 5)}, 13, 5, 0},
		{"another text", []string{"x.go", code("a", 12), "y.go", code("b", 12)}, 1, 12, 0},
	} {
		var f Finder
		for i := 0; i < len(test.files); i += 2 {
			last := i == len(test.files)-2
			if err := f.Add(test.files[i], []byte(test.files[i+1]), func(n int) bool { return last && n >= test.from }); err != nil {
				t.Fatal(err)
			}
		}
		double := 0
		added, duplicated := f.Found()
		for _, lines := range duplicated {
			double += len(lines)
		}
		if added != test.added || double != test.double {
			t.Errorf("%s: %d of %d added lines are there twice, want %d of %d", test.name, double, added, test.double, test.added)
		}
	}
}

func TestWhichFilesCount(t *testing.T) {
	for file, want := range map[string]bool{
		"a.go": true, "src/main/App.JAVA": true, "web/vendor/a.js": false, "vendor/a.go": false, "b/testdata/a.go": false, "go.sum": false, "doc.md": false, "vendors/a.go": true,
	} {
		if Counts(file) != want {
			t.Errorf("%s counts: %v, want %v", file, !want, want)
		}
	}
}

func TestSourcesThatAreTooLarge(t *testing.T) {
	var f Finder
	text := []byte(strings.Repeat("a\n", 400_000))
	for i, want := range []error{nil, nil, ErrTooMany} {
		if err := f.Add("a.go", text, func(int) bool { return false }); !errors.Is(err, want) {
			t.Errorf("file %d: %v, want %v", i, err, want)
		}
	}
}
