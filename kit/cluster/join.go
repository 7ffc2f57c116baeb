package cluster

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster/authority"
	"landfall.dev/kit/cluster/disk"
	"landfall.dev/kit/cluster/wire"
)

// JoinPath is where a node must serve its JoinHandler, below its advertised
// URL.
const JoinPath = "/cluster/join"

// joinRequest is what a joining node sends.
type joinRequest struct {
	ID     string `json:"id"`
	Format int    `json:"format"`
	Schema string `json:"schema"`
	// Cluster is the digest of the authority of the cluster that the node is
	// of already; it then only asks whether this is the same.
	Cluster string `json:"cluster,omitempty"`
	// Refill is set by a node that has lost its directory and with it the
	// schema, which it will check when it starts.
	Refill bool `json:"refill,omitempty"`
}

// joinAnswer is all that a node needs to appear among the members.
type joinAnswer struct {
	Key    []byte      `json:"key"`
	Peers  []disk.Peer `json:"peers"`
	Schema string      `json:"schema"`
}

// maxJoin bounds a request and an answer.
const maxJoin = 1 << 20

// JoinHandler answers nodes that want to join, on any member: the answer lets
// the node into the gossip, where the leader finds it. The request bears the
// join token as Authorization: Bearer TOKEN.
func (n *Node) JoinHandler() http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		answer, err := n.admit(r)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(answer)
		return nil
	})
}

func (n *Node) admit(r *http.Request) (joinAnswer, error) {
	const op = "cluster.join"
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if n.config.JoinToken == "" || subtle.ConstantTimeCompare([]byte(token), []byte(n.config.JoinToken)) != 1 {
		return joinAnswer{}, &kit.Error{Fault: kit.ErrUnauthenticated, Op: op, Detail: "the join token is wrong", Hint: "take the one that this cluster was started with"}
	}
	if r.Method != http.MethodPost {
		return joinAnswer{}, kit.Errorf(kit.ErrInvalid, "", "a join is a POST, not a %s", r.Method)
	}
	var q joinRequest
	if err := json.NewDecoder(io.LimitReader(r.Body, maxJoin)).Decode(&q); err != nil {
		return joinAnswer{}, kit.Errorf(kit.ErrInvalid, "", "the request to join is not valid JSON: %v", err)
	}
	if q.Format != disk.Format || q.Schema != n.config.Schema && !q.Refill {
		return joinAnswer{}, &kit.Error{
			Fault: kit.ErrConflict, Op: op,
			Detail: fmt.Sprintf("the joining node has format %d and schema %q, this cluster has %d and %q", q.Format, q.Schema, disk.Format, n.config.Schema),
			Hint:   "start it with the same version of the binary",
		}
	}
	if q.Cluster != "" && q.Cluster != n.authority.Digest() {
		return joinAnswer{}, &kit.Error{
			Fault: kit.ErrConflict, Op: op, Detail: otherCluster,
			Hint: "join with an empty --data, or leave --join out to start the node in its own cluster",
		}
	}
	if !n.isMember() {
		return joinAnswer{}, kit.Errorf(kit.ErrUnavailable, "", "this node is no member itself yet")
	}
	if q.Refill {
		if err := n.CatchUp(r.Context()); err != nil {
			return joinAnswer{}, &kit.Error{
				Fault: kit.ErrConflict, Op: op, Detail: "without the damaged node this cluster has no majority", Err: err,
				Hint: "start more of its other nodes first; if there are none, restore a backup",
			}
		}
	}
	if q.Cluster == "" {
		n.log.Info("let in", "node", q.ID)
	}
	return joinAnswer{n.id.Key, n.roster.Peers(), n.config.Schema}, nil
}

const (
	joinPause    = 500 * time.Millisecond // between two rounds of requests
	joinReminder = 30 * time.Second       // between two warnings that nobody answers
)

// otherCluster is why a node with a past does not get in.
const otherCluster = "the joining node's directory belongs to another cluster"

// join asks the members at Config.Join in turn until one answers. A refusal
// ends it, an address at which nobody answers does not.
func (n *Node) join(ctx context.Context, id string) (joinAnswer, error) {
	if n.config.JoinToken == "" {
		return joinAnswer{}, &kit.Error{Fault: kit.ErrInvalid, Op: "cluster.join", Detail: "to join takes the cluster's token", Hint: "pass the one in cluster.token of a member's data directory"}
	}
	q := joinRequest{ID: id, Format: disk.Format, Schema: n.config.Schema}
	warned := time.Time{}
	for {
		answer, err := n.joinOnce(ctx, q)
		if err == nil || !kit.Temporary(err) {
			return answer, err
		}
		if time.Since(warned) > joinReminder {
			warned = time.Now()
			n.log.Warn("reached no member yet: still trying", "error", err)
		}
		select {
		case <-ctx.Done():
			return joinAnswer{}, &kit.Error{Fault: kit.ErrUnavailable, Op: "cluster.join", Err: err}
		case <-time.After(joinPause):
		}
	}
}

