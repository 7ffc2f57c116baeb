package registry_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
)

func TestChunksInOrder(t *testing.T) {
	h := start(t, t.TempDir())
	a := h.must(202, "POST", "/v2/ledger/blobs/uploads/", "")
	location := a.header.Get("Location")
	if a.header.Get("Range") != "0-0" || !strings.HasPrefix(location, "/v2/ledger/blobs/uploads/") || a.header.Get("Docker-Upload-UUID") == "" {
		t.Errorf("start: %v", a.header)
	}
	digest := kit.DigestOf([]byte("abcdefghij"))
	for _, c := range []struct {
		name, request, body, contentRange string
		status                            int
		want, code                        string
	}{
		{"not the first", "PATCH", "def", "3-5", 416, "0-0", "BLOB_UPLOAD_INVALID"},
		{"first", "PATCH", "abc", "0-2", 202, "0-2", ""},
		{"status", "GET", "", "", 204, "0-2", ""},
		{"first again", "PATCH", "abc", "0-2", 416, "0-2", "BLOB_UPLOAD_INVALID"},
		{"range that is none", "PATCH", "def", "bytes 3-5/10", 416, "0-2", "BLOB_UPLOAD_INVALID"},
		{"range of another size", "PATCH", "def", "3-9", 400, "", "SIZE_INVALID"},
		{"backward range", "PATCH", "def", "3-1", 400, "", "SIZE_INVALID"},
		{"streamed", "PATCH", "def", "", 202, "0-5", ""},
		{"last out of order", "PUT ?digest=" + string(digest), "ij", "8-9", 416, "0-5", "BLOB_UPLOAD_INVALID"},
		{"end without a digest", "PUT", "ghij", "6-9", 400, "", "DIGEST_INVALID"},
		{"end with another algorithm", "PUT ?digest=sha512:ab", "ghij", "6-9", 400, "", "DIGEST_INVALID"},
		{"post", "POST", "", "", 405, "", "UNSUPPORTED"},
		{"last", "PUT ?digest=" + string(digest), "ghij", "6-9", 201, "", ""},
		{"status after the end", "GET", "", "", 404, "", "BLOB_UPLOAD_UNKNOWN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			method, query, _ := strings.Cut(c.request, " ")
			var headers []string
			if c.contentRange != "" {
				headers = []string{"Content-Range: " + c.contentRange}
			}
			a := h.do(method, location+query, c.body, headers...)
			if a.status != c.status || a.header.Get("Range") != c.want {
				t.Errorf("got %d %s with the range %q, want %d and %q", a.status, a.body, a.header.Get("Range"), c.status, c.want)
			}
			if c.code != "" && a.code() != c.code {
				t.Errorf("code: got %s, want %s", a.code(), c.code)
			}
			if (c.status == 202 || c.status == 416) && a.header.Get("Location") != location {
				t.Errorf("location: got %q, want %q", a.header.Get("Location"), location)
			}
		})
	}
	if a := h.must(200, "GET", "/v2/ledger/blobs/"+string(digest), ""); a.body != "abcdefghij" {
		t.Errorf("blob: %q", a.body)
	}
}

func TestUploadEndsWithAWrongDigest(t *testing.T) {
	h := start(t, t.TempDir())
	location := h.must(202, "POST", "/v2/ledger/blobs/uploads/", "").header.Get("Location")
	wrong, right := kit.DigestOf([]byte("a")), kit.DigestOf([]byte("b"))
	a := h.must(400, "PUT", location+"?digest="+string(wrong), "b")
	if a.code() != "DIGEST_INVALID" || !strings.Contains(a.body, string(wrong)) || !strings.Contains(a.body, string(right)) {
		t.Errorf("got %s, want both digests", a.body)
	}
	h.must(404, "GET", location, "")
}

func TestCancelledUploadIsGone(t *testing.T) {
	dir := t.TempDir()
	h := start(t, dir)
	location := h.must(202, "POST", "/v2/ledger/blobs/uploads/", "").header.Get("Location")
	h.must(202, "PATCH", location, "abc")
	h.must(404, "GET", strings.Replace(location, "ledger", "other", 1), "")
	h.must(204, "DELETE", location, "")
	h.must(404, "PATCH", location, "def")
	if files, err := os.ReadDir(filepath.Join(dir, "uploads")); err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
}

func TestUploadGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	location := ""
	t.Run("before", func(t *testing.T) {
		h := start(t, dir)
		location = h.must(202, "POST", "/v2/ledger/blobs/uploads/", "").header.Get("Location")
		h.must(202, "PATCH", location, "abcdef", "Content-Range: 0-5")
	})
	h := start(t, dir)
	a := h.must(204, "GET", location, "")
	if got := a.header.Get("Range"); got != "0-5" {
		t.Fatalf("range after the restart: got %q, want 0-5", got)
	}
	h.must(202, "PATCH", location, "ghi", "Content-Range: 6-8")
	digest := kit.DigestOf([]byte("abcdefghi"))
	h.must(201, "PUT", location+"?digest="+string(digest), "")
	if a := h.must(200, "GET", "/v2/ledger/blobs/"+string(digest), ""); a.body != "abcdefghi" {
		t.Errorf("blob: %q", a.body)
	}
}

func TestUploadGoesOnAfterABrokenConnection(t *testing.T) {
	h := start(t, t.TempDir())
	location := h.must(202, "POST", "/v2/ledger/blobs/uploads/", "").header.Get("Location")
	conn, err := net.Dial("tcp", h.host())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "PATCH %s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: 10\r\n\r\nabcdef", location, h.token)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(status, " 400 ") {
		t.Errorf("broken request: got %q, %v, want 400", status, err)
	}
	conn.Close()
	if got := h.must(204, "GET", location, "").header.Get("Range"); got != "0-5" {
		t.Errorf("range: got %q, want what has arrived, 0-5", got)
	}
	h.must(201, "PUT", location+"?digest="+string(kit.DigestOf([]byte("abcdefghij"))), "ghij", "Content-Range: 6-9")
}

