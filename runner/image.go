package runner

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// newImage adds the layer in the file to base, with the configuration that
// spec describes. The image tells its origin in annotations and labels. It
// depends on nothing else, in particular not on the time.
func newImage(base v1.Image, layerFile string, spec *api.PackSpec, origin map[string]string) (v1.Image, error) {
	layer, err := tarball.LayerFromFile(layerFile, tarball.WithMediaType(types.OCILayer))
	if err != nil {
		return nil, err
	}
	config, err := base.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", spec.Base, err)
	}
	config = config.DeepCopy()
	if config.Architecture == "" {
		config.OS, config.Architecture = "linux", runtime.GOARCH
	}
	epoch := v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Created = epoch
	config.Config.Entrypoint, config.Config.Cmd = spec.Entrypoint, nil
	config.Config.Env = mergeEnv(config.Config.Env, spec.Env)
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	maps.Copy(config.Config.Labels, origin)

	img, err := mutate.ConfigFile(base, config)
	if err != nil {
		return nil, err
	}
	img, err = mutate.Append(img, mutate.Addendum{Layer: layer, History: v1.History{Created: epoch, CreatedBy: "landfall"}})
	if err != nil {
		return nil, err
	}
	img = mutate.ConfigMediaType(mutate.MediaType(img, types.OCIManifestSchema1), types.OCIConfigJSON)
	return mutate.Annotations(img, origin).(v1.Image), nil // it returns what it is given
}

// mergeEnv sets the variables of added in env, a list of NAME=value.
func mergeEnv(env []string, added map[string]string) []string {
	merged := slices.DeleteFunc(slices.Clone(env), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		_, replaced := added[name]
		return replaced
	})
	for _, name := range slices.Sorted(maps.Keys(added)) {
		merged = append(merged, name+"="+added[name])
	}
	return merged
}

// base returns the image ref, a name in the registry by tag or digest; for ""
// an empty one.
func (r *Runner) base(ctx context.Context, ref string) (v1.Image, error) {
	if ref == "" {
		return empty.Image, nil
	}
	parsed, err := name.ParseReference(r.Registry.Host + "/" + ref)
	if err != nil {
		return nil, failed("the base image %q is no name of an image: %v", ref, err)
	}
	platform := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	var img v1.Image
	err = retry(ctx, func() error {
		img, err = remote.Image(parsed, r.registryOptions(ctx, remote.WithPlatform(platform))...)
		if err == nil {
			_, err = img.ConfigFile() // which it keeps
		}
		return registryFault(err)
	})
	if errors.Is(err, kit.ErrNotFound) {
		return nil, fmt.Errorf("the base image %s is not in the registry: push it there first", ref)
	}
	if err != nil {
		return nil, fmt.Errorf("pull the base image %s: %w", ref, err)
	}
	return img, nil
}

// push pushes img as repository:tag.
func (r *Runner) push(ctx context.Context, img v1.Image, repository, tag string) (v1.Hash, error) {
	ref, err := name.NewTag(r.Registry.Host + "/" + repository + ":" + tag)
	if err != nil {
		return v1.Hash{}, failed("%q is no name of an image: %v", repository+":"+tag, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return v1.Hash{}, err
	}
	return digest, retry(ctx, func() error {
		return registryFault(remote.Write(ref, img, r.registryOptions(ctx)...))
	})
}

func (r *Runner) registryOptions(ctx context.Context, more ...remote.Option) []remote.Option {
	return slices.Concat(r.Registry.Options, more, []remote.Option{remote.WithContext(ctx)})
}

// registryFault gives an error of the registry its fault, which tells whether
// to try again; nil if err is nil.
func registryFault(err error) error {
	if err == nil {
		return nil
	}
	var answer *transport.Error
	var network *url.Error
	switch {
	case errors.As(err, &answer) && answer.StatusCode >= http.StatusBadRequest:
		return &kit.Error{Fault: kit.Fault(answer.StatusCode), Op: "registry", Err: err}
	case errors.As(err, &network):
		return &kit.Error{Fault: kit.ErrUnavailable, Op: "registry", Err: err}
	}
	return &kit.Error{Fault: kit.ErrInvalid, Op: "registry", Err: err}
}