// joinOnce asks each of the members at Config.Join until one answers or
// refuses.
func (n *Node) joinOnce(ctx context.Context, q joinRequest) (joinAnswer, error) {
	var errs []error
	for _, url := range n.config.Join {
		answer, err := n.ask(ctx, url, q)
		if err == nil {
			return answer, nil
		}
		err = fmt.Errorf("join %s: %w", url, err)
		if !kit.Temporary(err) {
			return joinAnswer{}, err
		}
		errs = append(errs, err)
	}
	return joinAnswer{}, errors.Join(errs...)
}

// checkCluster fails if the members at Config.Join say that they are of
// another cluster than this node, which has a past. That nobody answers is no
// reason not to start: maybe all of them are being started.
func (n *Node) checkCluster(ctx context.Context, id disk.Identity) error {
	own, err := authority.New(id.Key)
	if err != nil {
		return err
	}
	q := joinRequest{ID: id.ID, Format: disk.Format, Schema: n.config.Schema, Cluster: own.Digest()}
	ctx, cancel := context.WithTimeout(ctx, wire.DialLimit)
	defer cancel()
	for _, url := range n.config.Join {
		answer, err := n.ask(ctx, url, q)
		other := err == nil && !bytes.Equal(answer.Key, id.Key)
		var refusal *kit.Error
		if errors.As(err, &refusal) {
			other = refusal.Detail == otherCluster
		}
		if other {
			return &kit.Error{
				Fault: kit.ErrConflict, Op: "cluster.open",
				Detail: fmt.Sprintf("%s belongs to another cluster than %s", n.config.Dir, url),
				Hint:   "join with an empty --data, or leave --join out to start the node in its own cluster",
			}
		}
		if err == nil {
			return nil
		}
	}
	return nil
}

// ask sends one request to join to the member at url.
func (n *Node) ask(ctx context.Context, url string, q joinRequest) (joinAnswer, error) {
	var answer joinAnswer
	body, err := json.Marshal(q)
	if err != nil {
		return answer, err
	}
	ctx, cancel := context.WithTimeout(ctx, wire.CallLimit)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(url, "/")+JoinPath, bytes.NewReader(body))
	if err != nil || r.URL.Host == "" {
		return answer, &kit.Error{Fault: kit.ErrInvalid, Detail: fmt.Sprintf("%q is no address of a member", url), Hint: "write it like http://127.0.0.1:7700", Err: err}
	}
	if r.URL.Scheme != "https" && !(r.URL.Scheme == "http" && loopback(r.URL.Hostname())) {
		return answer, &kit.Error{
			Fault: kit.ErrInvalid, Detail: fmt.Sprintf("whoever is on the way to %s could read the token, so it was not sent", url),
			Hint: "write https://" + r.URL.Host,
		}
	}
	r.Header.Set("Authorization", "Bearer "+n.config.JoinToken)
	r.Header.Set("Content-Type", "application/json")
	via := authority.Transport(n.config.Authority)
	defer via.CloseIdleConnections()
	client := &http.Client{Transport: via, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	if stranger := (authority.Untrusted{}); errors.As(err, &stranger) {
		return answer, &kit.Error{Fault: kit.ErrForbidden, Detail: "it is not trusted, so the token was not sent", Hint: "is the address right, and the token that of its cluster?", Err: stranger}
	}
	if err != nil {
		return answer, &kit.Error{Fault: kit.ErrUnavailable, Err: err}
	}
	defer func() { _ = response.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(response.Body, maxJoin))
	if err != nil {
		return answer, &kit.Error{Fault: kit.ErrUnavailable, Err: err}
	}
	if response.StatusCode != http.StatusOK {
		return answer, kit.DecodeProblem(response.StatusCode, b)
	}
	return parseAnswer(b)
}

// loopback tells whether what is sent to the host stays on this machine.
func loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }

// parseAnswer reads the answer to a request to join.
func parseAnswer(b []byte) (joinAnswer, error) {
	var answer joinAnswer
	if err := json.Unmarshal(b, &answer); err != nil || len(answer.Key) != disk.KeySize || len(answer.Peers) == 0 {
		return joinAnswer{}, kit.Errorf(kit.ErrInvalid, "", "the answer is none of a cluster's: is the address right?")
	}
	return answer, nil
}
