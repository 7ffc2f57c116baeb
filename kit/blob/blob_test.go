package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"landfall.dev/kit"
	"landfall.dev/kit/blob"
)

func open(t *testing.T, dir string) *blob.Disk {
	t.Helper()
	d, err := blob.Open(dir)
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	return d
}

func put(t *testing.T, b kit.Blobs, text string) kit.Digest {
	t.Helper()
	d, n, err := b.Put(t.Context(), strings.NewReader(text), "")
	if err != nil || d != kit.DigestOf([]byte(text)) || n != int64(len(text)) {
		t.Fatalf("put %q: got %s, %d bytes, error %v", text, d, n, err)
	}
	return d
}

// files returns the paths of the files below dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, p)
			found = append(found, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestStoredBytesAreReadBackAfterReopening(t *testing.T) {
	dir := t.TempDir()
	digest := put(t, open(t, dir), "layer")
	put(t, open(t, dir), "layer")
	want := filepath.Join("sha256", digest.Hex()[:2], digest.Hex())
	if got := files(t, dir); len(got) != 1 || got[0] != want {
		t.Errorf("files: got %q, want %q alone", got, want)
	}
	b, err := open(t, dir).Open(t.Context(), digest)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(b)
	if string(rest) != "yer" || err != nil || b.Size() != 5 {
		t.Errorf("read from 2: got %q of %d, error %v", rest, b.Size(), err)
	}
}

func TestRefusedUploadLeavesNothing(t *testing.T) {
	canceled, cancel := context.WithCancelCause(context.Background())
	cancel(kit.ErrTimeout)
	broken := errors.New("cable cut")
	for _, c := range []struct {
		name  string
		ctx   context.Context
		r     io.Reader
		want  kit.Digest
		error error
	}{
		{"another digest", t.Context(), strings.NewReader("a"), kit.DigestOf([]byte("b")), kit.ErrInvalid},
		{"no digest", t.Context(), strings.NewReader("a"), "sha256:abc", kit.ErrInvalid},
		{"broken source", t.Context(), io.MultiReader(strings.NewReader("a"), iotest.ErrReader(broken)), "", broken},
		{"canceled", canceled, strings.NewReader("a"), "", kit.ErrTimeout},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			_, _, err := open(t, dir).Put(c.ctx, c.r, c.want)
			if !errors.Is(err, c.error) {
				t.Errorf("put: got error %v, want %v", err, c.error)
			}
			if got := files(t, dir); len(got) != 0 {
				t.Errorf("files left: %q", got)
			}
		})
	}
}

func TestOpenSweepsWhatACrashLeft(t *testing.T) {
	dir := t.TempDir()
	d := open(t, dir)
	digest := put(t, d, "kept")
	if err := os.WriteFile(filepath.Join(dir, "tmp", "put-1"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
	if got := files(t, dir); len(got) != 1 || !strings.HasSuffix(got[0], digest.Hex()) {
		t.Errorf("files: got %q, want the blob alone", got)
	}
}

func TestSameBytesStoredAtOnce(t *testing.T) {
	d := open(t, t.TempDir())
	text := strings.Repeat("same ", 1000)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, _, err := d.Put(t.Context(), strings.NewReader(text), kit.DigestOf([]byte(text))); err != nil {
				t.Errorf("put: %v", err)
			}
		})
	}
	wg.Wait()
	b, err := d.Open(t.Context(), kit.DigestOf([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := io.ReadAll(b); string(got) != text || err != nil {
		t.Errorf("read: got %d bytes, error %v", len(got), err)
	}
}

func TestRemovedBlobIsNotFound(t *testing.T) {
	d := open(t, t.TempDir())
	digest := put(t, d, "x")
	for range 2 {
		if err := d.Remove(t.Context(), digest); err != nil {
			t.Fatalf("remove: %v", err)
		}
	}
	if _, err := d.Open(t.Context(), digest); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("open a removed blob: got %v, want not found", err)
	}
	if _, err := d.Open(t.Context(), "../../etc/passwd"); !errors.Is(err, kit.ErrInvalid) {
		t.Errorf("open no digest: got %v, want invalid", err)
	}
}

func TestHandler(t *testing.T) {
	d := open(t, t.TempDir())
	digest := put(t, d, "0123456789")
	fresh := kit.DigestOf([]byte("fresh"))
	for _, c := range []struct {
		name, method, path, body string
		header                   http.Header
		status                   int
		want                     string
	}{
		{"whole", "GET", string(digest), "", nil, 200, "0123456789"},
		{"head", "HEAD", string(digest), "", nil, 200, ""},
		{"range", "GET", string(digest), "", http.Header{"Range": {"bytes=2-4"}}, 206, "234"},
		{"range beyond", "GET", string(digest), "", http.Header{"Range": {"bytes=20-"}}, 416, ""},
		{"known to the client", "GET", string(digest), "", http.Header{"If-None-Match": {`"` + string(digest) + `"`}}, 304, ""},
		{"missing", "GET", string(fresh), "", nil, 404, "there is no blob"},
		{"no digest", "GET", "sha256:12", "", nil, 400, "is no digest"},
		{"upload of other bytes", "PUT", string(fresh), "stale", nil, 400, "have the digest"},
		{"upload", "PUT", string(fresh), "fresh", nil, 201, `"size":5`},
		{"uploaded", "GET", string(fresh), "", nil, 200, "fresh"},
		{"too large an upload", "PUT", string(fresh), strings.Repeat("x", 100), nil, 413, "limit of 50 bytes"},
		{"other method", "DELETE", string(digest), "", nil, 405, "takes GET, HEAD and PUT"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := httptest.NewRequest(c.method, "/blobs/"+c.path, strings.NewReader(c.body))
			for k, v := range c.header {
				r.Header[k] = v
			}
			w := httptest.NewRecorder()
			http.MaxBytesHandler(blob.Handler(d), 50).ServeHTTP(w, r)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("%s: got %d %q, want %d with %q", c.method, w.Code, w.Body, c.status, c.want)
			}
			if c.status == 200 {
				h := fmt.Sprint(w.Header()["Etag"], w.Header()["Cache-Control"])
				if !strings.Contains(h, c.path) || !strings.Contains(h, "immutable") {
					t.Errorf("headers: %s", h)
				}
			}
			if c.method == "HEAD" && w.Header().Get("Content-Length") != "10" {
				t.Errorf("length of head: %q", w.Header().Get("Content-Length"))
			}
		})
	}
}
