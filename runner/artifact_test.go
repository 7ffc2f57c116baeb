package runner

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
)

func TestArtifactsAreKept(t *testing.T) {
	h := newHub(t)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("of the machine"), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, newRunner(t, h.config()))
	h.submit("kept", api.JobSpec{
		Script: []string{"mkdir -p out/deep; echo one > out/1.xml; echo two > out/deep/2.xml; echo three > out/3.txt\n" +
			"ln -s 1.xml out/link.xml; ln -s " + secret + " out/stolen.xml; mkfifo out/pipe.xml"},
		Artifacts: []string{"out/**/*.xml", "out/[0-9].txt", "missing/*"},
	})
	b := h.ended("kept")
	if b.State != api.BuildPassed {
		t.Fatalf("the build is %s, %q", b.State, b.Error)
	}
	var got []string
	for _, a := range b.Artifacts {
		f, err := h.blobs.Open(t.Context(), a.Digest)
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(f)
		f.Close()
		if err != nil || int64(len(data)) != a.Size {
			t.Errorf("%s has %d bytes, %v; want %d", a.Path, len(data), err, a.Size)
		}
		got = append(got, a.Path+" "+strings.TrimSpace(string(data)))
	}
	want := []string{"out/1.xml one", "out/3.txt three", "out/deep/2.xml two", "out/link.xml one"}
	if !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	if log := h.log("kept", 1); !strings.Contains(log, "--- no file matches the artifacts' pattern missing/*\n") {
		t.Errorf("the log does not tell of the pattern without files:\n%s", log)
	}
}

func TestArtifactsThatCannotBeKept(t *testing.T) {
	h := newHub(t)
	start(t, newRunner(t, h.config()))
	h.submit("malformed", api.JobSpec{Script: []string{"true"}, Artifacts: []string{"a["}})
	h.submit("many", api.JobSpec{Script: []string{"i=0; while [ $i -lt 1001 ]; do : > f$i; i=$((i+1)); done"}, Artifacts: []string{"f*"}})
	for id, want := range map[string]string{
		"malformed": `the artifacts' pattern "a[" is malformed`,
		"many":      "match 1001 files, the limit is 1000",
	} {
		if b := h.ended(id); b.State != api.BuildFailed || !strings.Contains(b.Error, want) {
			t.Errorf("build %s is %s, %q; want failed with %q", id, b.State, b.Error, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no string
	}{
		{"a.txt", "a.txt", "b/a.txt a.txt/b"},
		{"*.txt", "a.txt b.txt", "a.go b/a.txt"},
		{"b/*", "b/a b/.c", "b b/c/d a"},
		{"**", "a a/b a/b/c", ""},
		{"**/a", "a b/a b/c/a", "b a/b"},
		{"b/**", "b/a b/c/d", "a c/b/a"},
		{"b/**/a", "b/a b/c/a b/a/a b/c/d/a", "b a b/c b/a/c"},
		{"**/x/**/y", "x/y a/x/y a/x/b/y x/x/y/y", "x y/x a/y"},
		{"?[ab]/**/*.go", "xa/m.go xb/c/d.go", "xc/m.go a/m.go"},
	} {
		for _, name := range append(strings.Fields(c.yes), strings.Fields(c.no)...) {
			want := slices.Contains(strings.Fields(c.yes), name)
			if got := match(strings.Split(c.pattern, "/"), strings.Split(name, "/")); got != want {
				t.Errorf("%s matches %s: %t, want %t", c.pattern, name, got, want)
			}
		}
	}
}
