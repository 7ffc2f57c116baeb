package linear

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// cluster is a running cluster.
type cluster struct {
	t       *testing.T
	lan     *lan
	members []*member
	via     *http.Transport
	// What the first node has made: the cluster's token, the administrator's and
	// the certificate to trust.
	secret, admin, authority string
}

// patience is how long anything is waited for that must come in the end.
const patience = time.Minute

// newCluster starts a cluster; the member with the number full, if there is
// one, has a small disk.
func newCluster(t *testing.T, slot, nodes, full int, grace time.Duration) *cluster {
	t.Helper()
	dir := t.TempDir()
	c := &cluster{t: t, lan: newLAN(t, slot, nodes)}
	for i := range nodes {
		address := c.lan.address(i) + ":7700"
		m := &member{t: t, name: fmt.Sprintf("n%d", i), url: "https://" + address, ns: c.lan.namespace(i), disk: i == full}
		m.env = []string{"KIT_LISTEN=" + address, "LINEAR_GRACE=" + grace.String()}
		m.prepare(dir)
		c.members = append(c.members, m)
		t.Cleanup(m.kill)
	}
	t.Cleanup(c.keepLogs)
	c.begin()
	return c
}

// keepLogs keeps what the members have said if the test has failed.
func (c *cluster) keepLogs() {
	if !c.t.Failed() {
		return
	}
	keep, err := os.MkdirTemp("", "linear-logs")
	if err != nil {
		c.t.Log(err)
		return
	}
	for _, m := range c.members {
		if err := os.Link(m.log, filepath.Join(keep, filepath.Base(m.log))); err != nil {
			c.t.Log(err)
		}
	}
	c.t.Logf("what the nodes have said is in %s", keep)
}

// begin starts all members and waits until each has a vote. What the others
// join with, and what clients trust, the first has made.
func (c *cluster) begin() {
	c.t.Helper()
	first := c.members[0]
	first.start()
	for name, text := range map[string]*string{"cluster.token": &c.secret, "admin.token": &c.admin, "ca.pem": &c.authority} {
		c.until("the first node has made "+name, func(context.Context) error {
			b, err := os.ReadFile(filepath.Join(first.dir, name))
			*text = strings.TrimSpace(string(b))
			return err
		})
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(c.authority)) {
		c.t.Fatalf("the first node's ca.pem is none: %q", c.authority)
	}
	c.via = &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext:     (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext, MaxIdleConnsPerHost: 256,
	}
	c.t.Cleanup(c.via.CloseIdleConnections)
	for _, m := range c.members[1:] {
		m.env = append(m.env, "KIT_JOIN="+first.url, "KIT_TOKEN="+c.secret)
		m.start()
	}
	c.until("all nodes are members and as many as can have a vote", func(ctx context.Context) error {
		seen, err := c.membership(ctx)
		if err != nil {
			return err
		}
		voters := 0
		for _, m := range seen.Members {
			if m.Voter {
				voters++
			}
		}
		if want := min(len(c.members), 5); voters != want || len(seen.Members) != len(c.members) {
			return fmt.Errorf("%d of %d have", voters, want)
		}
		return nil
	})
}

// ask reads what the member answers at path into v, if that is not nil.
func (c *cluster) ask(ctx context.Context, m *member, path, token string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := c.via.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err
	case res.StatusCode != http.StatusOK:
		return errors.New(res.Status)
	case v == nil:
		return nil
	}
	return json.Unmarshal(b, v)
}

// client returns a client that asks the members from at on, in turn, and
// gives up soon; with alone it asks that member only.
func (c *cluster) client(at int, alone bool) *rest.Client {
	c.t.Helper()
	var urls []string
	for i := range c.members {
		urls = append(urls, c.members[(at+i)%len(c.members)].url)
	}
	if alone {
		urls = urls[:1]
	}
	r, err := rest.NewClient(strings.Join(urls, ","), c.admin, rest.ClientOptions{Transport: c.via, Patience: time.Second})
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// leader returns the number of the member that leads, or that of any if none
// does.
func (c *cluster) leader(ctx context.Context) int {
	leads := make([]bool, len(c.members))
	var g sync.WaitGroup
	for i, m := range c.members {
		g.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			defer cancel()
			leads[i] = c.ask(ctx, m, "/migrate/status", c.secret, nil) == nil // others answer with a redirection
		})
	}
	g.Wait()
	for i, l := range leads {
		if l {
			return i
		}
	}
	return 0
}

// mend ends every fault but wrong clocks.
func (c *cluster) mend() {
	c.lan.heal()
	for _, m := range c.members {
		m.resume()
		m.slow(0)
		m.free()
	}
}

// until repeats do until it succeeds.
func (c *cluster) until(what string, do func(context.Context) error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := do(ctx)
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			for _, m := range c.members {
				m.dump()
			}
			c.t.Fatalf("waited for %s until %s: %v", patience, what, last)
		case <-tick.C:
		}
	}
}

// all returns the documents of the kind as the member has them.
func (c *cluster) all(ctx context.Context, at int, kind string) (map[kit.Link]kit.Record, error) {
	docs := map[kit.Link]kit.Record{}
	q := kit.Query{Kind: kind, Limit: 1000, Consistency: kit.Eventual}
	client := c.client(at, true)
	for {
		p, err := client.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range p.Items {
			docs[r.Link] = r
		}
		if q.Token = p.Next; q.Token == "" {
			return docs, nil
		}
	}
}
