package platform_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/platform"
	"landfall.dev/kit/rest"
)

// photo names a blob.
type photo struct {
	kit.Meta
	File kit.Digest `json:"file"`
}

var (
	photos = kit.Define[photo]("photos")
	album  = kit.Service{Name: "album", Owns: []kit.Owned{kit.Own(photos, nil)}}
)

// blobLimit is how many bytes of blobs a node of a test keeps.
const blobLimit = 1 << 20

// request sends a request for a blob and returns its answer.
func request(t *testing.T, method, url, token, body string, header ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// keeps returns an error unless the node has the blob on its disk.
func keeps(m *member, d kit.Digest) error {
	_, err := os.Stat(filepath.Join(m.config.Data, "blobs", "sha256", d.Hex()[:2], d.Hex()))
	return err
}

func TestBlobsOutliveTheNodesThatHoldThem(t *testing.T) {
	dir := t.TempDir()
	config := func(name string) platform.Config {
		c := configIn(filepath.Join(dir, name))
		c.Blobs, c.Grace = blobLimit, 2*time.Second
		return c
	}
	nodes := []*member{enter(t, config("0"), album)}
	token, secret := adminToken(t, nodes[0]), clusterToken(t, nodes[0])
	urls := []string{nodes[0].url}
	join := func(name string, services ...kit.Service) *member {
		c := config(name)
		c.Join, c.Token = urls, secret
		return enter(t, c, services...)
	}
	for _, name := range []string{"1", "2"} {
		nodes = append(nodes, join(name, album))
		urls = append(urls, nodes[len(nodes)-1].url)
	}
	complete(t, urls, token, 3)

	text := strings.Repeat("a picture ", 10_000)
	picture := kit.DigestOf([]byte(text))
	client := clientOf(t, strings.Join(urls, ","), token, nil)
	if d, err := client.PutBlob(t.Context(), strings.NewReader(text)); err != nil || d != picture {
		t.Fatalf("put: %s, %v", d, err)
	}
	held := 0
	for _, m := range nodes {
		if keeps(m, picture) == nil {
			held++
		}
	}
	if held < 2 {
		t.Errorf("it was acknowledged, but %d of 3 nodes hold it", held)
	}
	if _, err := photos.Create(t.Context(), client, "1", photo{File: picture}); err != nil {
		t.Fatal(err)
	}

	nodes[1].stop() // and its data are gone
	urls = []string{urls[0], urls[2]}
	replacement := join("3", album)
	urls = append(urls, replacement.url)
	complete(t, urls, token, 3)
	until(t, "the blob at the voter that has replaced a dead one", patience, func(context.Context) error { return keeps(replacement, picture) })

	nodes[0].stop()
	until(t, "the blob of the node that came last", patience, func(ctx context.Context) error {
		b, err := replacement.node.Blobs().Open(ctx, picture)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(b)
		if string(got) != text {
			t.Errorf("it has %d bytes, want %d", len(got), len(text))
		}
		return errors.Join(err, b.Close())
	})
}

func TestACopyOutlivesTheNodeThatHasMadeIt(t *testing.T) {
	dir := t.TempDir()
	config := func(name string) platform.Config {
		c := configIn(filepath.Join(dir, name))
		c.Blobs = blobLimit
		return c
	}
	blue := enter(t, config("blue"), album)
	client := clientOf(t, blue.url, adminToken(t, blue), nil)
	named := map[kit.Digest]bool{}
	for i := range 20 {
		digest, _, err := blue.node.Blobs().Put(t.Context(), strings.NewReader(fmt.Sprint("picture ", i)), "")
		if err != nil {
			t.Fatal(err)
		}
		named[digest] = true
		if _, err := photos.Create(t.Context(), client, fmt.Sprint(i), photo{File: digest}); err != nil {
			t.Fatal(err)
		}
	}

	green := []*member{enter(t, config("green-0"), album)}
	token, secret := adminToken(t, green[0]), clusterToken(t, green[0])
	urls := []string{green[0].url}
	for _, name := range []string{"green-1", "green-2"} {
		c := config(name)
		c.Join, c.Token = urls[:1], secret
		green = append(green, enter(t, c, album))
		urls = append(urls, green[len(green)-1].url)
	}
	complete(t, urls, token, 3)
	to := &migrate.Client{URLs: urls, Token: secret}
	if _, err := to.Fence(t.Context(), 1, true); err != nil {
		t.Fatal(err)
	}
	refused := kit.DigestOf([]byte("refused"))
	for _, url := range urls {
		until(t, "the fence everywhere", patience, func(context.Context) error { // followers hear of it a moment later
			status, body := request(t, http.MethodPut, url+platform.BlobsPath+string(refused), token, "refused")
			if status != http.StatusMisdirectedRequest {
				return fmt.Errorf("a put into a fenced cluster: %d %s", status, body)
			}
			return nil
		})
	}
	if _, err := to.Pull(t.Context(), migrate.PullRequest{Source: blue.url, Token: clusterToken(t, blue)}); err != nil {
		t.Fatal(err)
	}
	blue.stop()
	green[leader(t, green)].stop()
	for _, m := range green {
		select {
		case <-m.done:
			continue
		default:
		}
		for digest := range named {
			until(t, "a blob at another node than the one that has made the copy", patience, func(ctx context.Context) error {
				b, err := m.node.Blobs().Open(ctx, digest)
				if err == nil {
					err = b.Close()
				}
				return err
			})
		}
	}
}

// leader returns which of the nodes leads.
func leader(t *testing.T, nodes []*member) (leads int) {
	t.Helper()
	until(t, "a leader", patience, func(context.Context) error {
		for i, m := range nodes {
			if platform.Leads(m.node) {
				leads = i
				return nil
			}
		}
		return errors.New("none leads")
	})
	return leads
}

func TestBlobsAreServedAsRolesAllow(t *testing.T) {
	c := configIn(t.TempDir())
	c.Blobs = blobLimit
	m, client, token := lone(t, c)
	poor, err := rest.MintToken(t.Context(), client, "users/ada", "without a role")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rest.Roles.Create(t.Context(), client, "", rest.Role{
		Subjects: []string{"users/eve"}, Rules: []rest.Rule{{Kinds: []string{"blobs"}, Verbs: []kit.Verb{kit.VerbRead}}},
	}); err != nil {
		t.Fatal(err)
	}
	reader, err := rest.MintToken(t.Context(), client, "users/eve", "who may read")
	if err != nil {
		t.Fatal(err)
	}
	digest := string(kit.DigestOf([]byte("0123456789")))
	for _, c := range []struct {
		name, method, token, digest, body string
		header                            []string
		status                            int
		want                              string
	}{
		{"nobody's put", "PUT", "", digest, "0123456789", nil, 401, "a token is needed"},
		{"a put without a role", "PUT", poor, digest, "0123456789", nil, 403, "may not create"},
		{"a put with a role to read", "PUT", reader, digest, "0123456789", nil, 403, "may not create"},
		{"an administrator's", "PUT", token, digest, "0123456789", nil, 201, `"size":10`},
		{"other bytes", "PUT", token, digest, "012345678", nil, 400, "have the digest"},
		{"too much", "PUT", token, digest, strings.Repeat("x", blobLimit+1), nil, 507, "keeps 1048576 bytes of blobs at most"},
		{"a get without a role", "GET", poor, digest, "", nil, 403, "may not read"},
		{"a get", "GET", reader, digest, "", nil, 200, "0123456789"},
		{"a head", "HEAD", reader, digest, "", nil, 200, ""},
		{"a part", "GET", reader, digest, "", []string{"Range", "bytes=2-4"}, 206, "234"},
		{"another one", "GET", reader, string(kit.DigestOf(nil)), "", nil, 404, "there is no blob"},
		{"no digest", "GET", reader, "cat", "", nil, 400, "is no digest"},
	} {
		status, body := request(t, c.method, m.url+platform.BlobsPath+c.digest, c.token, c.body, c.header...)
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: %d %q, want %d with %q", c.name, status, body, c.status, c.want)
		}
	}
	theirs, err := client.OpenBlob(t.Context(), kit.Digest(digest))
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	if got, err := io.ReadAll(theirs); string(got) != "0123456789" || err != nil {
		t.Errorf("opened: %q, %v", got, err)
	}
	for d, want := range map[kit.Digest]bool{kit.Digest(digest): true, kit.DigestOf(nil): false} {
		if has, err := client.HasBlob(t.Context(), d); has != want || err != nil {
			t.Errorf("has %s: %v, %v", d, has, err)
		}
	}
	if d, err := client.PutBlob(t.Context(), strings.NewReader("")); err != nil || d != kit.DigestOf(nil) {
		t.Errorf("put nothing: %s, %v", d, err)
	}
	if lone, _, _ := lone(t, configIn(t.TempDir())); lone.node.Blobs() != nil {
		t.Error("a platform without Config.Blobs keeps some")
	}
}
