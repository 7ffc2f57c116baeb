package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// A cache is a volume, what is written over one is three: what was written, a
// directory that the kernel works in, and the view of both that containers are
// given. A mark, which is empty, tells by a label when a task ended that had it.
const (
	viewPart = ".view"
	workPart = ".work"
	markPart = ".used"
)

// cacheMounts makes the volumes of caches, where they are missing, and returns
// how a container sees them. e.caches is held until there is that container.
func (e *Engine) cacheMounts(ctx context.Context, caches []engine.Cache) ([]mount.Mount, error) {
	var mounts []mount.Mount
	for _, c := range caches {
		volume := e.volumeName(c.Name)
		shared, err := e.volume(ctx, volume, nil, titleLabels(c, ""))
		if err == nil && c.Own != "" {
			volume, err = e.overlay(ctx, shared, c)
		}
		if err != nil {
			return nil, fmt.Errorf("cache %s: %w", c.Title, err)
		}
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeVolume, Source: volume, Target: c.Path,
			VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		})
	}
	return mounts, nil
}

func (e *Engine) volumeName(cache string) string { return "landfall-" + e.owner + "-cache-" + cache }

// titleLabels are those of the volumes of c, or of what is written over it as
// own.
func titleLabels(c engine.Cache, own string) map[string]string {
	labels := map[string]string{labelCache: c.Name, labelProject: c.Title.Project, labelKey: c.Title.Key}
	if own != "" {
		labels[labelOwn], labels[labelOf] = own, c.Title.Of
	}
	return labels
}

// volume makes a volume, unless it is there, and returns its directory on the
// daemon's machine.
func (e *Engine) volume(ctx context.Context, name string, options, labels map[string]string) (string, error) {
	labels[labelOwner] = e.owner
	made, err := e.client.VolumeCreate(ctx, client.VolumeCreateOptions{Name: name, DriverOpts: options, Labels: labels})
	return made.Volume.Mountpoint, err
}

// overlay makes the volume that shows what is in c.Own over what is in the
// directory shared, and writes to the former only: a file system of the kernel's.
func (e *Engine) overlay(ctx context.Context, shared string, c engine.Cache) (string, error) {
	own := e.volumeName(c.Own)
	view := own + viewPart
	if _, err := e.client.VolumeInspect(ctx, view, client.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
		return view, err
	}
	upper, err := e.volume(ctx, own, nil, titleLabels(c, c.Own))
	if err != nil {
		return "", err
	}
	work, err := e.volume(ctx, own+workPart, nil, titleLabels(c, c.Own))
	if err != nil {
		return "", err
	}
	_, err = e.volume(ctx, view, map[string]string{
		"type": "overlay", "device": "overlay", "o": "lowerdir=" + shared + ",upperdir=" + upper + ",workdir=" + work,
	}, titleLabels(c, c.Own))
	return view, err
}

// give makes a directory of a container that was not started yet one that user,
// "uid:gid", may write to.
func (e *Engine) give(ctx context.Context, id, dir, user string) error {
	uid, gid, _ := strings.Cut(user, ":")
	h := &tar.Header{Typeflag: tar.TypeDir, Name: path.Base(dir) + "/", Mode: 0o1777}
	h.Uid, _ = strconv.Atoi(uid)
	h.Gid, _ = strconv.Atoi(gid)
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := e.client.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: path.Dir(dir), Content: &archive})
	return err
}

// Cached asks the daemon for the volumes of caches.
func (e *Engine) Cached(ctx context.Context, caches []engine.Cache) (int, error) {
	found := 0
	for _, c := range caches {
		_, err := e.client.VolumeInspect(ctx, e.volumeName(c.Name), client.VolumeInspectOptions{})
		switch {
		case err == nil:
			found++
		case !errdefs.IsNotFound(err):
			return 0, err
		}
	}
	return found, nil
}
