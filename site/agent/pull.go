package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"landfall.dev/engine"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
)

// puller brings images from the hub's registry to the engine, by digest. What
// was fetched stays, also a part of a layer:
//
//	blobs/            what is complete and was verified
//	partial/HEX       the beginning of a blob
type puller struct {
	hub    *hub
	engine engine.Engine
	dir    string
	// patience is how long the engine may fail to load an image.
	patience time.Duration

	one   chan struct{} // of capacity 1: held by the pull that runs
	blobs *blob.Disk    // opened by the first pull; guarded by one
}

// maxLayer is the size limit of a blob of an image, in bytes.
const maxLayer = 1 << 40

func newPuller(h *hub, e engine.Engine, dir string) *puller {
	return &puller{hub: h, engine: e, dir: dir, patience: 2 * time.Minute, one: make(chan struct{}, 1)}
}

// pull makes the image ref, "ledger@sha256:...", available to the engine. A
// temporary error (see kit.Temporary) may be followed by another try, which
// goes on where this one ended.
func (p *puller) pull(ctx context.Context, ref string) error {
	parsed, err := name.NewDigest(ref)
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "image %q is not named by its digest, as in ledger@sha256:...", ref)
	}
	repository, digest, _ := strings.Cut(ref, "@")
	select {
	case p.one <- struct{}{}:
		defer func() { <-p.one }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := p.open(); err != nil {
		return err
	}
	img, err := p.image(ctx, repository, kit.Digest(digest))
	if err != nil {
		return fmt.Errorf("pull %s: %w", parsed, err)
	}
	return p.load(ctx, img, ref)
}

// load hands img to the engine. Whether an engine is away or does not want the
// image cannot be told, so it is tried for a while.
func (p *puller) load(ctx context.Context, img v1.Image, ref string) error {
	until := time.Now().Add(p.patience)
	wait := pause{first: time.Second, longest: 30 * time.Second}
	for {
		err := p.engine.Load(ctx, img, ref)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, engine.ErrInvalid) || time.Now().After(until):
			return kit.Errorf(kit.ErrConflict, "", "the image cannot be loaded: %v", err)
		}
		sleep(ctx, wait.longer(), nil)
	}
}

func (p *puller) open() (err error) {
	if p.blobs != nil {
		return nil
	}
	if err := os.MkdirAll(p.partial(""), 0o700); err != nil {
		return err
	}
	p.blobs, err = blob.Open(filepath.Join(p.dir, "blobs"))
	return err
}

// image fetches what is missing of the image with the digest.
func (p *puller) image(ctx context.Context, repository string, d kit.Digest) (v1.Image, error) {
	raw, err := p.manifest(ctx, repository, d)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(raw))
	if err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "its manifest cannot be read: %v", err)
	}
	switch m.MediaType {
	case types.OCIManifestSchema1, types.DockerManifestSchema2, "":
	default:
		return nil, kit.Errorf(kit.ErrInvalid, "", "it is a %s, not an image for one platform: deploy the digest of the image itself", m.MediaType)
	}
	for _, part := range append([]v1.Descriptor{m.Config}, m.Layers...) {
		if err := p.fetch(ctx, repository, kit.Digest(part.Digest.String()), part.Size); err != nil {
			return nil, err
		}
	}
	return newImage(ctx, p.blobs, raw, m)
}

// manifest returns the bytes of the manifest d.
func (p *puller) manifest(ctx context.Context, repository string, d kit.Digest) ([]byte, error) {
	if b, err := p.blobs.Open(ctx, d); err == nil {
		defer b.Close()
		return io.ReadAll(b)
	}
	accept := []string{string(types.OCIManifestSchema1), string(types.DockerManifestSchema2), string(types.OCIImageIndex), string(types.DockerManifestList)}
	raw, err := p.hub.read(ctx, "/v2/"+repository+"/manifests/"+string(d), maxAnswer, http.Header{"Accept": accept})
	if err != nil {
		return nil, registryError(err, "manifest")
	}
	if got := kit.DigestOf(raw); got != d {
		return nil, kit.Errorf(kit.ErrInvalid, "", "the hub sent a manifest with the digest %s", got)
	}
	_, _, err = p.blobs.Put(ctx, bytes.NewReader(raw), d)
	return raw, err
}

