package docker

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// errTooLarge means that a workspace has more bytes than a task may write.
var errTooLarge = errors.New("more than the limit")

// ownMounts are the directories that belong to the task alone: where the daemon
// is elsewhere, they are copied there and back.
func ownMounts(t engine.Task) []engine.Mount {
	own := []engine.Mount{{Host: t.Dir, Target: engine.WorkPath, Own: true}}
	for _, m := range t.Mounts {
		if m.Own {
			own = append(own, m)
		}
	}
	return own
}

// mount shows a directory of this machine in a container; elsewhere an own one
// is an empty volume of the task, which is removed with the container.
func (e *Engine) mount(task string, m engine.Mount) mount.Mount {
	if e.host.elsewhere && m.Own {
		labels := map[string]string{labelOwner: e.owner, labelBeside: task}
		return mount.Mount{Type: mount.TypeVolume, Target: m.Target, VolumeOptions: &mount.VolumeOptions{NoCopy: true, Labels: labels}}
	}
	return bind(m.Host, m.Target, m.ReadOnly)
}

// copyIn copies the task's own directories into its container, which was not
// started yet, unless the daemon sees them.
func (e *Engine) copyIn(ctx context.Context, id string, t engine.Task) error {
	if !e.host.elsewhere {
		return nil
	}
	for _, m := range ownMounts(t) {
		r, w := io.Pipe()
		go func() { w.CloseWithError(archive(w, path.Base(m.Target), m.Host)) }()
		// The daemon leaves the owner of the directory that it unpacks into alone.
		_, err := e.client.CopyToContainer(ctx, id, client.CopyToContainerOptions{DestinationPath: path.Dir(m.Target), Content: r})
		r.Close()
		if err != nil {
			return fmt.Errorf("copy %s to %s: %w", m.Target, e.host.address, err)
		}
	}
	return nil
}

// copyOut copies what the container has made of the task's own directories back.
func (e *Engine) copyOut(ctx context.Context, id string, t engine.Task) error {
	if !e.host.elsewhere {
		return nil
	}
	left := int64(1 << 62)
	if t.Limits.DiskMB > 0 {
		left = t.Limits.DiskMB << 20
	}
	for _, m := range ownMounts(t) {
		if m.ReadOnly {
			continue
		}
		from, err := e.client.CopyFromContainer(ctx, id, client.CopyFromContainerOptions{SourcePath: m.Target})
		if err == nil {
			err = empty(m.Host)
		}
		if err == nil {
			left, err = unpack(from.Content, path.Base(m.Target), m.Host, left)
		}
		if from.Content != nil {
			from.Content.Close()
		}
		if err != nil {
			return fmt.Errorf("copy %s back from %s: %w", m.Target, e.host.address, err)
		}
	}
	return nil
}

// archive writes the directory, as base, as a tar archive with its owners. What is
// neither file, directory nor symbolic link is left out.
func archive(to io.Writer, base, dir string) error {
	w := tar.NewWriter(to)
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		within, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
			return err
		}
		return archiveEntry(w, name, path.Join(base, filepath.ToSlash(within)), info)
	})
	return errors.Join(err, w.Close())
}

func archiveEntry(w *tar.Writer, name, as string, info fs.FileInfo) error {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(name); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	h.Name, h.Uname, h.Gname = as, "", ""
	if info.IsDir() {
		h.Name += "/"
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		h.Uid, h.Gid = int(s.Uid), int(s.Gid)
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// empty removes all that is in a directory.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, entry.Name())))
	}
	return err
}

// unpack writes the archive of the directory base, which a build had its hands
// on, into dir and nowhere else. It returns how many bytes are left of limit,
// and errTooLarge if that is not enough.
func unpack(archive io.Reader, base, dir string, limit int64) (int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	type late struct {
		name string
		mode fs.FileMode
	}
	var dirs []late // get their modes last, for they may be read-only
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if err == io.EOF {
			for i := len(dirs) - 1; i >= 0; i-- {
				err = errors.Join(root.Chmod(dirs[i].name, dirs[i].mode))
				if err != nil {
					return limit, err
				}
			}
			return limit, nil
		}
		if err != nil {
			return limit, err
		}
		name := path.Clean(strings.TrimPrefix(path.Clean(h.Name), base))
		name = strings.TrimPrefix(name, "/")
		if name == "" || name == "." {
			continue
		}
		if limit -= h.Size; limit < 0 {
			return 0, errTooLarge
		}
		mode := fs.FileMode(h.Mode) & fs.ModePerm
		if h.Typeflag == tar.TypeDir {
			dirs = append(dirs, late{name, mode})
		}
		if err := unpackEntry(root, base, name, mode, h, r); err != nil {
			return limit, err
		}
	}
}

func unpackEntry(root *os.Root, base, name string, mode fs.FileMode, h *tar.Header, content io.Reader) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o700)
	case tar.TypeSymlink:
		return root.Symlink(h.Linkname, name)
	case tar.TypeLink:
		return root.Link(strings.TrimPrefix(path.Clean(h.Linkname), base+"/"), name)
	case tar.TypeReg:
		f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Chmod(mode), f.Close())
	}
	return nil // a device or a pipe is of no use here
}
