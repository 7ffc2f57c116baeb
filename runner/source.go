package runner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"landfall.dev/kit"
	"landfall.dev/runner/sources"
)

// maxSource is the size limit of unpacked sources, in bytes.
const maxSource = 1 << 30

// fetch puts the sources of exactly the build's commit into its workspace.
func (a *attempt) fetch(ctx context.Context) error {
	from := "/source/" + url.PathEscape(a.build.Project) + "/archive/" + url.PathEscape(a.build.Commit)
	err := retry(ctx, func() error {
		dir, err := a.sourceDir()
		if err != nil {
			return &kit.Error{Fault: kit.ErrInvalid, Err: err}
		}
		res, err := a.runner.request(ctx, http.MethodGet, from, nil, 0)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		return sources.Unpack(res.Body, dir, maxSource)
	})
	if err != nil {
		return fmt.Errorf("fetch the sources of %s at %s: %w", a.build.Project, a.build.Commit, err)
	}
	return nil
}

// sourceDir makes the workspace anew and returns the directory in it that is
// for the sources.
func (a *attempt) sourceDir() (string, error) {
	within := a.build.Spec.SourceDir
	if within == "" {
		within = "."
	}
	if !filepath.IsLocal(within) {
		return "", failed("the folder %q for the sources is not in the workspace", within)
	}
	if err := freshDir(a.space.src()); err != nil {
		return "", err
	}
	dir := filepath.Join(a.space.src(), within)
	return dir, os.MkdirAll(dir, 0o755)
}

// freshDir makes dir an empty directory. One that is there is emptied, for a
// container may have been prepared on it.
func freshDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); !errors.Is(err, fs.ErrExist) {
		return err
	}
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, removeAll(filepath.Join(dir, e.Name())))
	}
	return err
}
