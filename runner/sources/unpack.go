// Package sources unpacks the archives of sources, which a build must not be able
// to lead out of its workspace.
package sources

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"landfall.dev/kit"
)

// Unpack writes the files of the tar archive into dir, which is empty, and
// nothing outside of it, nor links that lead out. Whether a file is executable
// is kept, as Git does. It is ErrTooLarge if that takes more than limit bytes,
// ErrInvalid if the archive is not fit, and ErrUnavailable if it broke off.
func Unpack(archive io.Reader, dir string, limit int64) error {
	most := limit
	root, err := os.OpenRoot(dir)
	if err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	defer root.Close()
	var links []string
	in := tar.NewReader(archive)
	for {
		h, err := in.Next()
		if err == io.EOF {
			return checkLinks(root, links)
		}
		if err != nil {
			return brokenArchive(err)
		}
		const entry = 512 // what an entry itself costs
		if limit -= h.Size + entry; limit < 0 {
			return kit.Errorf(kit.ErrTooLarge, "", "the sources have more than %d MiB", most>>20)
		}
		if err := unpackEntry(root, h, in); err != nil {
			return err
		}
		if h.Typeflag == tar.TypeSymlink {
			links = append(links, path.Clean(h.Name))
		}
	}
}

func brokenArchive(err error) error {
	if errors.Is(err, tar.ErrHeader) {
		return &kit.Error{Fault: kit.ErrInvalid, Detail: "what the hub sent is no tar archive", Err: err}
	}
	return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the archive broke off", Err: err}
}

func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name := path.Clean(h.Name)
	if h.Typeflag == tar.TypeXGlobalHeader { // where Git puts the commit
		return nil
	}
	if !filepath.IsLocal(name) {
		return kit.Errorf(kit.ErrInvalid, "", "the archive's path %q leads out of the workspace", h.Name)
	}
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return unfit(h, err)
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return unfit(h, root.MkdirAll(name, 0o755))
	case tar.TypeReg:
		return unpackFile(root, name, h, content)
	case tar.TypeSymlink:
		target := path.Join(path.Dir(name), h.Linkname)
		if path.IsAbs(h.Linkname) || !filepath.IsLocal(target) {
			return kit.Errorf(kit.ErrInvalid, "", "the link %q leads out of the workspace, to %q", h.Name, h.Linkname)
		}
		return unfit(h, root.Symlink(h.Linkname, name))
	}
	return kit.Errorf(kit.ErrInvalid, "", "the archive's %q is neither file, directory nor symbolic link", h.Name)
}

func unpackFile(root *os.Root, name string, h *tar.Header, content io.Reader) error {
	mode := fs.FileMode(0o644)
	if h.Mode&0o100 != 0 {
		mode = 0o755
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return unfit(h, err)
	}
	_, copyErr := io.Copy(f, content)
	// The mode without the umask: what is built from it is the same anywhere.
	if err := errors.Join(f.Chmod(mode), f.Close()); err != nil {
		return unfit(h, err)
	}
	var local *fs.PathError
	if errors.As(copyErr, &local) {
		return unfit(h, copyErr)
	}
	if copyErr != nil {
		return brokenArchive(copyErr)
	}
	return nil
}

// unfit is the error of an entry that cannot be written; nil if err is nil.
func unfit(h *tar.Header, err error) error {
	if err == nil {
		return nil
	}
	return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("%q cannot be unpacked", h.Name), Err: err}
}

// checkLinks refuses links that lead out by way of other links. Those that
// lead nowhere are left alone.
func checkLinks(root *os.Root, links []string) error {
	for _, l := range links {
		if _, err := root.Stat(l); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("the link %q leads out of the workspace or in a circle", l), Err: err}
		}
	}
	return nil
}
