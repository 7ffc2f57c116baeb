package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"landfall.dev/kit"
)

// Group is a group of ledger nodes in unknown.
type Group struct {
	kit.Meta
	Project string `json:"project"`
	Ports   []int  `json:"ports"`
	Token   string `json:"token"`
	Release string `json:"release"`
	State   string `json:"state"`
}

// Name is that of the group's instances.
func (g Group) Name() string { return g.Project + "-" + g.Link.ID() }

var instanceGroups = kit.Define[Group]("instance-groups")

// Groups returns unknown's groups, the oldest first.
func (p *Path) Groups(ctx context.Context) (all []Group, err error) {
	for g, err := range instanceGroups.All(ctx, p.Agent, "", "created") {
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// Instance is a ledger node.
type Instance struct {
	Group, Name string
	PID         int
	Leads       bool

	data string // its directory
	url  string
}

// String is how the instance is called in messages.
func (i Instance) String() string {
	role := "follower"
	if i.Leads {
		role = "leader"
	}
	return fmt.Sprintf("%s/%s (%s)", i.Group, i.Name, role)
}

// Instances returns the nodes of g that run.
func (p *Path) Instances(ctx context.Context, g Group) []Instance {
	var all []Instance
	for n, port := range g.Ports {
		i := Instance{Group: g.Name(), Name: strconv.Itoa(n)}
		i.data, i.url = p.Dir("unknown/groups/"+i.Group+"/"+i.Name), fmt.Sprintf("http://127.0.0.1:%d", port)
		b, err := os.ReadFile(p.Dir("unknown/engine/instances/" + i.Group + "/" + i.Name + "/record.json"))
		var record struct{ Process struct{ PID int } }
		if err != nil || json.Unmarshal(b, &record) != nil || record.Process.PID == 0 {
			continue
		}
		i.PID = record.Process.PID
		if !i.runs() {
			continue
		}
		i.Leads = i.leads(ctx, g.Token)
		all = append(all, i)
	}
	return all
}

// leads asks the node whether it leads: if not it answers with a redirection.
func (i Instance) leads(ctx context.Context, token string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/migrate/status", nil)
	if err != nil {
		return false
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// Kill ends the instance with SIGKILL, if it still is the process that it was.
func (i Instance) Kill() error { return i.signal(syscall.SIGKILL) }

// runs tells whether the process is there. A dead one has no environment.
func (i Instance) runs() bool {
	environment, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", i.PID))
	return err == nil && bytes.Contains(environment, []byte("DATA_DIR="+i.data+"\x00"))
}

// Back waits until the instance, which was killed, answers again, or its group
// is destroyed. Two of three that are down at once take the leader with them,
// so until then requests may fail.
func (i Instance) Back(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil && (i.runs() || !i.answers(ctx)) {
		if _, err := os.Stat(i.data); err != nil {
			return
		}
		<-tick.C
	}
}

func (i Instance) answers(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/healthz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}
