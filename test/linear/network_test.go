package linear

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// lan is a network of namespaces, one for each node, around a switch that has
// a namespace of its own: so the machine's packet filters do not matter.
type lan struct {
	t     *testing.T
	name  string
	slot  int
	nodes int
}

// newLAN makes the network that is told from others at the same time by slot.
func newLAN(t *testing.T, slot, nodes int) *lan {
	t.Helper()
	l := &lan{t: t, name: fmt.Sprintf("lf%d%c", os.Getpid(), 'a'+slot), slot: slot, nodes: nodes}
	t.Cleanup(l.remove)
	hub := l.name + "s"
	l.ip("netns", "add", hub)
	l.ip("-n", hub, "link", "add", "switch", "type", "bridge")
	l.ip("-n", hub, "link", "set", "switch", "up")
	l.ip("link", "add", l.name, "type", "veth", "peer", "name", "clients", "netns", hub)
	l.ip("-n", hub, "link", "set", "clients", "master", "switch", "up")
	l.ip("addr", "add", l.address(250)+"/24", "dev", l.name)
	l.ip("link", "set", l.name, "up")
	for i := range nodes {
		ns, port := l.namespace(i), fmt.Sprintf("port%d", i)
		l.ip("netns", "add", ns)
		l.ip("-n", ns, "link", "set", "lo", "up")
		l.ip("-n", hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
		l.ip("-n", hub, "link", "set", port, "master", "switch", "up")
		l.ip("-n", ns, "addr", "add", l.address(i)+"/24", "dev", "eth0")
		l.ip("-n", ns, "link", "set", "eth0", "up")
	}
	return l
}

func (l *lan) remove() {
	_ = exec.Command("ip", "link", "del", l.name).Run() // it may not be there yet
	for i := range l.nodes {
		_ = exec.Command("ip", "netns", "del", l.namespace(i)).Run()
	}
	_ = exec.Command("ip", "netns", "del", l.name+"s").Run()
}

func (l *lan) namespace(i int) string { return fmt.Sprintf("%sn%d", l.name, i) }

// address is that of node i. The second byte differs from that of another run
// of the test on the machine.
func (l *lan) address(i int) string {
	return fmt.Sprintf("10.%d.%d.%d", 100+os.Getpid()%100, l.slot, i+1)
}

// cut loses every packet from node a to node b: they are sent to a card that
// nobody has.
func (l *lan) cut(a, b int) {
	l.ip("-n", l.namespace(a), "neigh", "replace", l.address(b), "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent")
}

// heal lets all packets through again.
func (l *lan) heal() {
	for i := range l.nodes {
		l.ip("-n", l.namespace(i), "neigh", "flush", "dev", "eth0", "nud", "permanent")
	}
}

func (l *lan) ip(args ...string) {
	l.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		l.t.Fatalf("ip %s: %v: %s(this test takes root and iproute2)", strings.Join(args, " "), err, out)
	}
}

// removeLeftovers takes away the networks of runs that were killed.
func removeLeftovers() {
	out, _ := exec.Command("ip", "netns", "list").Output()
	for line := range strings.Lines(string(out)) {
		ns, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		var pid int
		if n, _ := fmt.Sscanf(ns, "lf%d", &pid); n != 1 {
			continue
		}
		if _, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil {
			_ = exec.Command("ip", "netns", "del", ns).Run()
		}
	}
}

// others are the numbers of all nodes but those in without.
func (l *lan) others(without ...int) []int {
	var all []int
	for i := range l.nodes {
		if !slices.Contains(without, i) {
			all = append(all, i)
		}
	}
	return all
}
