package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// framework returns the version of landfall.dev that the demo's platform is
// built with: this checkout. Go takes a version's files for unchangeable, so the
// version is made from them.
func framework(files []zip.File) (module.Version, error) {
	byName := map[string]zip.File{}
	var names []string
	for _, f := range files {
		byName[f.Path()] = f
		names = append(names, f.Path())
	}
	sum, err := dirhash.Hash1(names, func(name string) (io.ReadCloser, error) { return byName[name].Open() })
	if err != nil {
		return module.Version{}, err
	}
	digest := sha256.Sum256([]byte(sum))
	return module.Version{Path: "landfall.dev", Version: "v0.1.0-demo." + hex.EncodeToString(digest[:6])}, nil
}

// toolchain is what builds need of this machine.
type toolchain struct {
	root, modules, cache string
	hostModules, proxy   string // where modules come from
}

// prepare makes a module proxy of the checkout, the project's files, and the
// caches that the runner gives to builds.
func (s *stage) prepare(ctx context.Context) (toolchain, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return toolchain{}, fmt.Errorf("the demo pushes patches and needs git: install it: %w", err)
	}
	for _, dir := range []string{"logs", "proxy", "ledger"} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return toolchain{}, err
		}
	}
	out, err := s.run(exec.CommandContext(ctx, "go", "env", "GOROOT", "GOCACHE", "GOMODCACHE", "GOPROXY"), false)
	if err != nil {
		return toolchain{}, fmt.Errorf("the demo builds a platform and needs Go: %w", err)
	}
	values := strings.Split(strings.TrimSpace(out), "\n")
	if len(values) != 4 {
		return toolchain{}, fmt.Errorf("go env answered %q", out)
	}
	t := toolchain{root: values[0], modules: s.path("modules"), cache: values[1], hostModules: values[2], proxy: values[3]}
	version, sums, err := s.publish()
	if err != nil {
		return t, fmt.Errorf("make a module of %s: %w", s.Source, err)
	}
	if err := s.project(version, sums); err != nil {
		return t, fmt.Errorf("make the project: %w", err)
	}
	return t, s.warm(ctx, t)
}

// warm fills the build cache with what both versions of the platform are built
// from: builds can only read it.
func (s *stage) warm(ctx context.Context, t toolchain) error {
	patch, err := filepath.Abs(filepath.Join(s.Source, "examples", "ledger", "v2.patch"))
	if err != nil {
		return err
	}
	for _, step := range []string{
		"go vet . && go test -run ^$ ./...", "git apply " + patch,
		"go vet . && go test -run ^$ ./...", "git apply -R " + patch,
	} {
		cmd := exec.CommandContext(ctx, "sh", "-c", step)
		cmd.Dir = s.path("ledger")
		cmd.Env = append(os.Environ(), s.buildEnv(t)...)
		cmd.Env = append(cmd.Env, "GIT_CEILING_DIRECTORIES="+s.Dir)
		if _, err := s.run(cmd, false); err != nil {
			return err
		}
	}
	return nil
}

// buildEnv is the environment in which the platform is built: no network but,
// where a module is missing, the proxy that Go is set up with.
func (s *stage) buildEnv(t toolchain) []string {
	proxy := "file://" + s.path("proxy") + ",file://" + filepath.Join(t.hostModules, "cache", "download") + "," + t.proxy
	return []string{
		"CGO_ENABLED=0", "GOFLAGS=-trimpath -modcacherw -buildvcs=false", "GOTOOLCHAIN=local", "GOWORK=off",
		"GONOSUMDB=landfall.dev", "GOPROXY=" + proxy, "GOMODCACHE=" + t.modules, "GOCACHE=" + t.cache,
	}
}

// publish puts the checkout into the proxy, and returns the version that it
// has there and its lines for go.sum.
func (s *stage) publish() (module.Version, string, error) {
	files, err := moduleFiles(s.Source)
	if err != nil {
		return module.Version{}, "", err
	}
	v, err := framework(files)
	if err != nil {
		return v, "", err
	}
	dir := filepath.Join(s.path("proxy"), v.Path, "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return v, "", err
	}
	mod, err := os.ReadFile(filepath.Join(s.Source, "go.mod"))
	if err != nil {
		return v, "", err
	}
	var b bytes.Buffer
	if err := zip.Create(&b, v, files); err != nil {
		return v, "", err
	}
	base := filepath.Join(dir, v.Version)
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, v.Version, time.Now().UTC().Format(time.RFC3339))
	for name, text := range map[string][]byte{
		base + ".mod": mod, base + ".info": []byte(info), base + ".zip": b.Bytes(), filepath.Join(dir, "list"): []byte(v.Version + "\n"),
	} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return v, "", err
		}
	}
	zipSum, err1 := dirhash.HashZip(base+".zip", dirhash.Hash1)
	modSum, err2 := dirhash.Hash1([]string{"go.mod"}, func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(mod)), nil })
	return v, fmt.Sprintf("%s %s %s\n%s %s/go.mod %s\n", v.Path, v.Version, zipSum, v.Path, v.Version, modSum), errors.Join(err1, err2)
}

// file is a file of the checkout.
type file struct{ dir, name string }

func (f file) Path() string                 { return f.name }
func (f file) Lstat() (os.FileInfo, error)  { return os.Lstat(filepath.Join(f.dir, f.name)) }
func (f file) Open() (io.ReadCloser, error) { return os.Open(filepath.Join(f.dir, f.name)) }

// moduleFiles are the files of the module in dir.
func moduleFiles(dir string) ([]zip.File, error) {
	var files []zip.File
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || name == "bin" || d.Name() == "testdata"):
			return fs.SkipDir
		case d.Type().IsRegular():
			files = append(files, file{dir, name})
		}
		return nil
	})
	return files, err
}

// project makes the files of the platform's project: the example's, as a
// module of its own.
func (s *stage) project(framework module.Version, sums string) error {
	from := filepath.Join(s.Source, "examples", "ledger")
	err := fs.WalkDir(os.DirFS(from), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "v2.patch" || name == "next_test.go" {
			return err
		}
		to := filepath.Join(s.path("ledger"), name)
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		b, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		return os.WriteFile(to, b, 0o644)
	})
	if err != nil {
		return err
	}
	b, err := os.ReadFile(filepath.Join(s.Source, "go.mod"))
	if err != nil {
		return err
	}
	mod, err := modfile.Parse("go.mod", b, nil)
	if err != nil {
		return err
	}
	if err := mod.AddModuleStmt("ledger.example/ledger"); err != nil {
		return err
	}
	if err := mod.AddRequire(framework.Path, framework.Version); err != nil {
		return err
	}
	text, err := mod.Format()
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path("ledger/go.mod"), text, 0o644); err != nil {
		return err
	}
	sum, err := os.ReadFile(filepath.Join(s.Source, "go.sum"))
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("ledger/go.sum"), append(sum, sums...), 0o644)
}
