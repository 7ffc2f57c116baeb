package migrate_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/migrate"
)

type picture1 struct {
	kit.Meta
	File kit.Digest `json:"file,omitempty"`
}

type picture2 struct {
	kit.Meta
	Image  kit.Digest   `json:"image,omitempty"`
	Frames []kit.Digest `json:"frames,omitempty"`
}

var (
	pictures1 = kit.Define[picture1]("pictures")
	pictures2 = kit.Define[picture2]("pictures", kit.Schema(2, []kit.Transform{kit.Rename("file", "image")}))
)

// alone is a cluster of one node, whose documents nobody goes through.
type alone struct{}

func (alone) Nodes() ([]shared.Node, string) {
	return []shared.Node{{ID: "a", Voter: true, Leader: true, Alive: true}}, "a"
}
func (alone) CatchUp(context.Context) error             { return nil }
func (alone) Named() (map[kit.Digest]bool, bool, error) { return nil, false, nil }

// gallery is a side with blobs.
type gallery struct {
	*side
	dir string
}

func newGallery(t *testing.T, limit int64, pictures kit.Owned) *gallery {
	t.Helper()
	g := &gallery{side: &side{t: t, now: epoch}, dir: t.TempDir()}
	var err error
	g.blobs, err = shared.Open(shared.Config{Dir: g.dir, Limit: limit, Cluster: alone{}, Logger: kittest.Log(t, slog.LevelInfo)})
	if err != nil {
		t.Fatal(err)
	}
	g.serve(kit.Service{Name: "gallery", Owns: []kit.Owned{pictures}})
	return g
}

// galleries are a pair with blobs.
func galleries(t *testing.T) (blue, green *gallery) {
	t.Helper()
	blue = newGallery(t, 1<<20, kit.Own(pictures1, nil))
	green = newGallery(t, 1<<20, kit.Own(pictures2, nil))
	green.fence(1)
	return blue, green
}

// put stores the text, and names it by the document with the id, unless that is
// empty.
func (g *gallery) put(id, text string) kit.Digest {
	g.t.Helper()
	d, _, err := g.blobs.Put(g.t.Context(), strings.NewReader(text), "")
	if err != nil {
		g.t.Fatal(err)
	}
	if id != "" {
		g.write("create", kit.Link("pictures/"+id), fmt.Sprintf(`{"file":%q}`, d))
	}
	return d
}

func (g *gallery) file(d kit.Digest) string {
	return filepath.Join(g.dir, "sha256", d.Hex()[:2], d.Hex())
}

// wantBlob checks that g has the blob with the text.
func (g *gallery) wantBlob(d kit.Digest, text string) {
	g.t.Helper()
	b, err := g.blobs.Open(g.t.Context(), d)
	if err != nil {
		g.t.Errorf("the blob of %q: %v", text, err)
		return
	}
	defer b.Close()
	if got, err := io.ReadAll(b); string(got) != text || err != nil {
		g.t.Errorf("a blob of %d bytes, %v, want %d", len(got), err, len(text))
	}
}

func TestBlobsComeWithDocumentsAndGoBack(t *testing.T) {
	blue, green := galleries(t)
	first, unnamed := blue.put("1", "first"), blue.put("", "not named yet")
	p := green.pull(blue.side)
	green.wantBlob(first, "first")
	green.wantBlob(unnamed, "not named yet")
	if p.Documents != 1 || p.Quarantined != 0 {
		t.Errorf("the first pull took %+v", p)
	}
	second := blue.put("2", strings.Repeat("second", 1000))
	blue.fence(7)
	p, err := green.tryPull(blue.side, true)
	if err != nil || p.Documents != 1 || p.Bytes < 6000 {
		t.Fatalf("the final pull took %+v, %v", p, err)
	}
	green.wantBlob(second, strings.Repeat("second", 1000))
	base := green.handOver(blue.side, 7)

	third, frame := green.put("", "third"), green.put("", "frame")
	green.write("create", "pictures/3", fmt.Sprintf(`{"image":%q,"frames":[%q,%q]}`, third, first, frame))
	blue.takeBack(green.side, base, false)
	blue.wantBlob(third, "third")
	late := green.put("", "late")
	green.write("create", "pictures/4", fmt.Sprintf(`{"image":%q}`, late))
	blue.goBack(green.side, base, 8)
	blue.wantBlob(late, "late")
	if got := blue.read("pictures/4"); !strings.Contains(string(got.Body), `"file":"`+string(late)) {
		t.Errorf("the picture came back as %s", got.Body)
	}
}

