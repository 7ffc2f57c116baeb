package cluster

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"landfall.dev/kit"
)

// JoinPath is where a node must serve its JoinHandler, below its advertised
// URL.
const JoinPath = "/cluster/join"

// joinRequest is what a joining node sends.
type joinRequest struct {
	ID     string `json:"id"`
	Format int    `json:"format"`
	Schema string `json:"schema"`
}

// joinAnswer is all that a node needs to appear among the members.
type joinAnswer struct {
	Key   []byte `json:"key"`
	Peers []peer `json:"peers"`
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
	if q.Format != format || q.Schema != n.config.Schema {
		return joinAnswer{}, &kit.Error{
			Fault: kit.ErrConflict, Op: op,
			Detail: fmt.Sprintf("the joining node has format %d and schema %q, this cluster has %d and %q", q.Format, q.Schema, format, n.config.Schema),
			Hint:   "start it with the same version of the binary",
		}
	}
	if !n.isMember() {
		return joinAnswer{}, kit.Errorf(kit.ErrUnavailable, "", "this node is no member itself yet")
	}
	n.log.Info("let in", "node", q.ID)
	n.roster.mu.Lock()
	defer n.roster.mu.Unlock()
	return joinAnswer{n.id.Key, n.roster.list()}, nil
}

// joinPause is between two rounds of requests.
const joinPause = 500 * time.Millisecond

// join asks the members at Config.Join in turn until one answers. A refusal
// ends it, an address at which nobody answers does not.
func (n *Node) join(ctx context.Context, id string) (joinAnswer, error) {
	body, err := json.Marshal(joinRequest{id, format, n.config.Schema})
	if err != nil {
		return joinAnswer{}, err
	}
	for round := 0; ; round++ {
		var errs []error
		for _, url := range n.config.Join {
			answer, err := n.ask(ctx, strings.TrimSuffix(url, "/")+JoinPath, body)
			if err == nil {
				return answer, nil
			}
			if !kit.Temporary(err) {
				return joinAnswer{}, fmt.Errorf("join %s: %w", url, err)
			}
			errs = append(errs, fmt.Errorf("join %s: %w", url, err))
		}
		if round == 0 {
			n.log.Warn("reached no member yet: still trying", "error", errors.Join(errs...))
		}
		select {
		case <-ctx.Done():
			return joinAnswer{}, &kit.Error{Fault: kit.ErrUnavailable, Op: "cluster.join", Err: errors.Join(errs...)}
		case <-time.After(joinPause):
		}
	}
}

// ask sends one request to join.
func (n *Node) ask(ctx context.Context, url string, body []byte) (joinAnswer, error) {
	var answer joinAnswer
	ctx, cancel := context.WithTimeout(ctx, raftRPC)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer, &kit.Error{Fault: kit.ErrInvalid, Err: err}
	}
	r.Header.Set("Authorization", "Bearer "+n.config.JoinToken)
	r.Header.Set("Content-Type", "application/json")
	response, err := n.config.Client.Do(r)
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
	if err := json.Unmarshal(b, &answer); err != nil || len(answer.Key) != keySize || len(answer.Peers) == 0 {
		return answer, kit.Errorf(kit.ErrInvalid, "", "the answer is none of a cluster's: is the address right?")
	}
	return answer, nil
}
