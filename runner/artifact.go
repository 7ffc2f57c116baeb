package runner

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	// maxArtifacts is how many files a build keeps: its document lists them.
	maxArtifacts = 1000
	// defaultArtifactsMB is how large they may be together.
	defaultArtifactsMB = 512
)

// artifacts stores the files that the job's patterns match as blobs.
func (a *attempt) artifacts(ctx context.Context) ([]api.Artifact, error) {
	patterns := a.build.Spec.Artifacts
	if len(patterns) == 0 {
		return nil, nil
	}
	// A root, because the build may have made links to files of this machine.
	root, err := os.OpenRoot(a.space.src())
	if err != nil {
		return nil, fmt.Errorf("keep artifacts: %w", err)
	}
	defer root.Close()
	files, unmatched, err := glob(root.FS(), "artifacts", patterns)
	if err != nil {
		return nil, fmt.Errorf("keep artifacts: %w", err)
	}
	files = slices.DeleteFunc(files, func(name string) bool { return matchesAny(a.build.Spec.ArtifactsExcept, name) })
	if len(files) == 0 && a.build.Spec.ArtifactsNeeded {
		return nil, failed("no file matches the artifacts' patterns %s", strings.Join(patterns, ", "))
	}
	for _, p := range unmatched {
		if err := a.log.Say(fmt.Sprintf("no file matches the artifacts' pattern %s", p)); err != nil {
			return nil, err
		}
	}
	if len(files) > maxArtifacts {
		return nil, failed("the artifacts' patterns match %d files, the limit is %d: pack them into one", len(files), maxArtifacts)
	}
	if err := a.checkSizes(root, files); err != nil {
		return nil, err
	}
	var kept []api.Artifact
	for _, name := range files {
		artifact, err := a.keep(ctx, root, name)
		if err != nil {
			return nil, fmt.Errorf("keep artifact %s: %w", name, err)
		}
		kept = append(kept, artifact)
	}
	return kept, nil
}

// checkSizes refuses files that are larger together than the runner keeps.
func (a *attempt) checkSizes(root *os.Root, files []string) error {
	left := cmp.Or(a.runner.ArtifactsMB, defaultArtifactsMB) << 20
	for _, name := range files {
		info, err := root.Stat(name)
		if err != nil {
			return fmt.Errorf("keep artifact %s: %w", name, err)
		}
		if left -= info.Size(); left < 0 {
			return failed("the artifacts have more than %d MiB, the limit of runner %s, with %s of %d MiB: leave it out, or raise the limit",
				cmp.Or(a.runner.ArtifactsMB, defaultArtifactsMB), a.runner.Name, name, info.Size()>>20)
		}
	}
	return nil
}

func (a *attempt) keep(ctx context.Context, root *os.Root, name string) (api.Artifact, error) {
	open := func() (io.ReadCloser, error) { return root.Open(name) }
	f, err := open()
	if err != nil {
		return api.Artifact{}, err
	}
	hash := sha256.New()
	size, err := io.Copy(hash, f)
	f.Close()
	if err != nil {
		return api.Artifact{}, err
	}
	digest := kit.Digest("sha256:" + hex.EncodeToString(hash.Sum(nil)))
	return api.Artifact{Path: name, Digest: digest, Size: size}, a.runner.sendBlob(ctx, digest, size, open)
}

// glob returns the regular files, by name, that at least one of patterns
// matches, and the patterns that match none. Links to files count if they do
// not lead out of files. A malformed pattern is a *failure that says of what
// it is one.
func glob(files fs.FS, what string, patterns []string) (found, unmatched []string, err error) {
	split := make([][]string, len(patterns))
	used := make([]bool, len(patterns))
	for i, p := range patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, nil, failed("the %s' pattern %q is malformed", what, p)
		}
		split[i] = strings.Split(path.Clean(p), "/")
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		wanted := false
		segments := strings.Split(name, "/")
		for i, p := range split {
			if match(p, segments) {
				wanted, used[i] = true, true
			}
		}
		if !wanted {
			return nil
		}
		if info, err := fs.Stat(files, name); err == nil && info.Mode().IsRegular() {
			found = append(found, name)
		}
		return nil
	})
	for i, p := range patterns {
		if !used[i] {
			unmatched = append(unmatched, p)
		}
	}
	return found, unmatched, err
}

// match tells whether the pattern matches the name, both split into segments.
// Each "**" stands for any number of segments; as with the "*" of a simple
// glob, only the last one that was met needs to be tried again.
func match(pattern, name []string) bool {
	p, n := 0, 0
	retryP, retryN := -1, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == "**":
			p++
			retryP, retryN = p, n
		case p < len(pattern) && matchSegment(pattern[p], name[n]):
			p, n = p+1, n+1
		case retryP >= 0:
			retryN++
			p, n = retryP, retryN
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

func matchSegment(pattern, name string) bool {
	ok, err := path.Match(pattern, name)
	return ok && err == nil // malformed ones were refused
}
