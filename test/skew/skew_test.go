package skew

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
)

// recordings calls f for every folder under testdata.
func recordings(t *testing.T, f func(t *testing.T, dir string, keys tokens, want documents)) {
	dirs, err := filepath.Glob("testdata/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("found %d recordings: %v", len(dirs), err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			var keys tokens
			var want documents
			load(t, filepath.Join(dir, "tokens.json"), &keys)
			load(t, filepath.Join(dir, "documents.json"), &want)
			f(t, dir, keys, want)
		})
	}
}

func load(t *testing.T, path string, v any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestOlderDataDirectoriesAreRead(t *testing.T) {
	recordings(t, func(t *testing.T, dir string, keys tokens, want documents) {
		data := filepath.Join(t.TempDir(), "data")
		unpack(t, filepath.Join(dir, "data.tar.gz"), data)
		n := start(t, data)
		got := n.documents(keys)
		for _, kind := range kinds {
			compare(t, kind, got.Kinds[kind], want.Kinds[kind])
		}
		compare(t, "the export", withoutPosition(got.Export), withoutPosition(want.Export))
		var blue, green migrate.Sums
		load(t, filepath.Join(dir, "sums.json"), &blue)
		if err := json.Unmarshal(n.get("/migrate/sums?side=own", keys.Cluster, "application/json"), &green); err != nil {
			t.Fatal(err)
		}
		if _, differ := migrate.Compare(blue, green); len(differ) > 0 {
			t.Errorf("the sums differ in the buckets %v", differ)
		}
		n.stop()

		n = start(t, data, envDeliver)
		n.fence(keys.Cluster, 1_000_000, false)
		goesOn(t, n, keys, want)
		n.stop()
		n = start(t, data)
		got = n.documents(keys)
		if len(got.Kinds["orders"]) != len(want.Kinds["orders"])+1 {
			t.Errorf("after another start there are %d orders, want one more than %d", len(got.Kinds["orders"]), len(want.Kinds["orders"]))
		}
	})
}

func TestOlderDirectoriesRemember(t *testing.T) {
	recordings(t, func(t *testing.T, dir string, keys tokens, _ documents) {
		var was past
		b, err := os.ReadFile(filepath.Join(dir, "past.json"))
		if errors.Is(err, fs.ErrNotExist) {
			return // a format that had neither history nor keys
		}
		if err == nil {
			err = json.Unmarshal(b, &was)
		}
		if err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(t.TempDir(), "data")
		unpack(t, filepath.Join(dir, "data.tar.gz"), data)
		n := start(t, data)
		compare(t, "the page of before", []json.RawMessage{n.pageAsOf(keys, was.AsOf)}, []json.RawMessage{was.Then})
		n.fence(keys.Cluster, 1_000_000, false)
		again := n.once(n.client(keys.Admin), was.Key)
		r, err := n.client(keys.Admin).Read(t.Context(), "things/once", kit.ReadOptions{})
		if err != nil || r.Version != 2 {
			t.Errorf("the write under a key was made again: version %d, %v; it answered %s", r.Version, err, again)
		}
	})
}

// envDeliver lets the pending operations of the recordings succeed.
const envDeliver = "SKEW_DELIVER=1"

// goesOn checks that a node whose fence was taken down allocates no id twice
// and carries on what was pending.
func goesOn(t *testing.T, n *node, keys tokens, want documents) {
	c := n.client(keys.Admin)
	order := create(t, c, "orders/", `{"item":"of the present"}`)
	for _, line := range want.Export {
		var d struct{ Link kit.Link }
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		if d.Link == order.Link {
			t.Errorf("the id of %s was allocated again", d.Link)
		}
	}
	n.until("the pending operation was carried out", func(ctx context.Context) error {
		r, err := c.Read(ctx, "things/waiting", kit.ReadOptions{})
		if err == nil && !bytes.Contains(r.Body, []byte(`"state":"delivered"`)) {
			err = errors.New("it is " + string(r.Body))
		}
		return err
	})
	r, err := c.Read(t.Context(), "things/waiting", kit.ReadOptions{})
	if err != nil || len(r.Pending) != 1 || r.Pending[0].At.Year() != 2900 {
		t.Errorf("after the operation %+v is pending, want the timer alone; %v", r.Pending, err)
	}
}

func TestOlderExportsAreTakenOver(t *testing.T) {
	recordings(t, func(t *testing.T, dir string, keys tokens, want documents) {
		source := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			name := map[string]string{"/migrate/export": "export.frames", "/migrate/status": "status.json"}[r.URL.Path]
			if r.Header.Get("Authorization") != "Bearer "+keys.Cluster || name == "" {
				http.Error(w, "the recording has no answer to "+r.URL.String(), http.StatusNotFound)
				return
			}
			http.ServeFile(w, r, filepath.Join(dir, name))
		}))
		defer source.Close()
		n := start(t, filepath.Join(t.TempDir(), "data"), "KIT_STANDBY=1", "KIT_TOKEN=skew")
		n.until("the recording was pulled", func(ctx context.Context) error {
			pulled, err := n.migration("skew").Pull(ctx, migrate.PullRequest{Source: source.URL, Token: keys.Cluster})
			if err == nil && pulled.Quarantined > 0 {
				t.Fatalf("documents were put into quarantine: %+v", pulled.Failed)
			}
			return err
		})
		got := n.documents(tokens{Admin: keys.Admin, Cluster: "skew"})
		for _, kind := range kinds {
			if kind != "marks" { // they stay where they were
				compare(t, kind, got.Kinds[kind], want.Kinds[kind])
			}
		}
		var blue, green migrate.Sums
		load(t, filepath.Join(dir, "sums.json"), &blue)
		if err := json.Unmarshal(n.get("/migrate/sums?side=origin", "skew", "application/json"), &green); err != nil {
			t.Fatal(err)
		}
		if _, differ := migrate.Compare(blue, green); len(differ) > 0 {
			t.Errorf("the sums differ in the buckets %v", differ)
		}
	})
}

// compare checks that the documents are the same, byte for byte but for the
// white space between their parts.
func compare(t *testing.T, what string, got, want []json.RawMessage) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		g, w := []byte("nothing"), []byte("nothing")
		if i < len(got) {
			g = compact(t, got[i])
		}
		if i < len(want) {
			w = compact(t, want[i])
		}
		if !bytes.Equal(g, w) {
			t.Errorf("document %d of %s is\n%s, want\n%s", i+1, what, g, w)
			return
		}
	}
}

func compact(t *testing.T, b json.RawMessage) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Compact(&out, b); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return out.Bytes()
}

// withoutPosition drops the last line of an export, its end.
func withoutPosition(lines []json.RawMessage) []json.RawMessage {
	return slices.Clone(lines[:max(0, len(lines)-1)])
}

// unpack extracts the archive into the new directory to. Zeros at the end of
// a file, which logs have many of, take no space.
func unpack(t *testing.T, archive, to string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	r := tar.NewReader(z)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(to, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o700)
		} else {
			err = extract(r, path)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func extract(r io.Reader, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.TrimRight(b, "\x00"))
	return errors.Join(err, f.Truncate(int64(len(b))), f.Close())
}
