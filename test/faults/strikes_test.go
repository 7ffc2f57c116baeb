package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/task"
	"landfall.dev/test/harness"
)

// strike does something bad, and returns what makes it good again.
type strike func(c *scene) (heal func())

// killNode ends a leader or a follower with SIGKILL. The agent starts it again.
func killNode(green, leader bool) strike {
	return func(c *scene) func() {
		if i, ok := c.victim(green, leader); ok {
			c.note(i.String(), i.Kill())
		}
		return func() {}
	}
}

// pauseNode stops a leader or a follower with SIGSTOP.
func pauseNode(green, leader bool) strike {
	return func(c *scene) func() {
		i, ok := c.victim(green, leader)
		if !ok {
			return func() {}
		}
		c.note(i.String(), i.Pause())
		return func() { c.note(i.String(), i.Resume()) }
	}
}

// victim returns a node of a side, or false if none of those runs yet.
func (c *scene) victim(green, leader bool) (harness.Instance, bool) {
	side := c.blueNodes
	if green {
		if side = c.greenNodes; side == nil {
			side = c.newest()
		}
	}
	if len(side) == 0 {
		c.t.Error("there is no node that could be hit")
		return harness.Instance{}, false
	}
	return side[max(0, slices.IndexFunc(side, func(i harness.Instance) bool { return i.Leads == leader }))], true
}

// newest waits for a node of the newest group, which is being started, and
// returns those that run.
func (c *scene) newest() (found []harness.Instance) {
	for len(found) == 0 && c.t.Context().Err() == nil {
		groups, err := c.path.Groups(c.t.Context())
		if err == nil && groups[len(groups)-1].Link != c.blue.Link {
			found = c.path.Instances(c.t.Context(), groups[len(groups)-1])
		}
	}
	return found
}

func (c *scene) note(what string, err error) {
	if err != nil {
		c.t.Errorf("%s: %v", what, err)
	}
	c.t.Logf("that was %s", what)
}

func killAgent(c *scene) func() {
	c.path.Unknown.Kill()
	c.path.Unknown.Start()
	return func() {}
}

func pauseAgent(c *scene) func() {
	c.path.Unknown.Pause()
	return c.path.Unknown.Resume
}

// killDoor ends the further front door, which is started again at once.
func killDoor(c *scene) func() {
	c.further.Kill()
	c.further.Start()
	return func() {}
}

// loseDoor ends the further front door, which is missing until the end.
func loseDoor(c *scene) func() {
	c.further.Kill()
	return c.further.Start
}

func pauseDoor(c *scene) func() {
	c.further.Pause()
	return c.further.Resume
}

// wired has the agent and green reach blue's nodes over wires until unwire. The
// front doors may use them for longer.
func (c *scene) wired() (unwire func()) {
	var ports []int
	for i, port := range c.blue.Ports {
		if len(c.wires) == i {
			c.wires = append(c.wires, newWire(c.whole, net.JoinHostPort("127.0.0.1", strconv.Itoa(port))))
		}
		ports = append(ports, c.wires[i].port())
	}
	c.path.Reroute(c.blue, ports)
	return func() { c.path.Reroute(c.blue, c.blue.Ports) }
}

func slowNetwork(c *scene) func() {
	for _, w := range c.wires {
		w.slow(5 * time.Millisecond)
	}
	return func() {
		for _, w := range c.wires {
			w.slow(0)
		}
	}
}

func cutNetwork(c *scene) func() {
	for _, w := range c.wires {
		w.cut()
	}
	return func() {
		for _, w := range c.wires {
			w.mend()
		}
	}
}

// fullDisk gives the next group a disk that has no byte left.
func fullDisk(c *scene) func() {
	groups, err := c.path.Groups(c.t.Context())
	if err != nil {
		c.t.Fatal(err)
	}
	latest, err := c.path.Latest(c.t.Context())
	last := groups[len(groups)-1].Link.ID()
	if err == nil {
		last = latest.Green.Group[strings.LastIndexByte(latest.Green.Group, '-')+1:]
	}
	n, _ := strconv.Atoi(last) // ids of groups are numbers
	disk := c.t.TempDir()
	if err := syscall.Mount("faults", disk, "tmpfs", 0, "size=65536"); err != nil {
		c.t.Fatalf("mount a small file system: %v (this test takes root)", err)
	}
	c.t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	ballast := os.WriteFile(filepath.Join(disk, "ballast"), make([]byte, 1<<20), 0o600)
	if !errors.Is(ballast, syscall.ENOSPC) {
		c.t.Errorf("fill the disk: %v", ballast)
	}
	group := c.path.Dir(fmt.Sprintf("unknown/groups/%s-%d", c.blue.Project, n+1))
	if err := os.Mkdir(group, 0o700); err != nil {
		c.t.Fatal(err)
	}
	for i := range c.blue.Ports {
		if err := os.Symlink(disk, filepath.Join(group, strconv.Itoa(i))); err != nil {
			c.t.Fatal(err)
		}
	}
	return func() {}
}

