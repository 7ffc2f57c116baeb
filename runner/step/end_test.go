package step

import (
	"bytes"
	"strings"
	"testing"
)

func TestTheMarkOfTheEndIsLeftOut(t *testing.T) {
	for _, test := range []struct {
		name, text, want string
		seen             bool
	}{
		{"nothing", "", "", false},
		{"no mark", "one\ntwo", "one\ntwo", false},
		{"a mark", "one\n" + string(endMark), "one\n", true},
		{"a last line without its end", "one" + string(endMark), "one", true},
		{"something in the background after it", "one\n" + string(endMark) + "two\n", "one\ntwo\n", true},
		{"a part of it", "one\n" + string(endMark[:9]), "one\n" + string(endMark[:9]), false},
		{"a part, and then the whole", "one" + string(endMark[:5]) + string(endMark), "one" + string(endMark[:5]), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			for size := 1; size <= len(test.text)+1; size++ {
				var got bytes.Buffer
				seen := false
				end := NewEnd(&got, func() {
					seen = true
					if before, _, _ := strings.Cut(test.text, string(endMark)); got.String() != before {
						t.Fatalf("in pieces of %d: %q was written before the mark, want %q", size, got.String(), before)
					}
				})
				for rest := []byte(test.text); len(rest) > 0; rest = rest[min(size, len(rest)):] {
					if _, err := end.Write(rest[:min(size, len(rest))]); err != nil {
						t.Fatal(err)
					}
				}
				if err := end.Flush(); err != nil {
					t.Fatal(err)
				}
				if got.String() != test.want || seen != test.seen {
					t.Fatalf("in pieces of %d: %q, seen %t; want %q, %t", size, got.String(), seen, test.want, test.seen)
				}
			}
		})
	}
}
