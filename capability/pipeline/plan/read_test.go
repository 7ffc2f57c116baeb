package plan

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// lookUp evaluates main's body, and answers what it wants as a hub with these
// files would. It tells how often it was asked.
func lookUp(t *testing.T, files map[string]string, body ...string) (response, int) {
	t.Helper()
	in := mainOf(body...)
	for asked := 0; ; asked++ {
		r, _ := serveIn(t, in)
		if r.Want == nil {
			return r, asked
		}
		if r.Error != nil || len(r.Plan.Nodes) > 0 || r.Log != "" {
			t.Fatalf("with the want %+v comes %+v, want nothing else", r.Want, r)
		}
		if in.Tree == nil {
			in.Tree = &Tree{Texts: map[string]Text{}}
			for name := range files {
				in.Tree.Paths = append(in.Tree.Paths, name)
			}
			slices.Sort(in.Tree.Paths)
		}
		if text, ok := files[r.Want.File]; ok {
			in.Tree.Texts[r.Want.File] = Text{Text: text}
		}
	}
}

func TestAProgramLooksAtTheCommit(t *testing.T) {
	files := map[string]string{"ci/modules.txt": "a b", "docs/index.md": "x", "docs/img/a.md": "x", "z": ""}
	r, asked := lookUp(t, files,
		`print(ctx.exists("docs"), ctx.exists("docs/index.md"), ctx.exists("doc"), ctx.glob("docs/**", "z"))`,
		`return [build("t-" + m, job = "test") for m in ctx.read("ci/modules.txt").split(" ") if ctx.read("z") == ""]`)
	if r.Error != nil {
		t.Fatal(r.Error)
	}
	if want := "True True False [\"docs/img/a.md\", \"docs/index.md\", \"z\"]\n"; r.Log != want || asked != 3 {
		t.Errorf("printed %q after it was asked %d times, want %q after 3", r.Log, asked, want)
	}
	want := []api.FileRead{{Path: "ci/modules.txt", Digest: kit.DigestOf([]byte("a b"))}, {Path: "z", Digest: kit.DigestOf(nil)}}
	if len(r.Plan.Nodes) != 2 || r.Plan.Nodes[1].ID != "t-b" || !reflect.DeepEqual(r.Plan.Read, want) {
		t.Errorf("the plan is %+v, want one that names what was read", r.Plan)
	}
}

func TestWhatAProgramCannotRead(t *testing.T) {
	files := map[string]string{"docs/index.md": "x"}
	for i := range maxReads + 1 {
		files[fmt.Sprintf("f%02d", i)] = "x"
	}
	large := strings.Repeat("x", MaxFile)
	for i := range 5 {
		files[fmt.Sprintf("large%d", i)] = large
	}
	for name, c := range map[string]struct{ call, want string }{
		"no file":        {`ctx.read("docs/indx.md")`, `read: the commit has no file docs/indx.md (did you mean "docs/index.md"?)`},
		"a folder":       {`ctx.read("docs")`, `read: the commit has no file docs`},
		"above the root": {`ctx.read("../secret")`, `read: "../secret" is no path from the root of the project, as "docs/index.md"`},
		"of the machine": {`ctx.exists("/etc/passwd")`, `exists: "/etc/passwd" is no path from the root of the project, as "docs/index.md"`},
		"too many":       {`[ctx.read(f) for f in ctx.glob("f*")]`, `read: the program reads more than 20 files`},
		"too much":       {`[ctx.read(f) for f in ctx.glob("large*")]`, `read: the program reads more than 1024 KB`},
		"no pattern":     {`ctx.glob()`, `glob: want patterns, as in ctx.glob("db/**")`},
	} {
		r, _ := lookUp(t, files, c.call, "return []")
		if r.Error == nil || !strings.HasPrefix(r.Error.Message, c.want) || r.Error.Line != 2 {
			t.Errorf("%s: %v, want %q at its line", name, r.Error, c.want)
		}
	}
	in := mainOf(`return [ctx.read("a")]`)
	in.Tree = &Tree{Paths: []string{"a"}, Texts: map[string]Text{"a": {Error: "a has more than 256 KB"}}}
	wantError(t, in, "pipeline.star:2:21: read: a has more than 256 KB")
}