// fillDisk leaves no room for the logs of green's nodes, until the upgrade says
// so.
func fillDisk(c *scene) func() {
	fill := func(full bool) {
		if err := harness.FillDisk(c.path.Faults(), full); err != nil {
			c.t.Error(err)
		}
	}
	fill(true)
	u, err := c.path.Latest(c.t.Context())
	freed := make(chan error, 1)
	go func() {
		if err == nil {
			_, err = task.AllSteps.Await(c.t.Context(), c.path.Agent, "upgrades."+u.Link.ID(), func(s task.Steps) bool {
				return strings.Contains(fmt.Sprint(s.Steps), "is full")
			})
		}
		fill(false)
		freed <- err
	}()
	return func() {
		if err := <-freed; err != nil {
			c.t.Errorf("what the upgrade says of a full disk: %v", err)
		}
	}
}

// poison writes a document that cannot be transformed.
func poison(c *scene) func() {
	if err := c.load.Post("/api/transfers", []byte(`{"id":"poison","link":"transfers/poison","from":"a0","to":"a1","amount":"a lot"}`)); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := c.load.Delete("/api/transfers/poison"); err != nil {
			c.t.Error(err)
		}
	}
}

// skewClock puts green's clock wrong.
func skewClock(by time.Duration) strike {
	return func(c *scene) func() {
		if err := harness.Skew(c.path.Faults(), by); err != nil {
			c.t.Error(err)
		}
		return func() {
			if err := harness.Skew(c.path.Faults(), 0); err != nil {
				c.t.Error(err)
			}
		}
	}
}

// holdStream opens a stream that its client never closes. It is cut by the
// switch, and can be opened again.
func holdStream(c *scene) func() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	stream, err := c.load.Stream(ctx, "")
	if err != nil {
		cancel()
		c.t.Fatal(err)
	}
	cut := make(chan string, 1)
	go func() {
		b, err := io.ReadAll(stream)
		if ctx.Err() != nil {
			err = errors.New("it never ended")
		}
		position := ""
		for line := range strings.Lines(string(b)) {
			if id, ok := strings.CutPrefix(line, "id:"); ok {
				position = strings.TrimSpace(id)
			}
		}
		cut <- position
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			c.t.Logf("the stream ended: %v", err)
		}
	}()
	return func() {
		defer cancel()
		position := <-cut
		if position == "" {
			c.t.Error("the stream had no event with a position before it was cut")
		}
		again, err := c.load.Stream(ctx, position)
		if err != nil {
			c.t.Errorf("the stream cannot be resumed from %q: %v", position, err)
			return
		}
		_ = again.Close()
	}
}

// upload begins an upload that goes on until a hold has failed over it.
func upload(c *scene) func() {
	const begins = `{"writes":[{"verb":"create","link":"transfers/upload","body":`
	const ends = `{"from":"a0","to":"a1","amount":"0.01"}}]}`
	body, to := io.Pipe()
	answered, began := make(chan error, 1), time.Now()
	go func() { answered <- c.load.Upload("/api/batch", body) }()
	if _, err := io.WriteString(to, begins+strings.Repeat(" ", 2<<20)); err != nil { // more than a door keeps
		c.t.Errorf("begin to upload: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		failed := c.awaitMoment(began, "uploads are under way")
		_, err := io.WriteString(to, ends)
		_ = to.Close() // never fails
		ended <- errors.Join(failed, err, <-answered)
	}()
	return func() {
		if err := errors.Join(<-ended, c.load.Delete("/api/transfers/upload")); err != nil {
			c.t.Errorf("the upload: %v", err)
		}
	}
}

// awaitMoment returns once an upgrade has had a moment with the text, since
// then; with an error if one has come to its end without.
func (c *scene) awaitMoment(since time.Time, text string) error {
	for ch, err := range c.path.Agent.Watch(c.t.Context(), kit.WatchQuery{Kind: api.Upgrades.Name}) {
		if err != nil {
			return err
		}
		u, err := api.Upgrades.Decode(ch.Record)
		if err != nil || u.Created.Before(since) {
			continue
		}
		if slices.ContainsFunc(u.History, func(m api.Moment) bool { return strings.Contains(m.Text, text) }) {
			return nil
		}
		if u.State.Over() {
			return fmt.Errorf("there was no moment with %q: %s", text, history(u))
		}
	}
	return context.Cause(c.t.Context())
}
