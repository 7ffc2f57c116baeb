package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// keepOwn is how long what a task writes over a shared cache is kept.
const keepOwn = 7 * 24 * time.Hour

// cacheMounts makes the volumes of caches, where they are missing, and returns
// how a container sees them.
func (e *Engine) cacheMounts(ctx context.Context, caches []engine.Cache) ([]mount.Mount, error) {
	var mounts []mount.Mount
	for _, c := range caches {
		volume := e.volumeName(c.Name)
		shared, err := e.volume(ctx, volume, nil)
		if err == nil && c.Own != "" {
			volume, err = e.overlay(ctx, shared, e.volumeName(c.Own))
		}
		if err != nil {
			return nil, fmt.Errorf("cache %s: %w", c.Name, err)
		}
		mounts = append(mounts, mount.Mount{
			Type: mount.TypeVolume, Source: volume, Target: c.Path,
			VolumeOptions: &mount.VolumeOptions{NoCopy: true},
		})
	}
	return mounts, nil
}

func (e *Engine) volumeName(cache string) string { return "landfall-" + e.owner + "-cache-" + cache }

// volume makes a volume, unless it is there, and returns its directory on the
// daemon's machine.
func (e *Engine) volume(ctx context.Context, name string, options map[string]string) (string, error) {
	made, err := e.client.VolumeCreate(ctx, client.VolumeCreateOptions{
		Name: name, DriverOpts: options, Labels: map[string]string{labelOwner: e.owner, labelCache: name},
	})
	return made.Volume.Mountpoint, err
}

// overlay makes the volume that shows what is in own over what is in the
// directory shared, and writes to own only: a file system of the kernel's.
func (e *Engine) overlay(ctx context.Context, shared, own string) (string, error) {
	view := own + ".view"
	if _, err := e.client.VolumeInspect(ctx, view, client.VolumeInspectOptions{}); !errdefs.IsNotFound(err) {
		return view, err
	}
	if err := e.forgetOwn(ctx, time.Now()); err != nil {
		return "", err
	}
	upper, err := e.volume(ctx, own, nil)
	if err != nil {
		return "", err
	}
	work, err := e.volume(ctx, own+".work", nil)
	if err != nil {
		return "", err
	}
	_, err = e.volume(ctx, view, map[string]string{
		"type": "overlay", "device": "overlay", "o": "lowerdir=" + shared + ",upperdir=" + upper + ",workdir=" + work,
	})
	return view, err
}

// forgetOwn removes what tasks wrote over shared caches so long ago that nobody
// needs it, unless it is in use.
func (e *Engine) forgetOwn(ctx context.Context, now time.Time) error {
	list, err := e.client.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("label", labelOwner+"="+e.owner, labelCache)})
	if err != nil {
		return err
	}
	for _, v := range list.Items {
		base, isView := strings.CutSuffix(v.Name, ".view")
		made, err := time.Parse(time.RFC3339, v.CreatedAt)
		if !isView || err != nil || now.Sub(made) < keepOwn {
			continue
		}
		// The view goes first: as long as it is in use, the others stay.
		for _, name := range []string{v.Name, base, base + ".work"} {
			_, err := e.client.VolumeRemove(ctx, name, client.VolumeRemoveOptions{})
			if errdefs.IsConflict(err) {
				break
			}
			if err != nil && !errdefs.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
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
