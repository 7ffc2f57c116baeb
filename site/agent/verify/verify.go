// Package verify tells an agent which release a channel offers, and believes
// nothing but signatures.
//
// What a hub serves is metadata after The Update Framework (TUF, specification
// 1.0). The agent's token pins the first root; each later one is signed by the
// one before. A hub that was taken over, or somebody on the way, can withhold
// releases until the metadata expires, or choose among signed ones, but neither
// make nor change one, nor bring an old state back.
package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// MaxFile is the size limit of what is fetched, in bytes.
const MaxFile = 2 << 20

// ErrRefused is what an error wraps if the hub has answered and the answer is
// not to be believed.
var ErrRefused = errors.New("refused")

// The delegated roles.
const (
	roleReleases = "releases"
	roleChannels = "channels"
)

// Verifier believes one trust root. Its methods may be called concurrently.
type Verifier struct {
	// Now is the clock. A time before what signatures prove is not believed.
	Now func() time.Time

	dir        string
	rootDigest string
	fetch      func(ctx context.Context, path string) ([]byte, error)

	mu sync.Mutex // held over each check, which reads and writes dir
}

// New returns a Verifier that keeps what it has seen below dir, and believes
// the root whose file has the SHA-256 rootDigest, in hex. Fetch gets a file
// below the hub's /tuf/, "metadata/timestamp.json", reading at most MaxFile and
// one bytes; a file that is not there is kit.ErrNotFound.
func New(dir, rootDigest string, fetch func(ctx context.Context, path string) ([]byte, error)) *Verifier {
	rootDigest = strings.ToLower(rootDigest)
	return &Verifier{Now: time.Now, dir: filepath.Join(dir, rootDigest), rootDigest: rootDigest, fetch: fetch}
}

// Channel returns what the channel of the project offers, and the signed
// release. It is kit.ErrNotFound if the channel offers nothing yet, ErrRefused
// if the answer is not to be believed, and else fetch's error.
func (v *Verifier) Channel(ctx context.Context, project, name string) (channel api.ChannelTarget, release api.ReleaseTarget, err error) {
	err = v.check(ctx, func(u *updater.Updater) error {
		if err := read(u, roleChannels, api.ChannelPath(project, name), &channel); err != nil {
			return err
		}
		if err := checkChannel(channel, project); err != nil {
			return err
		}
		if err := readSigned(u, channel.Target, &release); err != nil {
			return err
		}
		return checkRelease(release, channel)
	})
	if err != nil {
		return api.ChannelTarget{}, api.ReleaseTarget{}, err
	}
	return channel, release, nil
}

// readSigned reads the release at path, which must be signed.
func readSigned(u *updater.Updater, path string, release *api.ReleaseTarget) error {
	err := read(u, roleReleases, path, release)
	if errors.Is(err, kit.ErrNotFound) {
		return fmt.Errorf("%s is not signed by the release key", path)
	}
	return err
}

// check calls reads with the metadata of now. Its error is kit.ErrNotFound if
// something is not there, ErrRefused if it is not to be believed, and else
// fetch's.
func (v *Verifier) check(ctx context.Context, reads func(*updater.Updater) error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	f := &fetcher{ctx: ctx, fetch: v.fetch}
	err := guard(func() error {
		u, err := v.refresh(f)
		if err != nil {
			return err
		}
		return reads(u)
	})
	switch {
	case err == nil:
		return nil
	case f.err != nil:
		return f.err
	case errors.As(err, new(*fs.PathError)) || errors.As(err, new(*os.LinkError)):
		return fmt.Errorf("keep metadata: %w", err)
	case !errors.Is(err, kit.ErrNotFound):
		return fmt.Errorf("%w: %s", ErrRefused, explain(err))
	}
	return err
}

// guard calls check and makes a panic of the library over malformed metadata
// an error.
func guard(check func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed metadata: %v", p)
		}
	}()
	return check()
}

// refresh returns an updater that has brought the metadata up to date. An
// updater serves one check.
func (v *Verifier) refresh(f *fetcher) (*updater.Updater, error) {
	if err := v.dropDamaged(); err != nil {
		return nil, err
	}
	root, err := v.root(f)
	if err != nil {
		return nil, err
	}
	cfg, err := config.New("metadata", root)
	if err != nil {
		return nil, err
	}
	cfg.RemoteTargetsURL, cfg.Fetcher = "targets", f
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = v.dir, filepath.Join(v.dir, "targets")
	cfg.SnapshotMaxLength, cfg.TargetsMaxLength = MaxFile, MaxFile
	u, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	now := v.Now()
	if proven := v.lastTrusted(); now.Before(proven) {
		now = proven
	}
	u.UnsafeSetRefTime(now.UTC())
	return u, u.Refresh()
}

