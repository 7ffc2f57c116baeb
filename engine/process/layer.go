package process

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// A layer marks what it removes from those below by empty files (OCI image
// specification, layer.md, "Whiteouts").
const (
	whiteout = ".wh."         // prefix of the name of what is removed
	opaque   = ".wh..wh..opq" // all that the layers below have in this directory
)

// unpackLayer applies l to root. Device nodes and owners are left out: an
// ordinary user cannot make them, and static programs do without.
func unpackLayer(ctx context.Context, root *os.Root, l v1.Layer) error {
	want, err := l.DiffID()
	if err != nil {
		return err
	}
	r, err := l.Uncompressed()
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	content := io.TeeReader(r, sum)
	u := unpacker{root: root, written: make(map[string]bool)}
	archive := tar.NewReader(content)
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if err := u.entry(h, archive); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	// What follows the archive's end is part of the digest.
	if _, err := io.Copy(io.Discard, content); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want.Hex {
		return fmt.Errorf("its content's digest is sha256:%s, but the configuration names %s", got, want)
	}
	return nil
}

// unpacker applies one layer. The operating system's root-relative calls
// refuse each path that would leave the root, be it by dots or by a link.
type unpacker struct {
	root    *os.Root
	written map[string]bool // paths of this layer, which its whiteouts spare
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error {
	name := inside(h.Name)
	if name == "." {
		return nil
	}
	dir, base := path.Split(name)
	dir = path.Clean(dir)
	if base == opaque {
		return u.clear(dir)
	}
	if hidden, ok := strings.CutPrefix(base, whiteout); ok {
		if hidden == "" || hidden == "." || hidden == ".." {
			return fmt.Errorf("whiteout of the invalid name %q", hidden)
		}
		return u.remove(path.Join(dir, hidden))
	}
	if err := u.root.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := u.replace(name, h.Typeflag); err != nil {
		return err
	}
	for p := name; p != "."; p = path.Dir(p) {
		u.written[p] = true
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.Mkdir(name, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeReg:
		return u.file(name, h.FileInfo().Mode(), content)
	case tar.TypeSymlink:
		return u.root.Symlink(relative(name, h.Linkname), name)
	case tar.TypeLink:
		return u.root.Link(inside(h.Linkname), name)
	}
	return nil
}

// replace removes what stands in the way of a new entry. A directory stays
// where a directory comes.
func (u *unpacker) replace(name string, kind byte) error {
	old, err := u.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || kind == tar.TypeDir && old.IsDir() {
		return err
	}
	return u.root.RemoveAll(name)
}

// clear removes what the layers below have in dir.
func (u *unpacker) clear(dir string) error {
	entries, err := fs.ReadDir(u.root.FS(), dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if err := u.remove(path.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// remove removes name unless this layer has put it there.
func (u *unpacker) remove(name string) error {
	if !u.written[name] {
		return u.root.RemoveAll(name)
	}
	if info, err := u.root.Lstat(name); err == nil && info.IsDir() {
		return u.clear(name)
	}
	return nil
}

// file writes a regular file. It is not writable afterwards, since all
// instances of the image share it, and has no set-user-id bit.
func (u *unpacker) file(name string, mode fs.FileMode, content io.Reader) error {
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Chmod(mode.Perm()&^0o222|0o400), f.Sync(), f.Close())
}

// relative is the target of a link at name: an absolute one means the
// image's root, not the host's.
func relative(name, target string) string {
	if !path.IsAbs(target) {
		return target
	}
	up := strings.Repeat("../", strings.Count(name, "/"))
	return filepath.Join(up, inside(target))
}

// checkStatic says why f cannot be run without the rest of its image.
func checkStatic(f *os.File) error {
	start := make([]byte, 2)
	if _, err := f.ReadAt(start, 0); err == nil && string(start) == "#!" {
		return errors.New("is a script")
	}
	program, err := elf.NewFile(f)
	if err != nil {
		return errors.New("is not an ELF program")
	}
	if want, ok := machines[runtime.GOARCH]; ok && program.Machine != want {
		return fmt.Errorf("is for %s, this machine is %s", program.Machine, want)
	}
	for _, p := range program.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("needs a dynamic linker; link it statically (for Go: CGO_ENABLED=0)")
		}
	}
	return nil
}

// machines are the processors by Go's name.
var machines = map[string]elf.Machine{
	"amd64":   elf.EM_X86_64,
	"arm64":   elf.EM_AARCH64,
	"riscv64": elf.EM_RISCV,
	"ppc64le": elf.EM_PPC64,
	"s390x":   elf.EM_S390,
}
