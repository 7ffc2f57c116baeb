package process

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"landfall.dev/engine"
)

// partialImage is the pattern of the directories that images are unpacked in.
const partialImage = ".new-*"

// image is an unpacked image.
type image struct {
	ref    string
	root   string // its files
	config v1.Config
}

// Load unpacks img. The bytes of its layers are checked against its
// configuration, and that against its manifest.
func (e *Engine) Load(ctx context.Context, img v1.Image, ref string) error {
	digest, err := img.Digest()
	if err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return fmt.Errorf("%w image reference %q: want name@sha256:… or name:tag", engine.ErrInvalid, ref)
	}
	if d, ok := parsed.(name.Digest); ok && d.DigestStr() != digest.String() {
		return fmt.Errorf("%w image reference %s: the image's digest is %s", engine.ErrInvalid, ref, digest)
	}
	dir := e.path("images", digest.Hex)
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := e.unpack(ctx, img, dir); err != nil {
		return fmt.Errorf("load image %s: %w", ref, err)
	}
	return nil
}

// unpack makes dir, complete or not at all.
func (e *Engine) unpack(ctx context.Context, img v1.Image, dir string) (err error) {
	partial, err := os.MkdirTemp(e.path("images"), partialImage)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeAll(partial))
		}
	}()
	config, err := checkedConfig(img)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(partial, "config.json"), config); err != nil {
		return err
	}
	rootDir := filepath.Join(partial, "root")
	if err := os.Mkdir(rootDir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(rootDir)
	if err != nil {
		return err
	}
	defer root.Close()
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for n, l := range layers {
		if err := unpackLayer(ctx, root, l); err != nil {
			return fmt.Errorf("layer %d of %d: %w", n+1, len(layers), err)
		}
	}
	if err := os.Rename(partial, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr == nil {
			return removeAll(partial) // someone else was faster
		}
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// checkedConfig returns img's configuration if its manifest names these bytes.
func checkedConfig(img v1.Image) ([]byte, error) {
	manifest, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	config, err := img.RawConfigFile()
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(config); hex.EncodeToString(sum[:]) != manifest.Config.Digest.Hex {
		return nil, fmt.Errorf("its configuration is not the one that its manifest names, %s", manifest.Config.Digest)
	}
	return config, nil
}

// image finds the unpacked image that ref, with a digest, names.
func (e *Engine) image(ref string) (image, error) {
	_, digest, _ := strings.Cut(ref, "@sha256:")
	dir := e.path("images", digest)
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return image{}, fmt.Errorf("image %s is %w", ref, engine.ErrNoImage)
	}
	if err != nil {
		return image{}, err
	}
	var config v1.ConfigFile
	if err := json.Unmarshal(data, &config); err != nil {
		return image{}, fmt.Errorf("image %s: configuration: %w", ref, err)
	}
	return image{ref: ref, root: filepath.Join(dir, "root"), config: config.Config}, nil
}

// command is what the image runs unless told otherwise.
func (i image) command() []string {
	return append(append([]string(nil), i.config.Entrypoint...), i.config.Cmd...)
}

// addEnv adds the image's environment to env, but for PATH, which means
// places inside of a container.
func (i image) addEnv(env map[string]string) {
	for _, entry := range i.config.Env {
		if key, value, ok := strings.Cut(entry, "="); ok && key != "PATH" {
			env[key] = value
		}
	}
}

// workingDir is the image's working directory on the host.
func (i image) workingDir() (string, error) {
	f, err := i.open(i.config.WorkingDir)
	if err != nil {
		return "", fmt.Errorf("working directory: %w", err)
	}
	defer f.Close()
	return realPath(f)
}

// program finds command in the image, as a container would, and returns its
// path on the host.
func (i image) program(command string) (string, error) {
	for _, candidate := range i.candidates(command) {
		f, err := i.open(candidate)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		defer f.Close()
		if err := checkStatic(f); err != nil {
			return "", fmt.Errorf("the process engine runs static programs only: %s of image %s %w", command, i.ref, err)
		}
		return realPath(f)
	}
	return "", fmt.Errorf("%w command: %s is not in image %s", engine.ErrInvalid, command, i.ref)
}

func (i image) candidates(command string) []string {
	switch {
	case path.IsAbs(command):
		return []string{command}
	case strings.Contains(command, "/"):
		return []string{path.Join(i.config.WorkingDir, command)}
	}
	search := defaultPath
	for _, entry := range i.config.Env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			search = value
		}
	}
	var list []string
	for _, dir := range strings.Split(search, ":") {
		list = append(list, path.Join(dir, command))
	}
	return list
}

// open opens a path of the image. Links lead nowhere outside of it.
func (i image) open(name string) (*os.File, error) {
	root, err := os.OpenRoot(i.root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	return root.Open(inside(name))
}

// inside is a path of an image relative to the image's root, which even ".."
// does not leave.
func inside(name string) string {
	return path.Join(".", path.Clean("/" + name)[1:])
}

// realPath is the path of f without links.
func realPath(f *os.File) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
}
