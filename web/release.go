package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// releasesPage is a list of releases.
type releasesPage struct {
	Releases []api.Release
	Next     string
}

func (s site) releases(r request) (page, error) {
	var p releasesPage
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	p.Releases, p.Next, err = list(r, api.Releases, filter, "-created")
	return page{Title: "Releases", Section: "/releases", Body: "releases", Content: p, Live: follow(api.Releases.Name)}, err
}

// releasePage is a release, where it came from and who is offered it.
type releasePage struct {
	api.Release
	Text     []block // its notes
	Evidence []evidence
	Channels []api.Channel // that offer it
	Holds    []api.Inventory
}

func (s site) release(r request) (page, error) {
	release, err := read(r, api.Releases)
	if err != nil {
		return page{}, err
	}
	p := releasePage{Release: release, Text: blocks(release.Notes)}
	if p.Evidence, err = walk(r, release.Image, release.Run); err != nil {
		return page{}, err
	}
	if p.Channels, err = latest(r, api.Channels, fmt.Sprintf("release == %q", release.Link), 20); err != nil {
		return page{}, err
	}
	if p.Holds, err = latest(r, api.Inventories, fmt.Sprintf("image == %q", release.Image), 5); err != nil {
		return page{}, err
	}
	return page{
		Title: release.Project + " " + release.Version, Section: "/releases", Body: "release", Content: p,
		Live: follow(string(release.Link), api.Channels.Name),
	}, nil
}

// block is a part of release notes: a heading, a list or a paragraph.
type block struct {
	Heading string
	Items   []string
	Text    string
}

// blocks reads the Markdown that release notes are made of: headings, lists
// and paragraphs. Anything else is shown as it is written.
func blocks(markdown string) []block {
	var bs []block
	last := func() *block {
		if len(bs) == 0 {
			bs = append(bs, block{})
		}
		return &bs[len(bs)-1]
	}
	for line := range strings.Lines(markdown) {
		line = strings.TrimSpace(line)
		item, isItem := strings.CutPrefix(line, "- ")
		switch {
		case line == "":
			bs = append(bs, block{})
		case strings.HasPrefix(line, "#"):
			bs = append(bs, block{Heading: strings.TrimLeft(line, "# ")}, block{})
		case isItem:
			last().Items = append(last().Items, item)
		default:
			last().Text = strings.TrimSpace(last().Text + " " + line)
		}
	}
	return bs
}

// channelsPage is a list of channels.
type channelsPage struct {
	Channels []api.Channel
	Next     string
}

func (s site) channels(r request) (page, error) {
	var p channelsPage
	filter, err := projectFilter(r)
	if err != nil {
		return page{}, err
	}
	p.Channels, p.Next, err = list(r, api.Channels, filter, "")
	return page{Title: "Channels", Section: "/channels", Body: "channels", Content: p, Live: follow(api.Channels.Name)}, err
}

// channelPage is a channel and the environments that follow it.
type channelPage struct {
	api.Channel
	Offers    []api.Offered // newest first
	Followers []place
	Signed    api.TrustRole // by people, with the earliest end; zero before the trust is set up
	Due       bool          // people must sign it anew
}

func (s site) channel(r request) (page, error) {
	c, err := read(r, api.Channels)
	if err != nil {
		return page{}, err
	}
	p := channelPage{Channel: c}
	for _, o := range c.History {
		p.Offers = append([]api.Offered{o}, p.Offers...)
	}
	followers, err := latest(r, api.Environments, fmt.Sprintf("channel == %q", c.Link), 50)
	if err != nil {
		return page{}, err
	}
	if p.Followers, err = places(r, followers); err != nil {
		return page{}, err
	}
	if p.Signed, err = s.firstEnd(r.Context()); err != nil {
		return page{}, err
	}
	p.Due = p.Signed.Due(time.Now())
	return page{
		Title: "Channel " + c.Link.ID(), Section: "/channels", Body: "channel", Content: p,
		Live: follow(string(c.Link), api.Environments.Name, api.Statuses.Name),
	}, nil
}

// firstEnd returns the role of the signed metadata that ends first among those
// that people must sign anew. Before the trust is set up there is none.
func (s site) firstEnd(ctx context.Context) (first api.TrustRole, err error) {
	b, err := s.fetch(ctx, "/tuf/roles", kit.MaxDocument)
	if errors.Is(err, kit.ErrNotFound) {
		return first, nil
	}
	if err != nil {
		return first, err
	}
	var roles []api.TrustRole
	if err := json.Unmarshal(b, &roles); err != nil {
		return first, err
	}
	for _, r := range roles {
		if !r.Renew.IsZero() && (first.Role == "" || r.Expires.Before(first.Expires)) {
			first = r
		}
	}
	return first, nil
}
