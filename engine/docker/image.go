package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/errdefs"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// Load hands img to the daemon, unless it has it under ref.
func (e *Engine) Load(ctx context.Context, img v1.Image, ref string) error {
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	tag, err := localTag(ref)
	if err != nil {
		return err
	}
	if d, err := name.NewDigest(ref); err == nil && d.DigestStr() != digest.String() {
		return fmt.Errorf("%w image reference %s: the image's digest is %s", engine.ErrInvalid, ref, digest)
	}
	there, err := e.has(ctx, img, tag)
	if err == nil && !there {
		err = e.load(ctx, img, tag)
	}
	if err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	return nil
}

// localTag is what the daemon knows a loaded image by. It refuses to tag by
// digest, so the digest becomes the tag.
func localTag(ref string) (name.Tag, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return name.Tag{}, fmt.Errorf("%w image reference %q: want name@sha256:… or name:tag", engine.ErrInvalid, ref)
	}
	if d, ok := parsed.(name.Digest); ok {
		hash, err := v1.NewHash(d.DigestStr())
		if err != nil {
			return name.Tag{}, fmt.Errorf("%w image reference %q: %w", engine.ErrInvalid, ref, err)
		}
		return d.Context().Tag(hash.Algorithm + "-" + hash.Hex), nil
	}
	return parsed.Context().Tag(parsed.Identifier()), nil
}

// has reports whether the daemon knows img as tag. An image's id is its
// configuration's digest, or, where containerd stores images, its own.
func (e *Engine) has(ctx context.Context, img v1.Image, tag name.Tag) (bool, error) {
	found, err := e.client.ImageInspect(ctx, tag.Name())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	config, err := img.ConfigName()
	if err != nil {
		return false, err
	}
	digest, err := img.Digest()
	return found.ID == config.String() || found.ID == digest.String(), err
}

func (e *Engine) load(ctx context.Context, img v1.Image, tag name.Tag) error {
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := tarball.Write(tag, img, w)
		w.CloseWithError(err)
		written <- err
	}()
	loadErr := e.send(ctx, r)
	r.CloseWithError(errors.New("the daemon does not read on"))
	// The cause is the writer's error, if it has one of its own.
	if err := <-written; err != nil && loadErr == nil {
		return err
	}
	if loadErr != nil {
		return loadErr
	}
	there, err := e.has(ctx, img, tag)
	if err == nil && !there {
		err = errors.New("the daemon took it, but does not have it under this name")
	}
	return err
}

// send streams an archive to the daemon, which tells errors in its answer.
func (e *Engine) send(ctx context.Context, archive io.Reader) error {
	answer, err := e.client.ImageLoad(ctx, archive, client.ImageLoadWithQuiet(true))
	if err != nil {
		return err
	}
	defer answer.Close()
	for d := json.NewDecoder(answer); ; {
		var m jsonstream.Message
		if err := d.Decode(&m); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if m.Error != nil {
			return m.Error
		}
	}
}

// image returns the id of the image ref.
func (e *Engine) image(ctx context.Context, ref string) (string, error) {
	found, err := e.inspect(ctx, ref)
	return found.ID, err
}

// Find returns the image by its digest in the registry that it was pulled from
// or loaded as, else by its id.
func (e *Engine) Find(ctx context.Context, ref string) (string, error) {
	if _, err := name.NewDigest(ref); err == nil {
		_, err := e.inspect(ctx, ref)
		return ref, err
	}
	found, err := e.inspect(ctx, ref)
	if err != nil {
		return "", err
	}
	if len(found.RepoDigests) > 0 {
		return found.RepoDigests[0], nil
	}
	return found.ID, nil
}

// inspect returns the image that the daemon knows as ref, because it was pulled
// or built there, or by ref's local tag.
func (e *Engine) inspect(ctx context.Context, ref string) (image.InspectResponse, error) {
	tag, err := localTag(ref)
	if err != nil {
		return image.InspectResponse{}, err
	}
	for _, known := range []string{ref, tag.Name()} {
		found, err := e.client.ImageInspect(ctx, known)
		if err == nil {
			return found.InspectResponse, nil
		}
		if !errdefs.IsNotFound(err) {
			return image.InspectResponse{}, fmt.Errorf("image %s: %w", ref, err)
		}
	}
	return image.InspectResponse{}, fmt.Errorf("image %s is %w", ref, engine.ErrNoImage)
}
