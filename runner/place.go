package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"landfall.dev/engine/fleet"
	"landfall.dev/kit"
	"landfall.dev/runner/task"
)

// place finds the engine for the build, and fails if an image that it needs is
// nowhere. From here on its images are named exactly.
func (a *attempt) place(ctx context.Context) error {
	r := a.runner
	need := fleet.Need{Labels: a.build.Spec.Labels, Caches: a.room.Caches, Loads: map[string]v1.Image{}}
	if r.Engine.Name() != "process" {
		if a.image == "" {
			return fmt.Errorf("the job names no image, and runner %s has no default one: add image to the job", r.Name)
		}
		refs := []string{a.image}
		for _, s := range a.room.Services {
			refs = append(refs, s.Image)
		}
		for _, ref := range refs {
			exact, img, err := r.resolve(ctx, ref)
			if err != nil {
				return err
			}
			need.Images = append(need.Images, exact)
			if img != nil {
				need.Loads[exact] = img
			}
		}
	}
	p, err := r.fleet.Place(ctx, task.ID(a.build), need)
	var missing *fleet.NoImageError
	if errors.As(err, &missing) {
		return fmt.Errorf("image %s is neither in the hub's registry nor on runner %s (%s): push it there, or name another in %s",
			missing.Image, r.Name, strings.Join(missing.Engines, ", "), strings.Join(append([]string{"the job"}, a.build.Spec.Origin...), ", "))
	}
	if err != nil {
		return fmt.Errorf("find an engine: %w", err)
	}
	if len(p.Images) > 0 {
		a.image, a.record.Image = p.Images[0], p.Images[0]
		for i := range a.room.Services {
			a.room.Services[i].Image = p.Images[i+1]
		}
	}
	if r.fleet.Prepares(p.Engine) {
		a.spare = r.pool.Take(p.Engine, a.newTask(""))
	}
	a.logger.Info("placed", "engine", p.Engine, "image", a.image, "prepared", a.spare != "")
	return nil
}

// placed returns where the build ran, and in which image, if in any.
func (a *attempt) placed() (where, image string) {
	where = a.runner.fleet.Where(task.ID(a.build))
	if where != "" && a.runner.Engine.Name() != "process" {
		image = a.image
	}
	return where, image
}

// resolve names an image exactly, with the image itself, if it is in the hub's
// registry; else it returns the name as it is.
func (r *Runner) resolve(ctx context.Context, ref string) (string, v1.Image, error) {
	given, err := name.ParseReference(ref)
	if err != nil {
		return "", nil, failed("%q is no name of an image", ref)
	}
	parsed := given
	if of := given.Context().RegistryStr(); r.Registry.Host == "" || of != name.DefaultRegistry && of != r.Registry.Host {
		return ref, nil, nil // it is of another registry
	} else if of == name.DefaultRegistry {
		if parsed, err = name.ParseReference(r.Registry.Host + "/" + ref); err != nil {
			return "", nil, failed("%q is no name of an image", ref)
		}
	}
	var img v1.Image
	var digest v1.Hash
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	err = retry(ctx, func() error {
		var err error
		if img, err = remote.Image(parsed, r.registryOptions(ctx, remote.WithPlatform(platform))...); err == nil {
			digest, err = img.Digest()
		}
		return registryFault(err)
	})
	switch {
	case errors.Is(err, kit.ErrNotFound):
		return ref, nil, nil
	case err != nil:
		return "", nil, fmt.Errorf("look for the image %s in the hub's registry: %w", ref, err)
	}
	repository := parsed.Context().RepositoryStr()
	return repository + "@" + digest.String(), img, nil
}