// dropDamaged removes files that a crash has left incomplete. The library
// would stop at them; without them it begins again at the pinned root.
func (v *Verifier) dropDamaged() error {
	files, err := filepath.Glob(filepath.Join(v.dir, "*.json"))
	if err != nil {
		return err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err == nil && !json.Valid(b) {
			err = os.Remove(file)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// root returns the latest root that was verified, or on first use the one that
// the digest pins.
func (v *Verifier) root(f *fetcher) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(v.dir, "root.json"))
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	b, err = f.DownloadFile("metadata/1.root.json", MaxFile, 0)
	if errors.Is(err, &metadata.ErrDownloadHTTP{}) {
		return nil, kit.Errorf(kit.ErrNotFound, "", "the hub has no trust root yet: an administrator runs landfall trust init")
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(b)
	if got := hex.EncodeToString(sum[:]); got != v.rootDigest {
		return nil, fmt.Errorf("the hub's root has SHA-256 %s, but this agent's token pins %s: the token is of another hub, or the hub is not itself", got, v.rootDigest)
	}
	return b, nil
}

// lastTrusted returns when the newest timestamp that was verified says it was
// signed. The zero time is before all.
func (v *Verifier) lastTrusted() time.Time {
	b, err := os.ReadFile(filepath.Join(v.dir, "timestamp.json"))
	if err != nil {
		return time.Time{}
	}
	m, err := metadata.Timestamp().FromBytes(b)
	if err != nil {
		return time.Time{}
	}
	text, _ := m.Signed.UnrecognizedFields["issued"].(string)
	t, _ := time.Parse(time.RFC3339, text)
	return t
}

// read reads the target at path, which must be in the metadata of role, into
// out.
func read(u *updater.Updater, role, path string, out any) error {
	_, err := u.GetTargetInfo(path) // has the library load the roles on the way
	own := u.GetTrustedMetadataSet().Targets[role]
	if own == nil {
		if err == nil {
			err = fmt.Errorf("%s is not signed by the keys of %s", path, role)
		}
		return err
	}
	info := own.Signed.Targets[path]
	if info == nil {
		return kit.Errorf(kit.ErrNotFound, "", "%s: there is nothing yet", path)
	}
	_, b, err := u.FindCachedTarget(info, "")
	if err == nil && b == nil {
		_, b, err = u.DownloadTarget(info, "", "")
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func checkChannel(c api.ChannelTarget, project string) error {
	if c.Project != project || c.Target != api.ReleasePath(project, c.Version) {
		return fmt.Errorf("the channel of %s names %s of %s, version %s", project, c.Target, c.Project, c.Version)
	}
	return nil
}

func checkRelease(r api.ReleaseTarget, c api.ChannelTarget) error {
	if r.Project != c.Project || r.Version != c.Version {
		return fmt.Errorf("%s describes %s %s", c.Target, r.Project, r.Version)
	}
	_, digest, _ := strings.Cut(r.Image, "@")
	if err := kit.Digest(digest).Check(); err != nil {
		return fmt.Errorf("the image of %s is %q, which no digest pins", c.Target, r.Image)
	}
	return nil
}

// explain puts a refusal in the words of this product.
func explain(err error) string {
	switch text := err.Error(); {
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return "what the hub serves has expired; either it has stopped signing, or news is being withheld: " + text
	case errors.Is(err, &metadata.ErrUnsignedMetadata{}):
		return "what the hub serves is not signed by enough of the keys that it must be: " + text
	case errors.Is(err, &metadata.ErrBadVersionNumber{}):
		return "what the hub serves is older than, or does not belong to, what was seen before: " + text
	case errors.Is(err, &metadata.ErrLengthOrHashMismatch{}):
		return "the content is not what was signed: " + text
	default:
		return text
	}
}

// fetcher makes a fetch function the library's for one check.
type fetcher struct {
	ctx   context.Context // of the check; the library passes none
	fetch func(ctx context.Context, path string) ([]byte, error)
	err   error // why a file could not be fetched
}

// DownloadFile implements the library's Fetcher.
func (f *fetcher) DownloadFile(path string, limit int64, _ time.Duration) ([]byte, error) {
	b, err := f.fetch(f.ctx, path)
	switch {
	case errors.Is(err, kit.ErrNotFound):
		return nil, &metadata.ErrDownloadHTTP{StatusCode: http.StatusNotFound, URL: path}
	case err != nil:
		f.err = fmt.Errorf("fetch %s: %w", path, err)
		return nil, f.err
	case int64(len(b)) > limit:
		return nil, &metadata.ErrDownloadLengthMismatch{Msg: fmt.Sprintf("%s has more than %d bytes", path, limit)}
	}
	return b, nil
}
