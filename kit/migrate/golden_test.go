package migrate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/store/frame"
)

var update = flag.Bool("update", false, "write the files in testdata that this binary writes")

// exported returns a side with what an export can have: documents with all of
// an envelope, tombstones, and the last number of a document long gone.
func exported(t *testing.T) *side {
	t.Helper()
	s := newSide(t, blueService())
	s.write("create", "orders/", `{"name":"tea \u00fc","amount":"12","extra":{"b": 1,"a":2},"expires":"2031-01-01T00:00:00Z","source":"notes/a"}`)
	s.write("pay", "orders/1", "")
	s.write("create", "orders/", `{"name":"milk","amount":"1","note":"cold"}`)
	s.write("create", "orders/", `{"name":"gone","amount":"1"}`)
	s.write("delete", "orders/3", "")
	s.write("create", "notes/a", `{}`)
	s.write("update", "notes/a", `{"text":"x"}`)
	s.write("create", "secrets/s", `{}`)
	return s
}

// golden compares got with the file, or writes it.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("what is written is not %s any more; it has %d bytes, the file %d", name, len(got), len(want))
	}
}

func TestExportsAreWrittenAsEverW18(t *testing.T) {
	s := exported(t)
	get := func(query string, header ...string) []byte {
		t.Helper()
		res := ask(t, s, "GET /migrate/export"+query, "Bearer "+token, "", header...)
		if res.StatusCode != http.StatusOK {
			t.Fatalf("export%s: status %d", query, res.StatusCode)
		}
		return []byte(readAll(t, res.Body))
	}
	golden(t, "1.frames", get(""))
	golden(t, "2.frames", get("?format=2"))
	golden(t, "lines.ndjson", get("", "Accept", "application/x-ndjson"))
	if got := get("?format=99"); !bytes.Equal(got, get("?format=2")) {
		t.Error("who asks for a later format does not get the latest")
	}
	green := successor(t)
	green.handOver(s, 7)
	base := green.status().Position
	green.write("update", "orders/1", `{"title":"green"}`)
	green.write("update", "orders/2", `{"amount":-1}`)
	green.write("delete", "notes/a", "")
	res := ask(t, green, "GET /migrate/export?format=2&schemas=notes:1,orders:1&after="+base, "Bearer "+token, "")
	golden(t, "2-back.frames", []byte(readAll(t, res.Body)))
}

// replay is a source that has nothing but the file.
func replay(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return replayed(t, b)
}

func replayed(t *testing.T, export []byte, header ...string) string {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/export") && !r.URL.Query().Has("link") {
			for i := 0; i < len(header); i += 2 {
				w.Header().Set(header[i], header[i+1])
			}
			_, _ = w.Write(export)
			return
		}
		_, _ = io.WriteString(w, "{}")
	}))
	t.Cleanup(h.Close)
	return h.URL
}

func TestExportsOfEveryFormatAreReadForEverW18(t *testing.T) {
	from := exported(t)
	for _, name := range []string{"0.frames", "1.frames", "2.frames"} {
		t.Run(name, func(t *testing.T) {
			green := newSide(t, greenService())
			green.fence(1)
			p, err := green.client.Pull(t.Context(), migrate.PullRequest{Source: replay(t, name), Token: token})
			if err != nil || p.Documents != 3 || p.Deletions != 1 {
				t.Fatalf("the pull took %+v, %v", p, err)
			}
			if d := green.compare(from); len(d) > 0 {
				t.Errorf("%d buckets differ from what was exported", len(d))
			}
			was, is := from.read("orders/1"), green.read("orders/1")
			if !is.Expires.Equal(was.Expires) || is.Source != was.Source || is.Version != was.Version || len(is.Pending) != 2 {
				t.Errorf("the envelope is %+v, want %+v", is.Meta, was.Meta)
			}
		})
	}
	blue := exported(t)
	blue.fence(7)
	r := migrate.PullRequest{Source: replay(t, "2-back.frames"), Token: token, Base: fmt.Sprintf("%d.1", epoch.Unix())}
	p, err := blue.client.Pull(t.Context(), r)
	if err != nil || p.Documents != 1 || p.Deletions != 1 || p.Quarantined != 1 {
		t.Fatalf("the way back took %+v, %v", p, err)
	}
}

func TestExportsOfUnknownFormatsAreRefusedW18(t *testing.T) {
	var newer bytes.Buffer
	w := frame.NewWriter(&newer)
	head := `{"of":"export","format":3,"position":"1.1","schemas":{"notes":1},"counts":{"notes":0}}`
	if err := w.Write(frame.Frame{Head: json.RawMessage(head)}); err != nil {
		t.Fatal(err)
	}
	var encoded bytes.Buffer
	if err := frame.NewWriter(&encoded).WriteRaw(99, []byte("x")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		export []byte
		words  []string
	}{
		{"a later format", newer.Bytes(), []string{"format 3", "up to 2"}},
		{"frames of a type that is not known", encoded.Bytes(), []string{"type 99", "newer binary"}},
		{"a page", []byte("<html></html>"), []string{"not a stream of documents"}},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			green := newSide(t, greenService())
			green.fence(1)
			_, err := green.client.Pull(t.Context(), migrate.PullRequest{Source: replayed(t, c.export), Token: token})
			wantError(t, err, kit.ErrInvalid, c.words...)
			if s := green.status(); s.Cursor != nil {
				t.Errorf("green has the cursor %+v", s.Cursor)
			}
		})
	}
}
