package release

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/release/trust"
	"landfall.dev/kit"
)

// repository keeps the trust's files as documents, and signs what the hub may
// sign.
type repository struct {
	client kit.Client
	keys   trust.Online
	now    func() time.Time
	log    *slog.Logger

	signing sync.Mutex // held over each change
}

// superseded is how long a metadata file stays after it was replaced, for
// agents that have just begun to read, and for people who look for causes.
const superseded = 7 * 24 * time.Hour

// change stores what alter makes of the repository, with further writes,
// all or nothing. A change without files stores nothing. It is ErrStale if
// another node has changed it meanwhile.
func (r *repository) change(ctx context.Context, alter func(*trust.Repository, time.Time) (trust.Changes, error), further ...kit.Write) error {
	r.signing.Lock()
	defer r.signing.Unlock()
	current, timestamp, err := r.load(ctx)
	if err != nil {
		return err
	}
	now := r.now()
	c, err := alter(current, now)
	if err != nil || len(c.Metadata) == 0 {
		return err
	}
	writes, err := r.writes(ctx, c, timestamp, now)
	if err != nil {
		return err
	}
	_, err = r.client.Batch(ctx, append(writes, further...))
	return err
}

// load returns the current files, and the version of the timestamp's document.
func (r *repository) load(ctx context.Context) (current *trust.Repository, timestamp int64, err error) {
	current, err = trust.Load(func(name string) ([]byte, error) {
		m, err := api.TrustMetadata.Read(ctx, r.client, name)
		if name == trust.TimestampFile {
			timestamp = m.Version
		}
		return []byte(m.Content), err
	})
	return current, timestamp, err
}

// writes returns the writes that store c. The timestamp comes first: its
// version guards all the others. Version 0 means that it does not exist yet.
func (r *repository) writes(ctx context.Context, c trust.Changes, timestamp int64, now time.Time) ([]kit.Write, error) {
	w := writer{}
	body := api.Metadata{Content: string(c.Metadata[trust.TimestampFile])}
	if timestamp == 0 {
		w.add(kit.VerbCreate, trust.TimestampFile, body)
	} else {
		w.add(kit.VerbUpdate, trust.TimestampFile, body)
		w.writes[0].IfMatch = timestamp
	}
	for _, name := range slices.Sorted(maps.Keys(c.Metadata)) {
		if name != trust.TimestampFile {
			w.add(kit.VerbCreate, name, api.Metadata{Content: string(c.Metadata[name])})
		}
	}
	for _, path := range slices.Sorted(maps.Keys(c.Targets)) {
		id := targetID(path)
		_, err := api.TrustMetadata.Read(ctx, r.client, id)
		if errors.Is(err, kit.ErrNotFound) {
			w.add(kit.VerbCreate, id, api.Metadata{Content: string(c.Targets[path])})
		} else if err != nil {
			return nil, err
		}
	}
	for _, name := range c.Superseded {
		w.add(kit.VerbUpdate, name, map[string]time.Time{"expires": now.Add(superseded)})
	}
	return w.writes, w.err
}

// targetID returns the id of the document of the target at path.
func targetID(path string) string { return "target~" + strings.ReplaceAll(path, "/", "~") }

// writer collects writes of metadata.
type writer struct {
	writes []kit.Write
	err    error
}

func (w *writer) add(v kit.Verb, id string, body any) {
	b, err := json.Marshal(body)
	w.err = errors.Join(w.err, err)
	w.writes = append(w.writes, kit.Write{Verb: v, Link: api.TrustMetadata.Link(id), Body: b})
}

// offer makes the channel r offer the release that op names. Offering it again
// changes nothing.
func (r *repository) offer(ctx context.Context, record kit.Record, op kit.Op) (any, error) {
	channel, err := api.Channels.Decode(record)
	if err != nil {
		return nil, err
	}
	var o api.Offered
	if err := json.Unmarshal(op.Data, &o); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, channel.Link, "the arguments do not fit: %v", err)
	}
	release, err := api.Releases.Read(ctx, r.client, o.Release.ID())
	if err != nil {
		return nil, err
	}
	if release.State != api.ReleaseSigned {
		return nil, &kit.Error{
			Fault: kit.ErrConflict, Link: release.Link, Detail: "the release is " + string(release.State) + ", not signed",
			Hint: "a release manager signs it with: landfall release sign " + release.Link.ID(),
		}
	}
	if release.Project != channel.Project {
		return nil, kit.Errorf(kit.ErrConflict, channel.Link, "%s is a release of %s, the channel is of %s", release.Link, release.Project, channel.Project)
	}
	target := api.ChannelTarget{Project: channel.Project, Version: release.Version, Target: release.Target}
	err = r.change(ctx, func(t *trust.Repository, now time.Time) (trust.Changes, error) {
		return t.Offer(r.keys, channel.Name, target, now)
	})
	if err != nil {
		return nil, &kit.Error{Op: "release.publish", Link: channel.Link, Err: err}
	}
	return o, nil
}

// keepFresh signs anew what would expire, until ctx ends, and once a day warns
// of what only people can. Every node does it; the first one wins.
func (r *repository) keepFresh(ctx context.Context) error {
	var warned time.Time
	for {
		wait := 10 * time.Minute
		err := r.renew(ctx)
		if now := r.now(); err == nil && now.Sub(warned) >= 24*time.Hour {
			warned = now
			err = r.warn(ctx, now)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			r.log.Warn("signed no fresh metadata", "err", err)
			wait = time.Minute
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// renew signs anew what is due. A repository that was not founded yet, and one
// that another node has just renewed, need nothing.
func (r *repository) renew(ctx context.Context) error {
	err := r.change(ctx, func(t *trust.Repository, now time.Time) (trust.Changes, error) {
		return t.Renew(r.keys, now)
	})
	if errors.Is(err, kit.ErrNotFound) || errors.Is(err, kit.ErrStale) {
		return nil
	}
	return err
}

// warn logs which roles people must sign anew.
func (r *repository) warn(ctx context.Context, now time.Time) error {
	current, _, err := r.load(ctx)
	if errors.Is(err, kit.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, role := range current.Roles() {
		if role.Due(now) {
			r.log.Error("signatures end soon, and with them every channel: run landfall trust renew --keys DIR", "role", role.Role, "expires", role.Expires)
		}
	}
	return nil
}
