package patch

import (
	"slices"
	"testing"
)

const difference = `diff --git a/main.go b/main.go
index 1111111..2222222 100644
--- a/main.go
+++ b/main.go
@@ -1,4 +1,5 @@
 package main
-var a = 1
+var a = 2
+var b = 3
 
 func main() {}
@@ -20,2 +21,3 @@ func f() {
 	x()
+	y()
 }
diff --git a/old.go b/src/main/java/org/example/App.java
similarity index 90%
rename from old.go
rename to src/main/java/org/example/App.java
index 1111111..2222222 100644
--- a/old.go
+++ b/src/main/java/org/example/App.java
@@ -7,0 +8,2 @@
+one
+two
diff --git a/gone.go b/gone.go
deleted file mode 100644
index 1111111..0000000
--- a/gone.go
+++ /dev/null
@@ -1 +0,0 @@
-package gone
diff --git a/cmd/main.go b/cmd/main.go
new file mode 100644
index 0000000..1111111
--- /dev/null
+++ b/cmd/main.go
@@ -0,0 +1 @@
+package main
`

func parse(t *testing.T, diff string) *Patch {
	t.Helper()
	p, err := Parse([]byte(diff))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestAddedLines(t *testing.T) {
	p := parse(t, difference)
	for file, want := range map[string][]int{
		"main.go":                            {2, 3, 22},
		"src/main/java/org/example/App.java": {8, 9},
		"cmd/main.go":                        {1},
		"gone.go":                            nil,
		"old.go":                             nil,
	} {
		if got := p.Lines(file); !slices.Equal(got, want) {
			t.Errorf("%s: lines %v are new, want %v", file, got, want)
		}
	}
	if !p.Adds("main.go", 3) || p.Adds("main.go", 4) || p.Adds("none", 1) || p.Cut {
		t.Error("line 3 of main.go is not new, or another one is")
	}
	if !parse(t, difference+"# cut: the diff is larger than 10 bytes; see all of it with: git diff a b\n").Cut {
		t.Error("nobody tells that the difference was cut")
	}
	if p := parse(t, ""); p.Cut || p.Adds("a", 1) {
		t.Error("an empty difference adds something")
	}
}

func TestNamesInReportsAreFoundInThePatch(t *testing.T) {
	p := parse(t, difference)
	for _, test := range []struct {
		name string
		all  []string
		want []string
	}{
		{"those of the repository", []string{"main.go", "./cmd/main.go", "other.go"}, []string{"main.go", "cmd/main.go", ""}},
		{"below a module's path", []string{"example.com/m/main.go", "example.com/m/cmd/main.go", "example.com/m/x/y.go"}, []string{"main.go", "cmd/main.go", ""}},
		{"not in the root, though named like it", []string{"example.com/m/x/main.go", "example.com/m/y/y.go"}, []string{"", ""}},
		{"in the folder that was built in", []string{"/build/src/main.go", "/build/src/cmd/main.go"}, []string{"main.go", "cmd/main.go"}},
		{"of Windows", []string{`C:\b\main.go`, `C:\b\cmd\main.go`}, []string{"main.go", "cmd/main.go"}},
		{"of a package in a source folder", []string{"org/example/App.java", "org/example/Other.java"}, []string{"src/main/java/org/example/App.java", ""}},
		{"that leads out of the repository", []string{"../main.go"}, []string{"main.go"}},
		{"without a folder", []string{"App.java"}, []string{""}},
		{"empty", []string{""}, []string{""}},
	} {
		names := p.Names(test.all)
		for i, name := range test.all {
			if got := names.File(name); got != test.want[i] {
				t.Errorf("%s: %s is the patch's %q, want %q", test.name, name, got, test.want[i])
			}
		}
	}
}

func FuzzNames(f *testing.F) {
	f.Add("a/b.go", "/a/c.go")
	f.Fuzz(func(t *testing.T, a, b string) {
		p := parse(t, difference)
		n := p.Names([]string{a, b})
		for _, name := range []string{a, b} {
			if file := n.File(name); file != "" && p.files[file] == nil {
				t.Errorf("%q is said to be %q, which the patch does not have", name, file)
			}
		}
	})
}
