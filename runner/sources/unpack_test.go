package sources

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// file is an entry of an archive; see kittest.Archive.
func file(name, content string) tar.Header {
	return tar.Header{Name: name, Mode: 0o664, Linkname: content}
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}
}

func TestUnpackWritesWhatGitHas(t *testing.T) {
	dir := t.TempDir()
	tool := file("bin/tool", "#!/bin/sh\n")
	tool.Mode = 0o4775
	data := kittest.Archive(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "c0ffee"}},
		tar.Header{Typeflag: tar.TypeDir, Name: "sub/", Mode: 0o775},
		file("a.txt", "a"), tool, link("sub/up", "../a.txt"), link("broken", "nowhere/at/all"), file("deep/er/b", "b"),
	)
	if err := Unpack(bytes.NewReader(data), dir, 1<<30); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		rel, _ := filepath.Rel(dir, p)
		got = append(got, fmt.Sprint(info.Mode(), " ", rel))
		return err
	})
	want := "-rw-r--r-- a.txt,-rwxr-xr-x bin/tool,Lrwxrwxrwx broken,-rw-r--r-- deep/er/b,Lrwxrwxrwx sub/up"
	if err != nil || strings.Join(got, ",") != want {
		t.Errorf("unpacked %s, %v; want %s", strings.Join(got, ","), err, want)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "sub", "up")); string(data) != "a" {
		t.Errorf("sub/up reads as %q, %v; want a", data, err)
	}
}

func TestUnpackRefuses(t *testing.T) {
	huge := kittest.Archive(t, file("huge", strings.Repeat("x", 4096)))
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"a path out":                 {kittest.Archive(t, file("../evil", "x")), `"../evil" leads out`},
		"a path out from inside":     {kittest.Archive(t, file("a/../../evil", "x")), "leads out"},
		"an absolute path":           {kittest.Archive(t, file("/evil", "x")), "leads out"},
		"a link out":                 {kittest.Archive(t, link("a/out", "../../evil")), `the link "a/out" leads out`},
		"an absolute link":           {kittest.Archive(t, link("out", "/etc")), "leads out"},
		"a link out by another link": {kittest.Archive(t, link("s/t/top", "../.."), link("out", "s/t/top/../evil"), link("top", "s/t/top/..")), "leads out"},
		"a file through a link":      {kittest.Archive(t, link("d", "s"), link("s", "/tmp"), file("d/evil", "x")), "leads out"},
		"a hard link":                {kittest.Archive(t, file("a", "x"), tar.Header{Name: "b", Typeflag: tar.TypeLink, Linkname: "a"}), "neither"},
		"a device":                   {kittest.Archive(t, tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}), "neither"},
		"a name twice":               {kittest.Archive(t, link("a", "b"), file("a", "x")), `"a" cannot be unpacked`},
		"a circle":                   {kittest.Archive(t, link("a", "b"), link("b", "a")), "in a circle"},
		"too much":                   {huge, "more than"},
		"too many":                   {kittest.Archive(t, file("1", ""), file("2", ""), file("3", "")), "more than"},
		"half an archive":            {huge[:700], "broke off"},
		"no archive":                 {bytes.Repeat([]byte("no tar"), 200), "no tar archive"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "src")
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			limit := int64(1 << 30)
			if c.want == "more than" {
				limit = 1200
			}
			err := Unpack(bytes.NewReader(c.data), dir, limit)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if kit.Temporary(err) != (name == "half an archive") {
				t.Errorf("whether to try again is wrong for %v", err)
			}
			if entries, err := os.ReadDir(parent); len(entries) != 1 {
				t.Errorf("beside the workspace there is now %v, %v", entries, err)
			}
		})
	}
}
