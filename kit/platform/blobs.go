package platform

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"

	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/rest/client"
	"landfall.dev/kit/store"
)

// BlobsPath is where clients put, get and, by HEAD, ask for blobs, with the digest
// after it. Their roles must allow them to create or read blobs.
const BlobsPath = client.BlobsPath

// blobsLink stands for the blobs in roles.
const blobsLink kit.Link = "blobs/"

// blobsDirectory is where they are in the data directory.
const blobsDirectory = "blobs"

// Blobs returns the blobs of the cluster, nil where Config.Blobs is 0. They can
// be used once the node runs.
func (n *Node) Blobs() kit.SharedBlobs {
	if n.blobs == nil {
		return nil
	}
	return n.blobs
}

// openBlobs makes the node keep blobs, if it is to.
func (n *Node) openBlobs(kinds *store.Kinds) error {
	if n.config.Blobs <= 0 {
		return nil
	}
	m := hmac.New(sha256.New, []byte(n.config.Token))
	m.Write([]byte("landfall: blobs between nodes"))
	var err error
	n.blobs, err = shared.Open(shared.Config{
		Dir: n.config.path(blobsDirectory), Limit: n.config.Blobs, Unnamed: n.config.BlobsUnnamed,
		Cluster: blobsCluster{n, kinds}, Secret: hex.EncodeToString(m.Sum(nil)), Transport: &peerTransport{node: n}, Logger: n.log,
	})
	if err != nil {
		return err
	}
	n.member.blobs = n.blobs
	files := blob.Handler(n.blobs)
	n.Add(kit.Service{Name: "blobs", Runs: []func(context.Context) error{n.blobs.Run}, Serves: append(n.blobs.Peers(),
		kit.Route{Pattern: "GET " + BlobsPath + "{digest}", Handler: mayBlobs(kit.VerbRead, n.kept(files))},
		kit.Route{Pattern: "PUT " + BlobsPath + "{digest}", Handler: mayBlobs(kit.VerbCreate, blob.Handler(unfenced{n.blobs, n.store}))},
	)})
	return nil
}

// kept has the cluster keep a blob that is asked for by HEAD.
func (n *Node) kept(next http.Handler) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			if _, err := n.blobs.Has(r.Context(), kit.Digest(r.PathValue("digest"))); err != nil {
				return err
			}
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// mayBlobs lets callers through who may do v to blobs.
func mayBlobs(v kit.Verb, next http.Handler) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if err := kit.CallerOf(r.Context()).May(v, blobsLink); err != nil {
			return err
		}
		next.ServeHTTP(w, r)
		return nil
	})
}

// unfenced refuses puts while the cluster is fenced, as its documents do. One
// that the fence has overtaken is refused too: the other side may not get it.
type unfenced struct {
	*shared.Blobs
	store *store.Store
}

// Put implements blob.Source.
func (u unfenced) Put(ctx context.Context, r io.Reader, want kit.Digest) (kit.Digest, int64, error) {
	if err := u.fenced(); err != nil {
		return "", 0, err
	}
	d, n, err := u.Blobs.Put(ctx, r, want)
	if err == nil {
		err = u.fenced()
	}
	return d, n, err
}

func (u unfenced) fenced() error {
	if _, on := u.store.Fenced(); !on {
		return nil
	}
	return &kit.Error{Fault: kit.ErrFenced, Detail: "this side takes no blobs: it is fenced for an upgrade", Hint: "send them to the side that has taken over"}
}

// blobsCluster is what the blobs know of the node's cluster.
type blobsCluster struct {
	node  *Node
	kinds *store.Kinds
}

// Nodes implements shared.Cluster.
func (c blobsCluster) Nodes() (nodes []shared.Node, self string) {
	m := c.node.member.p.Load()
	if m == nil {
		return nil, ""
	}
	for _, o := range m.Members() {
		nodes = append(nodes, shared.Node{ID: o.ID, URL: o.URL, Voter: o.Voter, Leader: o.Leader, Alive: o.Alive})
	}
	return nodes, m.ID()
}

// CatchUp implements shared.Cluster.
func (c blobsCluster) CatchUp(ctx context.Context) error { return c.node.member.CatchUp(ctx) }

// Named implements shared.Cluster. The documents of a service that is absent,
// and those of a side that is being filled, name others.
func (c blobsCluster) Named() (named map[kit.Digest]bool, complete bool, err error) {
	named = map[kit.Digest]bool{}
	kinds := map[string]kit.Owned{}
	for _, name := range c.kinds.Names() {
		if k, ok := c.kinds.Find(name); ok && k.NamesDigests() {
			kinds[name] = k
		}
	}
	_, fenced := c.node.store.Fenced()
	complete = !fenced && !c.node.absent
	if len(kinds) == 0 {
		return named, complete, nil
	}
	pieces, err := c.node.store.Snapshot().Pieces(kit.Position{}, kit.Position{})
	if err != nil {
		return nil, false, err
	}
	for p := range pieces {
		if k, ok := kinds[string(p.Kind())]; ok && !p.Deleted() {
			for _, d := range k.Digests(p.Frame().Record.Body) {
				named[d.Digest] = true
			}
		}
	}
	return named, complete, nil
}
