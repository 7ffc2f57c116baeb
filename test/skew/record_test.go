package skew

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
)

var record = flag.String("record", "", "the name of a new folder under testdata to write")

// tokens are what opens a recorded directory.
type tokens struct {
	Admin   string `json:"admin"`
	Cluster string `json:"cluster"`
}

// documents are everything that a node held.
type documents struct {
	// Kinds are the live documents, as a list serves them.
	Kinds map[string][]json.RawMessage `json:"kinds"`
	// Export are the lines of an export: live documents and tombstones in order
	// of their last change.
	Export []json.RawMessage `json:"export"`
}

// past is what a node remembers beside its documents.
type past struct {
	Key  string          `json:"key"`  // under which Once was made
	Once json.RawMessage `json:"once"` // the document as it was answered
	AsOf string          `json:"asOf"` // a position of before
	Then json.RawMessage `json:"then"` // pages/a as it was there
}

// kinds are all that a node of the tests keeps.
var kinds = []string{"things", "orders", "marks", "labels", "tokens", "roles", "pages"}

// TestRecord writes a new folder if the flag -record names one.
func TestRecord(t *testing.T) {
	if *record == "" {
		return // there is nothing to record
	}
	to := filepath.Join("testdata", *record)
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	source := start(t, filepath.Join(t.TempDir(), "source"))
	keys := tokens{}
	source.until("there is a token", func(context.Context) (err error) {
		keys.Admin, err = secret(source.dir, "admin.token")
		return err
	})
	fillSource(t, source.client(keys.Admin))

	dir := filepath.Join(t.TempDir(), "data")
	n := start(t, dir, "KIT_STANDBY=1", snapshots)
	var err error
	if keys.Cluster, err = secret(dir, "cluster.token"); err != nil {
		t.Fatal(err)
	}
	from, err := secret(source.dir, "cluster.token")
	if err != nil {
		t.Fatal(err)
	}
	n.until("the source was pulled", func(ctx context.Context) error {
		_, err := n.migration(keys.Cluster).Pull(ctx, migrate.PullRequest{Source: source.url, Token: from})
		return err
	})
	n.fence(keys.Cluster, 2, false)
	fill(t, n.client(keys.Admin))
	was := n.pass(keys)
	n.until("there is a snapshot", func(ctx context.Context) error {
		_, err := n.client(keys.Admin).Do(ctx, "things/busy", "bump", nil)
		found, _ := filepath.Glob(filepath.Join(dir, "log", "snapshots", "*-*"))
		if err == nil && (len(found) == 0 || strings.HasSuffix(found[0], ".tmp")) {
			return errors.New("there is none yet")
		}
		return err
	})
	n.stop()

	n = start(t, dir) // without snapshots, so that the log goes on after the last
	fillAgain(t, n, n.client(keys.Admin))
	n.fence(keys.Cluster, 9, true)
	keep(t, to, n, keys, was)
	n.stop()
	archive(t, dir, filepath.Join(to, "data.tar.gz"))
}

// snapshots makes a node take a snapshot after few entries.
const snapshots = "SKEW_SNAPSHOT=60"

func secret(dir, name string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	return strings.TrimSpace(string(b)), err
}

func create(t *testing.T, c kit.Client, link kit.Link, body string) kit.Record {
	t.Helper()
	r, err := c.Create(t.Context(), link.Kind(), link.ID(), []byte(body))
	if err != nil {
		t.Fatalf("create %s: %v", link, err)
	}
	return r
}

// fillSource writes what the node will import.
func fillSource(t *testing.T, c kit.Client) {
	create(t, c, "things/imported", `{"name":"from elsewhere","count":3}`)
	create(t, c, "things/imported-changed", `{"name":"changed after its import"}`)
	create(t, c, "things/imported-deleted", `{"name":"deleted after its import"}`)
	create(t, c, "things/deleted", `{"name":"deleted at the source"}`)
	create(t, c, "orders/", `{"item":"first of the source"}`)
	create(t, c, "orders/", `{"item":"second of the source"}`)
	create(t, c, "orders/", `{"item":"third of the source"}`)
	change(t, c, kit.VerbDelete, "things/deleted", "")
	change(t, c, kit.VerbDelete, "orders/3", "")
}

