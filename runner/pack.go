package runner

import (
	"archive/tar"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
)

// pack makes the image that the job describes, pushes it, and returns it as
// "repository@sha256:..."; it returns "" if the job describes none.
func (a *attempt) pack(ctx context.Context) (string, error) {
	spec := a.build.Spec.Pack
	if spec == nil {
		return "", nil
	}
	if err := a.packLayer(spec); err != nil {
		return "", err
	}
	base, err := a.runner.base(ctx, spec.Base)
	if err != nil {
		return "", err
	}
	img, err := newImage(base, a.space.layer(), spec, map[string]string{
		"org.opencontainers.image.revision": a.build.Commit,
		"dev.landfall.build":                string(api.Builds.Link(a.build.Link.ID())),
	})
	if err != nil {
		return "", fmt.Errorf("pack %s: %w", spec.Repository, err)
	}
	tag := a.build.Commit[:min(12, len(a.build.Commit))]
	digest, err := a.runner.push(ctx, img, spec.Repository, tag)
	if err != nil {
		return "", fmt.Errorf("push %s:%s: %w", spec.Repository, tag, err)
	}
	image := spec.Repository + "@" + digest.String()
	return image, a.log.Say("packed " + image)
}

// packLayer writes the files of the image as a layer.
func (a *attempt) packLayer(spec *api.PackSpec) error {
	// A root, because the build may have made links to files of this machine.
	root, err := os.OpenRoot(a.space.src())
	if err != nil {
		return fmt.Errorf("pack %s: %w", spec.Repository, err)
	}
	defer root.Close()
	entries, err := collect(root, spec.Files)
	if err != nil {
		return fmt.Errorf("pack %s: %w", spec.Repository, err)
	}
	if err := writeLayer(a.space.layer(), root, entries); err != nil {
		return fmt.Errorf("pack %s: %w", spec.Repository, err)
	}
	return nil
}

// entry is a file, directory or symbolic link of a layer.
type entry struct {
	from string // path in the workspace
	to   string // path in the image, without the first slash
	info fs.FileInfo
	link string // where a symbolic link leads
}

// collect returns the entries for files, a map from paths in the workspace to
// paths in the image, in the order of the latter. Directories come with all
// that is in them. What cannot be packed is a *failure.
func collect(root *os.Root, files map[string]string) ([]entry, error) {
	var entries []entry
	for _, from := range slices.Sorted(maps.Keys(files)) {
		to := strings.TrimPrefix(path.Clean("/"+files[from]), "/")
		found, err := collectOne(root, path.Clean(from), to)
		if err != nil {
			return nil, err
		}
		entries = append(entries, found...)
	}
	slices.SortStableFunc(entries, func(x, y entry) int { return cmp.Compare(x.to, y.to) })
	for i := 1; i < len(entries); i++ {
		x, y := entries[i-1], entries[i]
		if x.to == y.to && !(x.info.IsDir() && y.info.IsDir()) {
			return nil, failed("%s and %s would both become /%s in the image", x.from, y.from, x.to)
		}
	}
	return slices.CompactFunc(entries, func(x, y entry) bool { return x.to == y.to }), nil
}

func collectOne(root *os.Root, from, to string) ([]entry, error) {
	info, err := root.Stat(from)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, failed("%s is not there; %s", from, neighbours(root, from))
	case err != nil:
		return nil, failed("%s cannot be read in the workspace: %v", from, err)
	case info.Mode().IsRegular():
		return []entry{{from: from, to: to, info: info}}, nil
	}
	var entries []entry
	err = fs.WalkDir(root.FS(), from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return failed("%s cannot be read: %v", name, err)
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(name, from), "/")
		if from == "." {
			rest = name
		}
		e := entry{from: name, to: strings.TrimPrefix(path.Join("/", to, rest), "/")}
		if e.to == "" {
			return nil // the image has its own root
		}
		if e.info, err = d.Info(); err != nil {
			return err
		}
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			e.link, err = root.Readlink(name)
		case !d.IsDir() && !d.Type().IsRegular():
			err = failed("%s is neither file, directory nor symbolic link", name)
		}
		entries = append(entries, e)
		return err
	})
	return entries, err
}

// neighbours says what there is where a missing file was looked for.
func neighbours(root *os.Root, missing string) string {
	if !filepath.IsLocal(missing) {
		return "it is not in the workspace"
	}
	dir := path.Dir(missing)
	for dir != "." {
		if info, err := root.Stat(dir); err == nil && info.IsDir() {
			break
		}
		dir = path.Dir(dir)
	}
	there, err := fs.ReadDir(root.FS(), dir)
	if err != nil {
		return fmt.Sprintf("%s cannot be read", dir)
	}
	where := dir + "/"
	if dir == "." {
		where = "the workspace"
	}
	const shown = 20
	var names []string
	for _, e := range there[:min(shown, len(there))] {
		name := e.Name()
		if e.IsDir() {
			name += "/"
		}
		names = append(names, name)
	}
	switch more := len(there) - len(names); {
	case len(there) == 0:
		return where + " is empty"
	case more > 0:
		return fmt.Sprintf("%s has %s and %d more", where, strings.Join(names, ", "), more)
	}
	return fmt.Sprintf("%s has %s", where, strings.Join(names, ", "))
}

// writeLayer writes the entries as a compressed tar archive to file. Nothing
// but their names, modes and bytes is in it, so that equal files make an equal
// layer.
func writeLayer(file string, root *os.Root, entries []entry) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	compressed := gzip.NewWriter(f)
	archive := tar.NewWriter(compressed)
	for _, e := range entries {
		if err := writeEntry(archive, root, e); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", e.from, err), f.Close())
		}
	}
	return errors.Join(archive.Close(), compressed.Close(), f.Close())
}

func writeEntry(w *tar.Writer, root *os.Root, e entry) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: e.to, Mode: int64(e.info.Mode().Perm()), ModTime: time.Unix(0, 0)}
	switch {
	case e.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	case e.info.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.to+"/"
	default:
		h.Size = e.info.Size()
	}
	if err := w.WriteHeader(h); err != nil || h.Typeflag != tar.TypeReg {
		return err
	}
	f, err := root.Open(e.from)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}