func TestRestedUploadsAreRemovedAtTheStart(t *testing.T) {
	dir := t.TempDir()
	uploads := filepath.Join(dir, "uploads")
	if err := os.MkdirAll(uploads, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name string, age time.Duration) string {
		path := filepath.Join(uploads, name)
		then := time.Now().Add(-age)
		if err := errors.Join(os.WriteFile(path, []byte("abc"), 0o600), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("ledger~young", 23*time.Hour)
	old := write("ledger~old", 25*time.Hour)
	h := start(t, dir)
	// The loop runs beside the server: its first round is awaited.
	deadline := time.After(10 * time.Second)
	for {
		if _, err := os.Stat(old); errors.Is(err, os.ErrNotExist) {
			break
		}
		select {
		case <-deadline:
			t.Fatal("the old upload is still there")
		default:
			h.must(200, "GET", "/v2/", "")
		}
	}
	h.must(204, "GET", "/v2/ledger/blobs/uploads/young", "")
}

func TestPartsOfOneUploadSentAtOnceDoNotMix(t *testing.T) {
	h := start(t, t.TempDir())
	location := h.must(202, "POST", "/v2/ledger/blobs/uploads/", "").header.Get("Location")
	part := strings.Repeat("x", 100_000)
	var g sync.WaitGroup
	var accepted sync.Map
	for i := range 8 {
		g.Go(func() {
			a := h.do("PATCH", location, part, "Content-Range: 0-99999")
			accepted.Store(i, a.status)
		})
	}
	g.Wait()
	count := map[any]int{}
	accepted.Range(func(_, status any) bool { count[status]++; return true })
	if count[202] != 1 || count[416] != 7 {
		t.Errorf("statuses: %v, want 202 once and 416 seven times", count)
	}
	h.must(201, "PUT", location+"?digest="+string(kit.DigestOf([]byte(part))), "")
}

// durable wraps what the registry is made of, to check at each write of a
// document that the bytes it speaks of are stored.
type durable struct {
	kit.Client
	blobs  kit.Blobs
	t      *testing.T
	writes int
	fail   error // of the next write
}

func (d *durable) check(ctx context.Context, body []byte) {
	d.writes++
	for _, field := range strings.Split(string(body), `"digest":"`)[1:] {
		digest, _, _ := strings.Cut(field, `"`)
		b, err := d.blobs.Open(ctx, kit.Digest(digest))
		if err != nil {
			d.t.Errorf("a document tells of %s before it is stored: %v", digest, err)
			continue
		}
		b.Close()
	}
}

func (d *durable) Create(ctx context.Context, kind, id string, body []byte, o ...kit.WriteOption) (kit.Record, error) {
	d.check(ctx, body)
	return d.Client.Create(ctx, kind, id, body, o...)
}

func (d *durable) Batch(ctx context.Context, writes []kit.Write, o ...kit.WriteOption) ([]kit.Record, error) {
	if err := d.fail; err != nil {
		d.fail = nil
		return nil, err
	}
	for _, w := range writes {
		d.check(ctx, w.Body)
	}
	return d.Client.Batch(ctx, writes, o...)
}

func TestDocumentsFollowDurableBytes(t *testing.T) {
	d := &durable{t: t}
	h := start(t, t.TempDir(), func(c kit.Client, b kit.Blobs) (kit.Client, kit.Blobs) {
		d.Client, d.blobs = c, b
		return d, b
	})
	manifest, _ := h.pushImage("ledger", "dev", "layer")
	if d.writes != 4 {
		t.Errorf("%d documents were written, want two holdings, an image and a tag", d.writes)
	}
	d.fail = kit.Errorf(kit.ErrUnavailable, "", "the cluster has no leader now")
	if a := h.do("PUT", "/v2/ledger/manifests/next", manifest); a.status != 503 || a.code() != "UNAVAILABLE" || a.header.Get("Retry-After") == "" {
		t.Errorf("without a leader: got %d %s", a.status, a.body)
	}
	h.must(404, "GET", "/v2/ledger/manifests/next", "")
	d.fail = kit.Errorf(kit.ErrStale, "", "another push was first")
	h.must(201, "PUT", "/v2/ledger/manifests/next", manifest)
	h.must(200, "GET", "/v2/ledger/manifests/next", "")
}

// full fails to store anything.
type full struct{ kit.Blobs }

func (full) Put(context.Context, io.Reader, kit.Digest) (kit.Digest, int64, error) {
	return "", 0, &kit.Error{Op: "blob.put", Err: errors.New("no space left on device")}
}

func TestFullDiskIsNoPush(t *testing.T) {
	h := start(t, t.TempDir(), func(c kit.Client, b kit.Blobs) (kit.Client, kit.Blobs) { return c, full{b} })
	digest := string(kit.DigestOf([]byte("x")))
	a := h.do("POST", "/v2/ledger/blobs/uploads/?digest="+digest, "x")
	if a.status != 500 || a.code() != "UNKNOWN" || strings.Contains(a.body, "space") {
		t.Errorf("got %d %s, want 500 without the cause", a.status, a.body)
	}
	h.must(404, "HEAD", "/v2/ledger/blobs/"+digest, "")
}

func TestVersionPushedAtOnceHasOneWinner(t *testing.T) {
	h := start(t, t.TempDir())
	config := h.pushBlob("ledger", "{}")
	var mu sync.Mutex
	var g sync.WaitGroup
	count := map[int]int{}
	for i := range 6 {
		body := manifestOf(config, nil, map[string]any{"annotations": map[string]string{"n": fmt.Sprint(i)}})
		g.Go(func() {
			version := h.do("PUT", "/v2/ledger/manifests/v1.2.3", body)
			moving := h.do("PUT", "/v2/ledger/manifests/latest", body)
			mu.Lock()
			defer mu.Unlock()
			count[version.status]++
			count[moving.status*10]++
		})
	}
	g.Wait()
	if count[201] != 1 || count[409] != 5 || count[2010] != 6 {
		t.Errorf("statuses: %v, want one 201 and five 409 for the version, and 201 for all of the tag that moves", count)
	}
}
