package webhook

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"landfall.dev/kit"
)

// Subscription asks for the changed documents of a kind to be posted to a URL.
type Subscription struct {
	kit.Meta
	// Of is the kind, Filter a CEL expression as in kit.Query. Deletions always
	// pass it.
	Of     string `json:"of"`
	Filter string `json:"filter,omitempty"`
	// URL is http or https.
	URL string `json:"url"`
	// Secret is what deliveries are signed with: "whsec_" and 24 to 64 bytes in
	// base64. It is only written: reading a subscription never shows it. After
	// it was changed, deliveries are signed with both for a day.
	Secret string `json:"secret,omitempty"`

	// The rest is set by the service.

	// By is who subscribed, or changed what is sent where: the documents are read
	// with its rights.
	By    string `json:"by"`
	State State  `json:"state"`
	Why   string `json:"why,omitempty"` // it is disabled
	// Sealed is the encrypted secret, Former the one before, until Rotated is a
	// day ago.
	Sealed  string    `json:"sealed"`
	Former  string    `json:"former,omitempty"`
	Rotated time.Time `json:"rotated,omitzero"`
	// Position is up to where all changes are posted or are letters, and Seen
	// the time of the last change up to there.
	Position string    `json:"position,omitempty"`
	Seen     time.Time `json:"seen,omitzero"`
	// Delivered and Failures count posts. LastError is that of the last failure.
	Delivered int64  `json:"delivered"`
	Failures  int64  `json:"failures"`
	LastError string `json:"lastError,omitempty"`
}

// State is whether a subscription is served.
type State string

// The states of a subscription. The method resume leads back to Active.
const (
	Active   State = "active"
	Paused   State = "paused"   // by the method pause
	Disabled State = "disabled" // by the service, which says why
)

// Subscriptions are those of all kinds.
var Subscriptions = kit.Define[Subscription]("subscriptions")

// The methods of a subscription. The last two are the service's own.
const (
	methodPause    = "pause"
	methodResume   = "resume"
	methodProgress = "~progress"
	methodDisable  = "~disable"
)

// progress are the arguments of methodProgress.
type progress struct {
	Of        string    `json:"of"` // what the rest is about
	Position  string    `json:"position"`
	Seen      time.Time `json:"seen"`
	Delivered int64     `json:"delivered"`
	Failures  int64     `json:"failures"`
	LastError string    `json:"lastError"`
}

// writable are the fields that a subscription's user may set.
var writable = []string{"of", "filter", "url", "secret"}

// rules decides about subscriptions.
type rules struct {
	vault  vault
	public bool
}

// next is the life of a subscription. The secret is sealed before anything is
// kept or logged.
func (x rules) next(s Subscription, e kit.Event, now time.Time) (Subscription, []kit.Op) {
	switch e.Name {
	case "created":
		s = Subscription{Meta: s.Meta, Of: s.Of, Filter: s.Filter, URL: s.URL, Secret: s.Secret, By: e.By, State: Active, Seen: now}
		return x.accept(s, now)
	case "updated":
		var fields map[string]json.RawMessage
		if err := e.Into(&fields); err != nil {
			return s, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		own := []string{}
		for name := range fields {
			if !slices.Contains(writable, name) && name != "expires" && name != "source" {
				own = append(own, name)
			}
		}
		if sort.Strings(own); len(own) > 0 {
			return s, kit.Refuse(kit.ErrInvalid, "field %q is set by the service; you can set %s", own[0], strings.Join(writable, ", "))
		}
		if fields["of"] != nil {
			s.Position, s.Seen = "", now
		}
		if fields["of"] != nil || fields["filter"] != nil || fields["url"] != nil {
			s.By = e.By
		}
		return x.accept(s, now)
	case methodPause:
		s.State, s.Why = Paused, ""
	case methodResume:
		s.State, s.Why = Active, ""
	case methodDisable:
		s.State = Disabled
		_ = e.Into(&s.Why)
	case methodProgress:
		var p progress
		if _ = e.Into(&p); p.Of == s.Of {
			s.Position, s.Seen = p.Position, p.Seen
		}
		s.Delivered, s.Failures, s.LastError = p.Delivered, p.Failures, p.LastError
	}
	return s, nil
}

// accept checks what a user has written and seals the secret.
func (x rules) accept(s Subscription, now time.Time) (Subscription, []kit.Op) {
	if err := kit.CheckKind(s.Of); err != nil {
		return s, kit.Refuse(kit.ErrInvalid, `field "of": %v`, err)
	}
	if err := checkURL(s.URL, x.public); err != nil {
		return s, kit.Refuse(kit.ErrInvalid, `field "url": %v`, err)
	}
	if s.Secret == "" && s.Sealed == "" {
		return s, kit.Refuse(kit.ErrInvalid, `field "secret" is missing: make one, as by: echo whsec_$(openssl rand -base64 32)`)
	}
	if s.Secret == "" {
		return s, nil
	}
	if _, err := decodeSecret(s.Secret); err != nil {
		return s, kit.Refuse(kit.ErrInvalid, `field "secret": %v`, err)
	}
	if s.Sealed != "" {
		s.Former, s.Rotated = s.Sealed, now
	}
	s.Sealed, s.Secret = x.vault.seal(s.Secret, s.Link), ""
	return s, nil
}

// checkURL tells what is wrong with a receiver's address. With public, only
// addresses of the public internet will do.
func checkURL(text string, public bool) error {
	u, err := url.Parse(text)
	switch {
	case text == "":
		return fmt.Errorf("it is missing: write it like https://example.com/hook")
	case len(text) > 2048:
		return fmt.Errorf("it has more than 2048 bytes")
	case err != nil:
		return fmt.Errorf("%q is no URL", text)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q begins neither with http:// nor with https://", text)
	case u.Hostname() == "":
		return fmt.Errorf("%q names no host", text)
	case u.User != nil:
		return fmt.Errorf("it has a user name or a password, which everybody could read: the signature is what tells who sends")
	case u.Fragment != "":
		return fmt.Errorf("%q has a part after #, which is never sent", text)
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); public && (host == "localhost" || ip != nil && !isPublic(ip)) {
		return fmt.Errorf("%s is not on the public internet, and this platform posts only there", host)
	}
	return nil
}

// special are the networks that are not the public internet's, beside those
// that the standard library knows: IANA's registries of special-purpose
// addresses (RFC 6890 and later), and those that lead to IPv4 addresses.
var special = networks(
	"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16",
	"3fff::/20", "5f00::/16",
)

func networks(prefixes ...string) []*net.IPNet {
	var all []*net.IPNet
	for _, p := range prefixes {
		_, n, err := net.ParseCIDR(p)
		if err != nil {
			panic(err)
		}
		all = append(all, n)
	}
	return all
}

// isPublic tells whether ip may be reached where only public receivers may.
func isPublic(ip net.IP) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(special, func(n *net.IPNet) bool { return n.Contains(ip) })
}
