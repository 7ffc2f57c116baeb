// Package health gives the checks of upgrades their values: from the front
// door, from the tests of the deployment, or from a Prometheus server. It
// decides nothing.
package health

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/site/agent/doors"
)

// Source gives the checks their values. It implements upgrade.Health; its
// methods may be called concurrently.
type Source struct {
	door   Door
	failed func(context.Context, api.Upgrade) (bool, error)

	mu   sync.Mutex
	seen map[string]doors.Total // when they were looked at, by upgrade and check
}

// Door is the environment's front doors; *doors.Doors is that.
type Door interface {
	// Total returns what they have done; it only grows.
	Total() doors.Total
}

// New returns a source of door's values that knows by failed whether the tests
// of the deployment that ordered an upgrade have failed.
func New(door Door, failed func(context.Context, api.Upgrade) (bool, error)) *Source {
	return &Source{door: door, failed: failed, seen: map[string]doors.Total{}}
}

// fewRequests is how many requests tell how the door does.
const fewRequests = 10

// Value implements upgrade.Health.
func (h *Source) Value(ctx context.Context, u api.Upgrade, c api.Check) (float64, error) {
	switch {
	case c.URL != "":
		return prometheus(ctx, c.URL, c.Query)
	case c.Query == api.CheckErrors:
		return h.errors(string(u.Link) + " " + c.Name), nil
	case c.Query == api.CheckLatency:
		return h.p99(string(u.Link) + " " + c.Name), nil
	case c.Query == api.CheckTests:
		return h.tests(ctx, u)
	}
	return 0, kit.Errorf(kit.ErrInvalid, u.Link, "the check %s asks for %q, which is not known", c.Name, c.Query)
}

// errors returns the share of the front door's requests that have failed since
// the last call with the key.
func (h *Source) errors(key string) float64 {
	before, now, enough := h.since(key)
	if !enough {
		return 0
	}
	return float64(now.Failed-before.Failed) / float64(now.Requests-before.Requests)
}

// p99 returns the seconds within which the front door has answered 99 of 100
// requests since the last call with the key.
func (h *Source) p99(key string) float64 {
	before, now, enough := h.since(key)
	if !enough {
		return 0
	}
	return now.Latencies.Within(0.99, before.Latencies).Seconds()
}

// since looks at the door and returns the look before. Too few requests tell
// nothing: they add up to the next look.
func (h *Source) since(key string) (before, now doors.Total, enough bool) {
	now = h.door.Total()
	h.mu.Lock()
	defer h.mu.Unlock()
	before, known := h.seen[key]
	if known && now.Requests-before.Requests < fewRequests {
		return before, now, false
	}
	h.seen[key] = now
	return before, now, known
}

// tests returns 1 if the tests of the deployment that ordered u have failed.
func (h *Source) tests(ctx context.Context, u api.Upgrade) (float64, error) {
	failed, err := h.failed(ctx, u)
	if failed {
		return 1, err
	}
	return 0, err
}

// promClient asks Prometheus servers.
var promClient = &http.Client{Timeout: 5 * time.Second}

// maxMetrics bounds what is read of one.
const maxMetrics = 1 << 20

// prometheus returns the value of an instant query: that of its only series, or
// the greatest of several. What has no series has no value.
func prometheus(ctx context.Context, server, query string) (float64, error) {
	address := strings.TrimRight(server, "/") + "/api/v1/query?" + url.Values{"query": {query}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, fmt.Errorf("%q is no URL of a Prometheus server: %w", server, err)
	}
	res, err := promClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	// The answer is that of Prometheus' HTTP API, "Instant queries".
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxMetrics)).Decode(&answer); err != nil {
		return 0, fmt.Errorf("%s answered %s, and not as Prometheus does: %w", server, res.Status, err)
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s refused the query %q: %s", server, query, answer.Error)
	}
	type sample [2]any // the time, and the value as text
	var samples []sample
	switch answer.Data.Type {
	case "scalar":
		samples = make([]sample, 1)
		err = json.Unmarshal(answer.Data.Result, &samples[0])
	case "vector":
		var series []struct {
			Value sample `json:"value"`
		}
		err = json.Unmarshal(answer.Data.Result, &series)
		for _, s := range series {
			samples = append(samples, s.Value)
		}
	default:
		err = fmt.Errorf("the query %q is a %s: write one that has a value now", query, answer.Data.Type)
	}
	if err != nil {
		return 0, err
	}
	return greatest(samples, query)
}

// greatest returns the greatest of the samples' values.
func greatest[S ~[2]any](samples []S, query string) (float64, error) {
	if len(samples) == 0 {
		return 0, fmt.Errorf("the query %q has no value now", query)
	}
	var most float64
	for i, s := range samples {
		text, _ := s[1].(string)
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return 0, fmt.Errorf("the query %q: %w", query, err)
		}
		if i == 0 || v > most {
			most = v
		}
	}
	return most, nil
}
