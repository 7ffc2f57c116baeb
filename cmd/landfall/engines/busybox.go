package engines

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// buildImage makes the image ref, with a shell and the usual tools, out of a
// static busybox, for builds whose jobs name no image.
func buildImage(ctx context.Context, ref, busybox string) (v1.Image, error) {
	img, err := busyboxImage(ctx, busybox)
	if err != nil {
		return nil, fmt.Errorf("the image %s for builds cannot be made from %s: %w; install busybox-static, or name another by --busybox", ref, busybox, err)
	}
	return img, nil
}

func busyboxImage(ctx context.Context, path string) (v1.Image, error) {
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	list, err := exec.CommandContext(ctx, path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	t := tar.NewWriter(&layer)
	headers := []*tar.Header{
		{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "etc/", Mode: 0o755},
		{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777},
		{Typeflag: tar.TypeReg, Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))},
	}
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			headers = append(headers, &tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + applet, Linkname: "busybox", Mode: 0o777})
		}
	}
	for _, h := range headers {
		if err := t.WriteHeader(h); err != nil {
			return nil, err
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := t.Write(program); err != nil {
				return nil, err
			}
		}
	}
	if err := t.Close(); err != nil {
		return nil, err
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: runtime.GOARCH,
		OS:           "linux",
		Config:       v1.Config{Env: []string{"PATH=/bin"}},
		RootFS:       mustRootFS(img),
	})
}

// mustRootFS returns the layers of an image that is in memory.
func mustRootFS(img v1.Image) v1.RootFS {
	c, err := img.ConfigFile()
	if err != nil {
		panic("landfall: " + err.Error())
	}
	return c.RootFS
}
