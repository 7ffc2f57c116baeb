package runner

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/runner/step"
)

// fetchCopies puts the artifacts of other builds that steps copy into the
// directory of the script, before the build begins: a build cannot reach the
// hub. What is not there is told by the step, if it is ever run.
func (a *attempt) fetchCopies(ctx context.Context, copies []step.Copy) error {
	for _, c := range copies {
		dir := filepath.Join(a.space.script(), fmt.Sprintf("%d.copy", c.N))
		if err := os.MkdirAll(filepath.Join(dir, "files"), 0o700); err != nil {
			return fmt.Errorf("copy artifacts: %w", err)
		}
		said, err := a.fetchCopy(ctx, c.Step, filepath.Join(dir, "files"))
		var missing *failure
		if errors.As(err, &missing) {
			said, err = missing.text, nil
			if !c.Step.Optional {
				err = os.WriteFile(filepath.Join(dir, "failed"), nil, 0o600)
			}
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "said"), []byte(said+"\n"), 0o600)
		}
		if err != nil {
			return fmt.Errorf("copy artifacts of %s: %w", c.Step.Job, err)
		}
	}
	return nil
}

// fetchCopy puts the files of one step into dir and says which. That they are
// not there is a *failure.
func (a *attempt) fetchCopy(ctx context.Context, s *api.CopyStep, dir string) (string, error) {
	b, err := a.copied(ctx, s)
	if err != nil {
		return "", err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	n := 0
	for _, artifact := range b.Artifacts {
		if len(s.Files) > 0 && !matchesAny(s.Files, artifact.Path) || matchesAny(s.Exclude, artifact.Path) {
			continue
		}
		to := path.Clean(artifact.Path)
		if s.Flat {
			to = path.Base(to)
		}
		if err := retry(ctx, func() error { return a.runner.fetchBlob(ctx, root, to, artifact.Digest) }); err != nil {
			return "", fmt.Errorf("artifact %s of build %s: %w", artifact.Path, b.Link.ID(), err)
		}
		n++
	}
	if n == 0 {
		return "", failed("Build %s has kept no file that is asked for.", b.Link.ID())
	}
	return fmt.Sprintf("%d files of build %s", n, b.Link.ID()), nil
}

func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		return match(strings.Split(path.Clean(p), "/"), strings.Split(name, "/"))
	})
}

// copied finds the build that a step copies from.
func (a *attempt) copied(ctx context.Context, s *api.CopyStep) (api.Build, error) {
	env := a.env()
	job, id := step.Expand(s.Job, env), step.Expand(s.Build, env)
	var found api.Build
	err := retry(ctx, func() error {
		found = api.Build{}
		if id != "" && id != "*" {
			b, err := api.Builds.Read(ctx, a.runner.Client, id)
			if err == nil && b.Project == a.build.Project && b.Job == job && b.State.Done() {
				found = b
			}
			if errors.Is(err, kit.ErrNotFound) {
				return nil
			}
			return err
		}
		filter := fmt.Sprintf("project == %q && job == %q", a.build.Project, job)
		if id == "" {
			filter += ` && state == "passed"`
		}
		for b, err := range api.Builds.All(ctx, a.runner.Client, filter, "created") {
			if err != nil {
				return err
			}
			if b.State.Done() && !b.Finished.Before(found.Finished) {
				found = b
			}
		}
		return nil
	})
	if err == nil && found.Link == "" {
		which := map[string]string{"": "that has passed", "*": "that has ended"}[id]
		if which == "" {
			which = id
		}
		err = failed("There is no build %s of the job %s.", which, job)
	}
	return found, err
}

// fetchBlob writes the blob to a file in root.
func (r *Runner) fetchBlob(ctx context.Context, root *os.Root, name string, digest kit.Digest) error {
	res, err := r.request(ctx, http.MethodGet, "/blobs/"+string(digest), nil, 0)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	f, err := root.OpenFile(name, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o755)
	if err != nil {
		return &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	hash := sha256.New()
	_, copyErr := io.Copy(io.MultiWriter(f, hash), res.Body)
	closeErr := f.Close()
	var local *fs.PathError
	switch {
	case errors.As(copyErr, &local) || closeErr != nil:
		return &kit.Error{Fault: kit.ErrInvalid, Err: errors.Join(copyErr, closeErr)}
	case copyErr != nil || hex.EncodeToString(hash.Sum(nil)) != digest.Hex():
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the file broke off", Err: copyErr}
	}
	return nil
}