// change updates or deletes the document, or sends it the event.
func change(t *testing.T, c kit.Client, verb kit.Verb, link kit.Link, body string) {
	t.Helper()
	w := kit.Write{Verb: verb, Link: link}
	if body != "" {
		w.Body = json.RawMessage(body)
	}
	if _, err := c.Batch(t.Context(), []kit.Write{w}); err != nil {
		t.Fatalf("%s %s: %v", verb, link, err)
	}
}

// fill writes documents in every form.
func fill(t *testing.T, c kit.Client) {
	create(t, c, "things/forms", `{"name":"Zoë \u00e9 \"quoted\" \\ <&> 漢字 🚢","count":-9223372036854775808,"ratio":1.5e-300,`+
		`"exact":123456789012345678901234567890.5,"on":true,"when":"1969-12-31T23:59:59.999999Z","tags":["","b","b"],`+
		`"labels":{"":"empty","z":"","a.b/c":"x"},"inner":{"text":"deep","parts":[{"text":"deeper","parts":[{"text":"deepest"}]}]},`+
		`"raw":{"b":[null,1.0,1e2,-0,"\u2028"],"a":{}}}`)
	create(t, c, "things/unknown", `{"name":"of a newer version","colour":{"of":"n","big":12345678901234567890,"float":0.1000},"nothing":null,"list":[]}`)
	create(t, c, "things/empty", `{"name":""}`)
	create(t, c, "things/sourced", `{"name":"evidence","source":"things/forms","expires":"2890-01-01T00:00:00.123456Z"}`)
	create(t, c, "things/busy", `{"name":"changes often"}`)
	create(t, c, "things/007", `{"name":"an id with leading zeros"}`)
	create(t, c, "things/7", `{"name":"an id that is a number"}`)
	create(t, c, "things/", `{"name":"an id that was allocated"}`)
	create(t, c, "things/waiting", `{"name":"has pending operations"}`)
	change(t, c, "post", "things/waiting", "")
	create(t, c, "marks/here", `{"text":"stays"}`)
	for i := range 3 {
		create(t, c, "orders/", fmt.Sprintf(`{"item":"order %d"}`, i))
	}
	create(t, c, "orders/11", `{"item":"chose its number"}`)
	create(t, c, "orders/by-name", `{"item":"has none"}`)
	change(t, c, kit.VerbUpdate, "things/imported-changed", `{"count":1}`)
	change(t, c, kit.VerbDelete, "things/imported-deleted", "")
	create(t, c, "things/again", `{"name":"will be deleted"}`)
	change(t, c, kit.VerbDelete, "things/again", "")
	create(t, c, "things/again", `{"name":"was created again"}`)
	if _, err := c.Batch(t.Context(), []kit.Write{
		{Verb: kit.VerbCreate, Link: "things/batch", Body: json.RawMessage(`{"name":"one of a batch","long":"` + strings.Repeat("x", 20_000) + `"}`)},
		{Verb: kit.VerbUpdate, Link: "things/batch", Body: json.RawMessage(`{"name":"twice in a batch"}`)},
		{Verb: kit.VerbCreate, Link: "orders/", Body: json.RawMessage(`{"item":"of the batch"}`)},
	}); err != nil {
		t.Fatal(err)
	}
}

// pass makes what a node has to remember.
func (n *node) pass(keys tokens) past {
	t, c := n.t, n.client(keys.Admin)
	create(t, c, "pages/a", `{"text":"first"}`)
	change(t, c, kit.VerbUpdate, "pages/a", `{"text":"second"}`)
	p, err := c.List(t.Context(), kit.Query{Kind: "pages"})
	if err != nil {
		t.Fatal(err)
	}
	was := past{Key: "skew-key", AsOf: p.Position}
	was.Then = n.pageAsOf(keys, was.AsOf)
	change(t, c, kit.VerbUpdate, "pages/a", `{"text":"third"}`)
	was.Once = n.once(c, was.Key)
	change(t, c, kit.VerbUpdate, "things/once", `{"count":1}`)
	return was
}

