package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"landfall.dev/engine/enginetest"
	"landfall.dev/engine/process"
	"landfall.dev/kit"
)

// cutter is a bad link to a server: it closes each connection after so many
// bytes of a body.
type cutter struct {
	http.Handler
	after  int
	sent   atomic.Int64 // bytes of bodies
	cuts   atomic.Int64
	ranges atomic.Int64 // requests for a part, under a condition
}

func (c *cutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Range") != "" {
		c.ranges.Add(1)
	}
	c.Handler.ServeHTTP(&cutWriter{w, c, c.after}, r)
}

type cutWriter struct {
	http.ResponseWriter
	cutter *cutter
	left   int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b[:min(len(b), w.left)])
	w.left -= n
	w.cutter.sent.Add(int64(n))
	if err != nil || w.left > 0 {
		return n, err
	}
	w.cutter.cuts.Add(1)
	controller := http.NewResponseController(w.ResponseWriter)
	if err := controller.Flush(); err != nil {
		return n, err
	}
	conn, _, err := controller.Hijack()
	if err != nil {
		return n, err
	}
	return n, errors.Join(conn.Close(), errors.New("the connection is cut"))
}

// puller returns one for the server, whose engine and data are in dir.
func pullerFor(t *testing.T, server http.Handler, token, dir string) *puller {
	t.Helper()
	s := httptest.NewServer(server)
	t.Cleanup(s.Close)
	h, err := newHub(s.URL, token)
	if err != nil {
		t.Fatal(err)
	}
	e, err := process.New(filepath.Join(dir, "engine"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPuller(h, e, dir)
	p.patience = 0
	return p
}

// randomImage is an image with a layer of so many bytes that do not compress.
func randomImage(t *testing.T, size int) v1.Image {
	t.Helper()
	content := make([]byte, size)
	_, _ = rand.Read(content)
	return enginetest.NewImage(t, v1.Config{}, []tar.Header{{Name: "data", Mode: 0o644}}, content)
}

func TestAPullGoesOnWhereAConnectionWasCut(t *testing.T) {
	h := newTestHub(t)
	ref := h.push(randomImage(t, 10<<20))
	link := &cutter{Handler: h.Server, after: 1 << 20}
	p := pullerFor(t, link, h.token, t.TempDir())
	if err := p.pull(t.Context(), ref); err != nil {
		t.Fatalf("pulled over a bad link: %v", err)
	}
	if sent := link.sent.Load(); sent > 11<<20 {
		t.Errorf("%d bytes were sent for a layer of 10 MiB, want nothing sent twice", sent)
	}
	if cuts, ranges := link.cuts.Load(), link.ranges.Load(); cuts < 10 || ranges < 10 {
		t.Errorf("%d connections were cut and %d parts asked for, want at least 10 each", cuts, ranges)
	}
	sent := link.sent.Load()
	if err := p.pull(t.Context(), ref); err != nil || link.sent.Load() != sent {
		t.Errorf("pulled again: %v, %d bytes sent, want none", err, link.sent.Load()-sent)
	}
}

func TestAPullGoesOnAfterARestart(t *testing.T) {
	for name, damaged := range map[string]bool{"with what was fetched": false, "without what was damaged": true} {
		t.Run(name, func(t *testing.T) {
			h := newTestHub(t)
			img := randomImage(t, 4<<20)
			ref := h.push(img)
			dir := t.TempDir()
			ctx, cancel := context.WithCancel(t.Context())
			link := &cutter{Handler: h.Server, after: 1 << 20}
			stopping := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if link.cuts.Load() == 2 {
					cancel()
				}
				link.ServeHTTP(w, r)
			})
			if err := pullerFor(t, stopping, h.token, dir).pull(ctx, ref); !errors.Is(err, context.Canceled) {
				t.Fatalf("stopped a pull: %v, want it canceled", err)
			}
			layers, err := img.Layers()
			if err != nil {
				t.Fatal(err)
			}
			digest, err := layers[0].Digest()
			if err != nil {
				t.Fatal(err)
			}
			part := filepath.Join(dir, "partial", digest.Hex)
			b, err := os.ReadFile(part)
			if err != nil || len(b) < 2<<20 {
				t.Fatalf("%d bytes are kept, %v; want 2 MiB", len(b), err)
			}
			if damaged {
				b[1000] ^= 1
				if err := os.WriteFile(part, b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			again := &cutter{Handler: h.Server, after: 100 << 20}
			if err := pullerFor(t, again, h.token, dir).pull(t.Context(), ref); err != nil {
				t.Fatalf("pulled after a restart: %v", err)
			}
			if sent := again.sent.Load(); !damaged && sent > 5<<19 {
				t.Errorf("%d bytes were sent after the restart, want the rest only", sent)
			}
		})
	}
}

func TestAPullRefusesWhatWasNotAskedFor(t *testing.T) {
	h := newTestHub(t)
	ref := h.push(randomImage(t, 1<<10))
	other := strings.Replace(h.push(randomImage(t, 1<<10)), "team/program@", "", 1)
	digest := ref[strings.Index(ref, "@")+1:]
	swap := func(kind string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, kind) {
				r.URL.Path = "/v2/team/program/manifests/" + other
			}
			h.Server.ServeHTTP(w, r)
		})
	}
	for name, test := range map[string]struct {
		server http.Handler
		ref    string
		want   string
	}{
		"another manifest": {swap("/manifests/" + digest), ref, "a manifest with the digest"},
		"another layer":    {swap("/blobs/"), ref, "other bytes than those of the blob"},
		"an unknown image": {h.Server, "team/program@" + string(kit.DigestOf([]byte("x"))), "there is no blob"},
		"a damaged layer":  {h.Server, h.push(damaged(t)), "cannot be loaded"},
		"a tag":            {h.Server, "team/program:latest", "not named by its digest"},
		"no manifest":      {h.Server, "team/program@" + words(t, h), "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			err := pullerFor(t, test.server, h.token, t.TempDir()).pull(t.Context(), test.ref)
			if err == nil || kit.Temporary(err) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("pulled %s: %v, want %q for good", name, err, test.want)
			}
		})
	}
}

