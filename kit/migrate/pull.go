package migrate

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/migrate/blobs"
	"landfall.dev/kit/migrate/door"
	"landfall.dev/kit/migrate/pace"
)

// PullRequest asks a cluster to pull.
type PullRequest struct {
	// Source is the URL of a node of the source, Token its cluster's token.
	Source string `json:"source"`
	Token  string `json:"token"`
	// Final makes sure that the source is fenced, and that no document is left in
	// quarantine that is not waived.
	Final bool `json:"final,omitempty"`
	// Base, if not empty, says that the source is this cluster's successor, and
	// where that was when it took over: what changed there since is taken back,
	// in the schemas of this cluster.
	Base string `json:"base,omitempty"`
	// Rate is how many documents a second are taken at most; 0 is no bound. See
	// Client.Pace.
	Rate float64 `json:"rate,omitempty"`
	// Compress has the source compress what it sends, for a slow network. From
	// another machine it does so in any case.
	Compress bool `json:"compress,omitempty"`
}

// Pulled is what a cycle came to.
type Pulled struct {
	// Documents and Deletions are those that this cluster did not have yet.
	Documents int64 `json:"documents"`
	Deletions int64 `json:"deletions"`
	// Bytes were read from the source, in Seconds for the whole cycle.
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	// Position is how far the source was taken.
	Position string `json:"position"`
	// Left is how many documents changed at the source meanwhile.
	Left int64 `json:"left"`
	// Quarantined is how many documents cannot be transformed and are not waived,
	// Failed the first hundred of them, and Waived how many are.
	Quarantined int       `json:"quarantined"`
	Failed      []Failure `json:"failed,omitempty"`
	Waived      int       `json:"waived,omitempty"`
}

// maxFailed bounds Pulled.Failed.
const maxFailed = 100

// alone returns when nothing else is being pulled or repaired here, this node
// leads, and the cluster is fenced. The caller calls release.
func (s *service) alone(ctx context.Context) (release func(), err error) {
	select {
	case s.pulling <- struct{}{}: // one at a time: the others wait
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	release = func() { <-s.pulling }
	if err = s.lead(ctx); err == nil {
		if _, on := s.store.Fenced(); !on {
			err = &kit.Error{
				Fault:  kit.ErrConflict,
				Detail: "this cluster takes writes; a pull would make it a copy of its source",
				Hint:   "POST /migrate/fence first",
			}
		}
	}
	if err != nil {
		release()
	}
	return release, err
}

// pulls returns the handler of requests to take something over as run does.
func (s *service) pulls(run func(c *cycle, ctx context.Context) error) door.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		var req PullRequest
		if err := door.Decode(r, &req); err != nil {
			return err
		}
		if err := req.check(); err != nil {
			return err
		}
		release, err := s.alone(r.Context())
		if err != nil {
			return err
		}
		defer release()
		c := &cycle{
			service: s, request: req, way: forth, start: time.Now(),
			source: &Client{URLs: []string{req.Source}, Token: req.Token}, pace: pace.New(req.Rate),
		}
		if s.blobs != nil {
			c.blobs = blobs.New(s.blobs, c.fetch, s.kinds, c.pace)
		}
		s.pace.Store(c.pace)
		defer s.pace.Store(nil)
		if req.Base != "" {
			c.way = wayBack
		}
		if err = c.load(); err == nil {
			err = run(c, r.Context())
		}
		if err != nil {
			return err
		}
		if c.blobs != nil {
			c.result.Bytes += c.blobs.Bytes()
		}
		return door.Answer(w, c.result)
	}
}

// check returns an error unless r makes sense.
func (r *PullRequest) check() error {
	u, err := url.Parse(r.Source)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return kit.Errorf(kit.ErrInvalid, "", "source %q: it is a URL like http://127.0.0.1:7700", r.Source)
	}
	if err := pace.Check(r.Rate); err != nil {
		return err
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		r.Compress = true
	}
	if r.Base != "" {
		_, err = kit.ParsePosition(r.Base)
	}
	return err
}

// Paced is what has become of a change of the rate.
type Paced struct {
	// Pulling tells whether there is a pull that it is for, and Taken how many
	// documents that has taken so far.
	Pulling bool  `json:"pulling"`
	Taken   int64 `json:"taken,omitempty"`
}

// servePace changes the rate of the pull that is under way.
func (s *service) servePace(w http.ResponseWriter, r *http.Request) error {
	var to struct {
		Rate float64 `json:"rate"`
	}
	if err := door.Decode(r, &to); err != nil {
		return err
	}
	if err := pace.Check(to.Rate); err != nil {
		return err
	}
	if p := s.pace.Load(); p != nil {
		p.Set(to.Rate)
		return door.Answer(w, Paced{Pulling: true, Taken: p.Taken()})
	}
	if leader, self := s.node.Leader(); leader != "" && !self {
		return door.Elsewhere(leader)
	}
	return door.Answer(w, Paced{})
}