// pageAsOf returns pages/a as it was at the position.
func (n *node) pageAsOf(keys tokens, at string) json.RawMessage {
	n.t.Helper()
	return n.get("/api/pages/a?asOf="+at, keys.Admin, "application/json")
}

// once creates a document under the key.
func (n *node) once(c kit.Client, key string) json.RawMessage {
	n.t.Helper()
	r, err := c.Create(n.t.Context(), "things", "once", []byte(`{"name":"made once"}`), kit.Once(key))
	if err != nil {
		n.t.Fatalf("create a document under a key: %v", err)
	}
	return r.Body
}

// fillAgain writes what only the log has, after the last snapshot.
func fillAgain(t *testing.T, n *node, c kit.Client) {
	create(t, c, "things/late", `{"name":"after the snapshot","inner":{"text":"é"}}`)
	change(t, c, kit.VerbUpdate, "things/forms", `{"tags":null,"ratio":2}`)
	change(t, c, kit.VerbUpdate, "things/unknown", `{"colour":{"big":null},"name":"changed by an older one"}`)
	create(t, c, "things/late-deleted", `{"name":"deleted"}`)
	change(t, c, kit.VerbDelete, "things/late-deleted", "")
	last := create(t, c, "orders/", `{"item":"the last, whose number must not be used again"}`)
	change(t, c, kit.VerbDelete, last.Link, "")
	create(t, c, "things/expired", fmt.Sprintf(`{"name":"will expire","expires":%q}`, time.Now().Add(time.Second).Format(time.RFC3339Nano)))
	n.until("the expired is gone", func(ctx context.Context) error {
		_, err := c.Read(ctx, "things/expired", kit.ReadOptions{})
		if errors.Is(err, kit.ErrNotFound) {
			return nil
		}
		return errors.Join(errors.New("it is there"), err)
	})
	n.until("every thing has its label", func(ctx context.Context) error {
		_, err := c.Read(ctx, "labels/late", kit.ReadOptions{})
		return err
	})
}

// keep writes what the node answers.
func keep(t *testing.T, to string, n *node, keys tokens, was past) {
	put := func(name string, b []byte) {
		if err := os.WriteFile(filepath.Join(to, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	pretty := func(v any) []byte {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // documents keep their bytes
		e.SetIndent("", " ")
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	put("documents.json", pretty(n.documents(keys)))
	put("tokens.json", pretty(keys))
	put("past.json", pretty(was))
	put("export.frames", n.get("/migrate/export", keys.Cluster, "application/vnd.landfall.frames"))
	put("status.json", n.get("/migrate/status", keys.Cluster, "application/json"))
	put("sums.json", n.get("/migrate/sums?side=own", keys.Cluster, "application/json"))
}

// documents returns everything that the node holds.
func (n *node) documents(keys tokens) documents {
	n.t.Helper()
	d := documents{Kinds: map[string][]json.RawMessage{}}
	for _, kind := range kinds {
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := json.Unmarshal(n.get("/api/"+kind+"?limit=1000", keys.Admin, "application/json"), &page); err != nil || page.Next != "" {
			n.t.Fatalf("list %s: %v, next %q", kind, err, page.Next)
		}
		d.Kinds[kind] = page.Items
	}
	for line := range strings.Lines(string(n.get("/migrate/export", keys.Cluster, "application/x-ndjson"))) {
		d.Export = append(d.Export, json.RawMessage(strings.TrimSpace(line)))
	}
	return d
}

// archive packs the directory from into the file to.
func archive(t *testing.T, from, to string) {
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	err = w.AddFS(os.DirFS(from))
	if err = errors.Join(err, w.Close(), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}