func TestADocumentWhoseBlobCannotBeHadIsQuarantined(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(path string) error
		want  string
	}{
		{"missing", os.Remove, "there is no blob"},
		{"damaged", func(path string) error { return os.WriteFile(path, []byte("other bytes"), 0o600) }, "the bytes have the digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			blue, green := galleries(t)
			good, bad := blue.put("good", "good"), blue.put("bad", "bad")
			if err := c.spoil(blue.file(bad)); err != nil {
				t.Fatal(err)
			}
			p := green.pull(blue.side)
			if p.Documents != 1 || p.Quarantined != 1 || p.Failed[0].Link != "pictures/bad" || p.Failed[0].Field != "image" ||
				!strings.Contains(p.Failed[0].Error, string(bad)) || !strings.Contains(p.Failed[0].Error, c.want) {
				t.Errorf("the pull took %+v", p)
			}
			green.wantBlob(good, "good")
			if green.has("pictures/bad") || green.blobs.Held(bad) {
				t.Error("green has the document, or something of its blob")
			}
			blue.fence(7)
			_, err := green.tryPull(blue.side, true)
			wantError(t, err, kit.ErrConflict, "pictures/bad", `field "image"`, string(bad))

			blue.put("", "bad") // once more
			p, err = green.client.Retry(t.Context(), migrate.PullRequest{Source: blue.url(), Token: token})
			if err != nil || p.Quarantined != 0 || p.Documents != 1 {
				t.Errorf("the retry took %+v, %v", p, err)
			}
			green.wantBlob(bad, "bad")
			green.cutOver(blue.side)
		})
	}
}

func TestAPullThatWasInterruptedTakesOnlyTheBlobsThatAreLeft(t *testing.T) {
	blue, green := galleries(t)
	var mu sync.Mutex
	asked := map[string]int{}
	const fails = 20 // requests for blobs until the network breaks
	broken := true
	blue.meddle = func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/migrate/blobs/") {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path]++
		if broken && len(asked) > fails {
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("the beginning"))
			return true
		}
		return false
	}
	digests := map[kit.Digest]string{}
	for i := range 30 {
		text := fmt.Sprint("picture ", i)
		digests[blue.put(fmt.Sprint(i), text)] = text
	}
	_, err := green.tryPull(blue.side, false)
	wantError(t, err, kit.ErrUnavailable, "stopped before its end")
	if n := green.status().Documents; n != 0 {
		t.Errorf("%d documents came before their blobs", n)
	}
	had := 0
	for d := range digests {
		if green.blobs.Held(d) {
			had++
		}
	}
	mu.Lock()
	broken = false
	clear(asked)
	mu.Unlock()
	if p := green.pull(blue.side); p.Documents != 30 || p.Quarantined != 0 {
		t.Errorf("the second pull took %+v", p)
	}
	if had == 0 || len(asked) != 30-had {
		t.Errorf("%d blobs were there before, %d were taken after that", had, len(asked))
	}
	for d, text := range digests {
		green.wantBlob(d, text)
	}
	clear(asked)
	if green.pull(blue.side); len(asked) > 0 {
		t.Errorf("an empty pull took %v", asked)
	}
}

func TestASideWithoutRoomForBlobsIsNotFilled(t *testing.T) {
	blue := newGallery(t, 1<<20, kit.Own(pictures1, nil))
	blue.put("1", strings.Repeat("x", 1000))
	small := newGallery(t, 100, kit.Own(pictures2, nil))
	small.fence(1)
	_, err := small.tryPull(blue.side, false)
	wantError(t, err, kit.ErrFull, "100 bytes of blobs at most")
	if small.has("pictures/1") {
		t.Error("the document came without its blob")
	}
	without := newSide(t, kit.Service{Name: "gallery", Owns: []kit.Owned{kit.Own(pictures2, nil)}})
	without.fence(1)
	_, err = without.tryPull(blue.side, false)
	wantError(t, err, kit.ErrInvalid, "the source has blobs, and this cluster keeps none")
	if without.has("pictures/1") {
		t.Error("the document came to a side that keeps no blobs")
	}
}