// fetch makes sure that the blob d is here.
func (p *puller) fetch(ctx context.Context, repository string, d kit.Digest, size int64) error {
	if err := d.Check(); err != nil {
		return err
	}
	if size < 0 || size > maxLayer {
		return kit.Errorf(kit.ErrInvalid, "", "its manifest says that the blob %s has %d bytes: 0 to %d are possible", d, size, int64(maxLayer))
	}
	if b, err := p.blobs.Open(ctx, d); err == nil {
		return b.Close()
	}
	path := p.partial(d)
	info, err := os.Stat(path)
	resumed := err == nil && info.Size() > 0
	for {
		if err := p.download(ctx, repository, d, size); err != nil {
			return err
		}
		err := p.keep(ctx, path, d)
		if !errors.Is(err, kit.ErrInvalid) {
			return err
		}
		// What a crash has left may be damaged, what was just sent must not be.
		if err := os.Remove(path); err != nil {
			return err
		}
		if !resumed {
			return kit.Errorf(kit.ErrInvalid, "", "the hub sent other bytes than those of the blob %s", d)
		}
		resumed = false
	}
}

// keep moves the complete file at path to the blobs, if it is d.
func (p *puller) keep(ctx context.Context, path string, d kit.Digest) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, err := p.blobs.Put(ctx, f, d); err != nil {
		return err
	}
	return os.Remove(path)
}

// download completes the partial file of d. As long as each connection brings
// something, it goes on with the next.
func (p *puller) download(ctx context.Context, repository string, d kit.Digest, size int64) error {
	f, err := os.OpenFile(p.partial(d), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	etag := "" // of what the file is the beginning of, once a response has told
	for have != size {
		if have > size {
			if have, err = restart(f); err != nil {
				return err
			}
		}
		before := have
		have, err = p.more(ctx, f, "/v2/"+repository+"/blobs/"+string(d), have, size, &etag)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && (have <= before || !errors.Is(err, errCut)) {
			return registryError(err, "blob "+string(d))
		}
	}
	return nil
}

// errCut says that a connection ended before the blob did.
var errCut = &kit.Error{Fault: kit.ErrUnavailable, Detail: "the connection to the hub was cut"}

// errShort says that the blob is smaller than it should be.
var errShort = &kit.Error{Fault: kit.ErrInvalid, Detail: "the hub has fewer bytes of it than its manifest says"}

// more appends to f, which has the first bytes of the blob at path, what one
// response brings, and returns how many there are now.
func (p *puller) more(ctx context.Context, f *os.File, path string, have, size int64, etag *string) (int64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(2*hubSilence, func() { cancel(errCut) })
	defer stalled.Stop()
	header := http.Header{}
	if have > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", have))
		if *etag != "" {
			header.Set("If-Range", *etag)
		}
	}
	res, err := p.hub.get(ctx, path, header)
	if errors.Is(err, kit.Fault(http.StatusRequestedRangeNotSatisfiable)) {
		return have, errShort // it ends before what the manifest says
	}
	if err != nil {
		return have, err
	}
	defer res.Body.Close()
	*etag = res.Header.Get("ETag")
	if res.StatusCode != http.StatusPartialContent && have > 0 {
		if have, err = restart(f); err != nil {
			return have, err
		}
	}
	n, err := io.Copy(f, alive{io.LimitReader(res.Body, size-have), stalled})
	have += n
	var disk *fs.PathError
	switch {
	case errors.As(err, &disk):
		return have, err
	case have < size && err == nil && res.StatusCode == http.StatusOK && res.ContentLength >= 0:
		return have, errShort // all of it has come
	case have < size:
		return have, errCut
	}
	return have, nil
}

// alive puts a timer off whenever something was read.
type alive struct {
	io.Reader
	silence *time.Timer
}

func (a alive) Read(b []byte) (int, error) {
	n, err := a.Reader.Read(b)
	if n > 0 {
		a.silence.Reset(2 * hubSilence)
	}
	return n, err
}

// restart empties f.
func restart(f *os.File) (int64, error) {
	if err := f.Truncate(0); err != nil {
		return 0, err
	}
	_, err := f.Seek(0, io.SeekStart)
	return 0, err
}

func (p *puller) partial(d kit.Digest) string { return filepath.Join(p.dir, "partial", d.Hex()) }

// registryError puts an error of the hub's registry, whose bodies are those of
// the OCI specification, in words.
func registryError(err error, what string) error {
	var e *kit.Error
	if !errors.As(err, &e) {
		return err
	}
	var body struct {
		Errors []struct{ Message string }
	}
	if json.Unmarshal([]byte(e.Detail), &body) == nil && len(body.Errors) > 0 {
		return kit.Errorf(e.Fault, "", "the hub refused the %s: %s", what, body.Errors[0].Message)
	}
	return fmt.Errorf("%s: %w", what, err)
}
