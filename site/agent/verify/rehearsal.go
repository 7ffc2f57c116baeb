package verify

import (
	"context"
	"fmt"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"landfall.dev/api"
)

// Rehearsal returns nil if the image of d is that of the signed release which d
// names: it may be rehearsed where only signed releases run, whether or not a
// channel offers it. It is ErrRefused if it may not, and else fetch's error.
func (v *Verifier) Rehearsal(ctx context.Context, d api.Deployment) error {
	version, ok := strings.CutPrefix(d.Release.ID(), d.Project+"-")
	if !ok {
		return fmt.Errorf("%w: this environment takes signed releases alone: rehearse a release, like %s-2.0.0", ErrRefused, d.Project)
	}
	var release api.ReleaseTarget
	err := v.check(ctx, func(u *updater.Updater) error {
		path := api.ReleasePath(d.Project, version)
		if err := readSigned(u, path, &release); err != nil {
			return err
		}
		return checkRelease(release, api.ChannelTarget{Project: d.Project, Version: version, Target: path})
	})
	if err == nil && release.Image != d.Image {
		err = fmt.Errorf("%w: %s is signed for the image %s, not %s", ErrRefused, d.Release, release.Image, d.Image)
	}
	return err
}
