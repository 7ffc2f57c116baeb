package agent

import (
	"context"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"landfall.dev/kit"
)

// image is an image whose parts are all in blobs. It implements
// partial.CompressedImageCore.
type image struct {
	blobs    kit.Blobs
	raw      []byte // the manifest
	manifest *v1.Manifest
	config   []byte
}

func newImage(ctx context.Context, blobs kit.Blobs, raw []byte, m *v1.Manifest) (v1.Image, error) {
	b, err := blobs.Open(ctx, kit.Digest(m.Config.Digest.String()))
	if err != nil {
		return nil, err
	}
	defer b.Close()
	config, err := io.ReadAll(b)
	if err != nil {
		return nil, err
	}
	return partial.CompressedToImage(image{blobs, raw, m, config})
}

// MediaType implements partial.CompressedImageCore.
func (i image) MediaType() (types.MediaType, error) {
	if i.manifest.MediaType == "" {
		return types.OCIManifestSchema1, nil
	}
	return i.manifest.MediaType, nil
}

// RawManifest implements partial.CompressedImageCore.
func (i image) RawManifest() ([]byte, error) { return i.raw, nil }

// RawConfigFile implements partial.CompressedImageCore.
func (i image) RawConfigFile() ([]byte, error) { return i.config, nil }

// LayerByDigest implements partial.CompressedImageCore.
func (i image) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, l := range append([]v1.Descriptor{i.manifest.Config}, i.manifest.Layers...) {
		if l.Digest == h {
			return layer{i.blobs, l}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// layer is one blob of an image. It implements partial.CompressedLayer.
type layer struct {
	blobs kit.Blobs
	v1.Descriptor
}

// Digest implements partial.CompressedLayer.
func (l layer) Digest() (v1.Hash, error) { return l.Descriptor.Digest, nil }

// Compressed implements partial.CompressedLayer.
func (l layer) Compressed() (io.ReadCloser, error) {
	return l.blobs.Open(context.Background(), kit.Digest(l.Descriptor.Digest.String()))
}

// Size implements partial.CompressedLayer.
func (l layer) Size() (int64, error) { return l.Descriptor.Size, nil }

// MediaType implements partial.CompressedLayer.
func (l layer) MediaType() (types.MediaType, error) { return l.Descriptor.MediaType, nil }