func TestAPullEndsIfTheManifestLiesAboutASize(t *testing.T) {
	h := newTestHub(t)
	const size = 1 << 10
	img := randomImage(t, size)
	h.push(img)
	raw, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		size func(int64) int64
		want string
	}{
		"negative":      {func(int64) int64 { return -1 }, "has -1 bytes"},
		"absurd":        {func(int64) int64 { return 1 << 62 }, "has 4611686018427387904 bytes"},
		"too large":     {func(int64) int64 { return 1 << 30 }, "fewer bytes of it than its manifest says"},
		"a byte larger": {func(n int64) int64 { return n + 1 }, "fewer bytes of it than its manifest says"},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := v1.ParseManifest(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			m.Layers[0].Size = test.size(m.Layers[0].Size)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			d, _, err := h.blobs.Put(t.Context(), bytes.NewReader(b), "")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for _, after := range []int{1 << 20, size / 2} { // over a good link and a bad one
				link := &cutter{Handler: h.Server, after: after}
				err = pullerFor(t, link, h.token, t.TempDir()).pull(ctx, "team/program@"+string(d))
				if err == nil || kit.Temporary(err) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("pulled a layer whose size is %s: %v, want %q for good", name, err, test.want)
				}
			}
		})
	}
}

// damaged is an image whose layer is none.
func damaged(t *testing.T) v1.Image {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer([]byte("no archive"), types.OCILayer))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// words puts a blob that is no manifest into the registry.
func words(t *testing.T, h *testHub) string {
	t.Helper()
	d, _, err := h.blobs.Put(t.Context(), strings.NewReader("words"), "")
	if err != nil {
		t.Fatal(err)
	}
	return string(d)
}

func TestAPullIsTriedAgainWithoutTheHub(t *testing.T) {
	h := newTestHub(t)
	ref := h.push(randomImage(t, 1<<10))
	broken := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	if err := pullerFor(t, broken, h.token, t.TempDir()).pull(t.Context(), ref); err == nil || !kit.Temporary(err) {
		t.Errorf("pulled from a broken hub: %v, want an error for now", err)
	}
}
