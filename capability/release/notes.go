package release

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"golang.org/x/mod/semver"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// notes writes release notes, once it is sure that there may be a release.
type notes struct {
	client kit.Client
	http   *http.Client
	base   string
	after  []string // environments; see Service
}

// madeNotes is the result of the action notes.
type madeNotes struct {
	Notes  string `json:"notes"`
	Since  string `json:"since,omitempty"`
	Target string `json:"target"`
}

// notes checks that the image of the release r was deployed before and contains
// nothing that is denied, and makes its notes out of the commits since the
// release before it.
func (n notes) notes(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	release, err := api.Releases.Decode(r)
	if err != nil {
		return nil, err
	}
	if err := n.checkDeployed(ctx, release); err != nil {
		return nil, &kit.Error{Op: "release", Link: release.Link, Err: err}
	}
	if err := n.checkContents(ctx, release); err != nil {
		return nil, &kit.Error{Op: "release", Link: release.Link, Err: err}
	}
	before, err := n.before(ctx, release)
	if err != nil {
		return nil, &kit.Error{Op: "release.notes", Link: release.Link, Err: err}
	}
	commits, err := n.commits(ctx, release.Project, before.Commit, release.Commit)
	if err != nil {
		return nil, &kit.Error{Op: "release.notes", Link: release.Link, Err: err}
	}
	return madeNotes{
		Notes:  markdown(release, before, commits),
		Since:  before.Commit,
		Target: api.ReleasePath(release.Project, release.Version),
	}, nil
}

// before returns the project's highest version below r's, or a zero one. A
// pre-release counts only before another pre-release, so that the notes of a
// final version are complete.
func (n notes) before(ctx context.Context, r api.Release) (api.Release, error) {
	var best api.Release
	filter := fmt.Sprintf("project == %q && state != %q", r.Project, api.ReleaseFailed)
	for old, err := range api.Releases.All(ctx, n.client, filter, "") {
		if err != nil {
			return best, err
		}
		older := semver.Compare("v"+old.Version, "v"+r.Version) < 0
		counts := semver.Prerelease("v"+old.Version) == "" || semver.Prerelease("v"+r.Version) != ""
		if older && counts && (best.Version == "" || semver.Compare("v"+old.Version, "v"+best.Version) > 0) {
			best = old
		}
	}
	return best, nil
}

// maxLog is the size limit of a project's log, in bytes.
const maxLog = 64 << 20

// commits returns the commits that to has and from has not; an empty from has
// none.
func (n notes) commits(ctx context.Context, project, from, to string) ([]api.Commit, error) {
	u := n.base + "/source/" + url.PathEscape(project) + "/log/" + from + ".." + to
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	res, err := n.http.Do(req)
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Op: "read the log of " + project, Err: err}
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxLog))
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Op: "read the log of " + project, Err: err}
	}
	if res.StatusCode != http.StatusOK {
		return nil, &kit.Error{Op: "read the log of " + project, Err: kit.DecodeProblem(res.StatusCode, body)}
	}
	var commits []api.Commit
	if err := json.Unmarshal(body, &commits); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, "", "the log of %s is no list of commits: %v", project, err)
	}
	return commits, nil
}
