package diffview

import (
	"fmt"
	"strings"
	"testing"
)

const change = `diff --git a/a.go b/a.go
--- a/a.go
+++ b/a.go
@@ -1,3 +1,4 @@ type A struct {
 one
-two
+2
+more
 three
diff --git a/old.txt b/new.txt
similarity index 100%
rename from old.txt
rename to new.txt
`

func TestColumns(t *testing.T) {
	for split, want := range map[bool]string{
		false: "@@ -1,3 +1,4 @@ type A struct {; 1 one, 1 one; 2del two, 0 ; 0 , 2add 2; 0 , 3add more; 3 three, 4 three",
		true:  "@@ -1,3 +1,4 @@ type A struct {; 1 one, 1 one; 2del two, 2add 2; 0none , 3add more; 3 three, 4 three",
	} {
		files, err := Parse([]byte(change), split)
		if err != nil || len(files) != 2 {
			t.Fatalf("got %+v, error %v; want two files", files, err)
		}
		var rows []string
		for _, r := range files[0].Rows {
			if r.Hunk != "" {
				rows = append(rows, r.Hunk)
				continue
			}
			rows = append(rows, fmt.Sprintf("%d%s %s, %d%s %s", r.Left.Number, r.Left.Op, r.Left.Text, r.Right.Number, r.Right.Op, r.Right.Text))
		}
		if got := strings.Join(rows, "; "); got != want {
			t.Errorf("split %v:\ngot  %s\nwant %s", split, got, want)
		}
		if f := files[1]; f.Kind != "renamed" || f.Old != "old.txt" || f.Name != "new.txt" || f.Number != 2 {
			t.Errorf("a renamed file: got %+v", f)
		}
	}
}

func TestLongDifferencesEndWithoutRows(t *testing.T) {
	var b strings.Builder
	for n := range 2 {
		fmt.Fprintf(&b, "diff --git a/%d b/%[1]d\nnew file mode 100644\n--- /dev/null\n+++ b/%[1]d\n@@ -0,0 +1,%d @@\n", n, maxRows/2+1)
		b.WriteString(strings.Repeat("+x\n", maxRows/2+1))
	}
	files, err := Parse([]byte(b.String()), false)
	if err != nil || len(files) != 2 || files[0].Long || !files[1].Long || files[1].Added != maxRows/2+1 {
		t.Errorf("got %d files, error %v; want the second without rows", len(files), err)
	}
}
