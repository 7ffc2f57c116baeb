package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// put is a proposal: set a key. The value "refuse" is refused.
type put struct{ Key, Value string }

// notes is a machine that keeps strings by key.
type notes struct {
	mu      sync.Mutex
	values  map[string]string
	entries int
	reject  error         // returned by Apply
	hold    chan struct{} // if not nil, Apply waits until it is closed
	decide  chan struct{} // if not nil, Decide sends to it and receives from it first
}

func newNotes() *notes { return &notes{values: map[string]string{}} }

func (m *notes) Decide(proposals []any, now time.Time) ([]byte, []Outcome) {
	if m.decide != nil {
		m.decide <- struct{}{}
		<-m.decide
	}
	changes := map[string]string{}
	outcomes := make([]Outcome, len(proposals))
	for i, p := range proposals {
		w := p.(put)
		if w.Value == "refuse" {
			outcomes[i].Err = kit.Errorf(kit.ErrConflict, "", "refused")
			continue
		}
		changes[w.Key] = w.Value
		outcomes[i].Value = now
	}
	if len(changes) == 0 {
		return nil, outcomes
	}
	entry, _ := json.Marshal(changes)
	return entry, outcomes
}

func (m *notes) Apply(entry []byte) error {
	m.mu.Lock()
	hold := m.hold
	m.mu.Unlock()
	if hold != nil {
		<-hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.reject != nil {
		return m.reject
	}
	m.entries++
	return json.Unmarshal(entry, &m.values)
}

type written map[string]string

func (w written) WriteTo(out io.Writer) (int64, error) {
	return 0, json.NewEncoder(out).Encode(w)
}

func (m *notes) Snapshot() io.WriterTo {
	m.mu.Lock()
	defer m.mu.Unlock()
	return written(maps.Clone(m.values))
}

func (m *notes) Restore(r io.Reader) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values = map[string]string{}
	return json.NewDecoder(r).Decode(&m.values)
}

// setHold makes Apply wait until hold is closed.
func (m *notes) setHold(hold chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hold = hold
}

func (m *notes) read(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key]
}

func (m *notes) count() (values, entries int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.values), m.entries
}

// running is a node in this process with its own HTTP server.
type running struct {
	*Node
	*notes
	server *httptest.Server
	stop   func() // ends Run and waits
	done   chan struct{}
	err    error // of Run, once done is closed
}

const token = "let-me-in"

// patience bounds every wait; it is reached only by a test that fails.
const patience = 60 * time.Second

// start opens and runs a node in dir.
func start(t testing.TB, dir string, change func(*Config), join ...*running) *running {
	t.Helper()
	n, err := open(t, dir, newNotes(), change, join...)
	if err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
	return n
}

func open(t testing.TB, dir string, m Machine, change func(*Config), join ...*running) (*running, error) {
	t.Helper()
	var handler atomic.Pointer[http.Handler]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := handler.Load(); h != nil && r.URL.Path == JoinPath {
			(*h).ServeHTTP(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	c := Config{Dir: dir, Advertise: server.URL, JoinToken: token, Schema: "notes/1", Logger: quiet(t)}
	for _, j := range join {
		c.Join = append(c.Join, j.server.URL)
	}
	if change != nil {
		change(&c)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	n, err := Open(ctx, c, m)
	if err != nil {
		return nil, err
	}
	h := n.JoinHandler()
	handler.Store(&h)
	runCtx, stop := context.WithCancel(context.Background())
	r := &running{Node: n, server: server, done: make(chan struct{})}
	r.notes, _ = m.(*notes)
	go func() {
		defer close(r.done)
		r.err = n.Run(runCtx)
	}()
	r.stop = func() { stop(); <-r.done }
	t.Cleanup(r.stop)
	return r, nil
}

func quiet(t testing.TB) *slog.Logger {
	if testing.Verbose() {
		return kittest.Log(t, slog.LevelInfo)
	}
	return slog.New(slog.DiscardHandler)
}

// eventually waits until ok holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticks := time.NewTicker(5 * time.Millisecond)
	defer ticks.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-ticks.C:
		case <-deadline:
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// leaderOf waits until one of the nodes leads.
func leaderOf(t testing.TB, nodes ...*running) *running {
	t.Helper()
	var leader *running
	eventually(t, "a leader", func() bool {
		for _, n := range nodes {
			if n.Leader().Self {
				leader = n
			}
		}
		return leader != nil
	})
	return leader
}

// write writes at whichever node leads until it is acknowledged.
func writeTo(t testing.TB, nodes []*running, key, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	eventually(t, "a write of "+key, func() bool {
		_, err := leaderOf(t, nodes...).Write(ctx, put{key, value})
		if err != nil && !kit.Temporary(err) {
			t.Fatalf("write %s: %v", key, err)
		}
		return err == nil
	})
}

// three starts a cluster and waits until all of it votes.
func three(t testing.TB, change func(*Config)) []*running {
	t.Helper()
	dir := t.TempDir()
	nodes := []*running{start(t, filepath.Join(dir, "0"), change)}
	for _, name := range []string{"1", "2"} {
		nodes = append(nodes, start(t, filepath.Join(dir, name), change, nodes[0]))
	}
	votes(t, nodes[0], 3)
	return nodes
}

func votes(t testing.TB, n *running, want int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d voters alive", want), func() bool {
		alive := 0
		for _, m := range n.Members() {
			if m.Voter && m.Alive {
				alive++
			}
		}
		return alive == want
	})
}

func again(t testing.TB, n *running) *running {
	t.Helper()
	n.stop()
	return start(t, n.config.Dir, func(c *Config) { c.SnapshotEvery = n.config.SnapshotEvery })
}

func isFault(t *testing.T, err error, want kit.Fault, texts ...string) {
	t.Helper()
	if kit.FaultOf(err) != want {
		t.Errorf("got %v (%v), want %v", err, kit.FaultOf(err), want)
	}
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("got %v, want it to say %q", err, text)
		}
	}
}

func TestASingleNodeLeadsAtOnceAndKeepsItsWritesOverARestart(t *testing.T) {
	n := start(t, t.TempDir(), func(c *Config) { c.Heartbeat = patience })
	leader := leaderOf(t, n) // would take a minute by the heartbeat
	if _, err := leader.Write(t.Context(), put{"a", "1"}); err != nil {
		t.Fatal(err)
	}
	_, err := n.Write(t.Context(), put{"b", "refuse"})
	isFault(t, err, kit.ErrConflict)
	term := n.Leader().Term
	id := n.ID()
	n = again(t, n)
	leaderOf(t, n)
	<-n.Ready()
	if got := n.read("a"); got != "1" || n.read("b") != "" {
		t.Errorf("after a restart a is %q and b %q, want 1 and nothing", got, n.read("b"))
	}
	if n.ID() != id || n.Leader().Term <= term {
		t.Errorf("after a restart the node is %s in term %d, was %s in %d", n.ID(), n.Leader().Term, id, term)
	}
}

func TestANodeInMemoryWorksWithoutADirectory(t *testing.T) {
	n := leaderOf(t, start(t, "", nil))
	if _, err := n.Write(t.Context(), put{"a", "1"}); err != nil {
		t.Fatal(err)
	}
	joined := start(t, "", nil, n)
	<-joined.Ready()
	if got := joined.read("a"); got != "1" {
		t.Errorf("the joined node has %q, want 1", got)
	}
}

func TestThreeNodesReplicateAndOutliveTheirLeader(t *testing.T) {
	nodes := three(t, nil)
	for i := range 50 {
		writeTo(t, nodes, fmt.Sprint("early", i), "x")
	}
	for _, n := range nodes {
		<-n.Ready()
		eventually(t, "replication", func() bool { c, _ := n.count(); return c == 50 })
		eventually(t, "a known leader", func() bool { return n.Leader().URL == nodes[0].server.URL })
	}
	_, err := nodes[1].Write(t.Context(), put{"a", "b"})
	isFault(t, err, kit.ErrUnavailable, "does not lead")
	var elsewhere *NotLeader
	if !errors.As(err, &elsewhere) || elsewhere.URL != nodes[0].server.URL {
		t.Errorf("a write on a follower says %v, want the leader's URL", err)
	}

	term, changed := nodes[0].Leader().Term, nodes[1].Leader().Changed
	nodes[0].stop()
	<-changed
	for i := range 50 {
		writeTo(t, nodes[1:], fmt.Sprint("late", i), "x")
	}
	if now := leaderOf(t, nodes[1:]...).Leader().Term; now <= term {
		t.Errorf("the new leader's term is %d, the old one's was %d", now, term)
	}

	for i := range nodes {
		nodes[i].stop()
	}
	for i := range nodes { // without Join
		nodes[i] = start(t, nodes[i].config.Dir, nil)
	}
	for i, n := range nodes {
		<-n.Ready()
		if c, _ := n.count(); c != 100 {
			t.Errorf("node %d has %d values after a restart of all, want 100", i, c)
		}
	}
}

func TestAFollowerThatWasAwayCatchesUpThroughASnapshot(t *testing.T) {
	nodes := three(t, func(c *Config) { c.SnapshotEvery = 10 })
	writeTo(t, nodes, "first", "x")
	nodes[2].stop()
	for i := range 100 {
		writeTo(t, nodes[:2], fmt.Sprint(i), "x")
	}
	for i := range 2 {
		if err := nodes[i].raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
		nodes[i] = again(t, nodes[i]) // before, what was cut off can still be read
		if first, _ := nodes[i].storage.Logs.FirstIndex(); first < 50 {
			t.Fatalf("the log of node %d starts at entry %d, want it cut", i, first)
		}
	}
	back := again(t, nodes[2])
	<-back.Ready()
	values, entries := back.count()
	if values != 101 || entries > 50 {
		t.Errorf("the node has %d values after %d entries, want 101, most by snapshot", values, entries)
	}
	back = again(t, back) // from its own snapshot
	<-back.Ready()
	if values, _ := back.count(); values != 101 {
		t.Errorf("after a restart the node has %d values, want 101", values)
	}
}

func TestConcurrentWritesShareEntries(t *testing.T) {
	n := leaderOf(t, start(t, t.TempDir(), nil))
	var g sync.WaitGroup
	for w := range 64 {
		g.Go(func() {
			for i := range 10 {
				if _, err := n.Write(t.Context(), put{fmt.Sprint(w, "-", i), "x"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	g.Wait()
	values, entries := n.count()
	if values != 640 || entries > 320 {
		t.Errorf("640 writes made %d values in %d entries, want 640 in 320 at most", values, entries)
	}
}

func TestABarrierPassesOnTheLeaderOnly(t *testing.T) {
	nodes := three(t, nil)
	if err := nodes[0].Barrier(t.Context()); err != nil {
		t.Errorf("barrier on the leader: %v", err)
	}
	isFault(t, nodes[1].Barrier(t.Context()), kit.ErrUnavailable)
	nodes[1].stop()
	nodes[2].stop()
	err := nodes[0].Barrier(t.Context())
	isFault(t, err, kit.ErrUnavailable)
	_, err = nodes[0].Write(t.Context(), put{"a", "b"})
	if f := kit.FaultOf(err); f != kit.ErrUnavailable && f != kit.ErrTimeout {
		t.Errorf("a write without a majority got %v", err)
	}
}

func TestAWriteThatGivesUpSaysWhetherItMayBeApplied(t *testing.T) {
	m := newNotes()
	m.decide = make(chan struct{})
	n, err := open(t, t.TempDir(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaderOf(t, n)
	taken, giveUp := context.WithCancel(t.Context())
	failed := make(chan error)
	go func() { _, err := n.Write(taken, put{"taken", "x"}); failed <- err }()
	<-m.decide // asks
	queue := n.lead.Load().queue
	waiting, withdraw := context.WithCancel(t.Context())
	go func() { _, err := n.Write(waiting, put{"waiting", "x"}); failed <- err }()
	eventually(t, "the write to wait", func() bool { return len(queue) == 1 })
	withdraw()
	isFault(t, <-failed, kit.ErrUnavailable, "nothing was changed")
	giveUp()
	isFault(t, <-failed, kit.ErrTimeout, "may still be applied")
	go func() { <-m.decide; m.decide <- struct{}{} }() // the last one's
	m.decide <- struct{}{}
	if _, err := n.Write(t.Context(), put{"last", "x"}); err != nil {
		t.Fatal(err)
	}
	if n.read("taken") != "x" || n.read("waiting") != "" {
		t.Errorf("taken is %q and waiting %q, want x and nothing", n.read("taken"), n.read("waiting"))
	}
}

func TestAnEntryThatCannotBeAppliedStopsTheNode(t *testing.T) {
	n := leaderOf(t, start(t, t.TempDir(), nil))
	n.mu.Lock()
	n.reject = errors.New("unknown field")
	n.mu.Unlock()
	_, err := n.Write(t.Context(), put{"a", "1"})
	isFault(t, err, kit.ErrInternal)
	<-n.done
	isFault(t, n.err, kit.ErrInternal, "cannot be applied", "unknown field", "start a binary that knows")
}

func TestTimesInTheLogNeverGoBack(t *testing.T) {
	newest := time.Now().Add(time.Hour)
	c := newClock(time.Now(), newest.UnixNano())
	if at := c.now(); at.Before(newest) || at.After(newest.Add(time.Minute)) {
		t.Errorf("a clock after %v says %v", newest, at)
	}
	if at := newClock(time.Now(), 0).now(); time.Since(at).Abs() > time.Minute {
		t.Errorf("a clock without a past says %v", at)
	}
	n := leaderOf(t, start(t, t.TempDir(), nil))
	first, err := n.Write(t.Context(), put{"a", "1"})
	if err != nil {
		t.Fatal(err)
	}
	n = again(t, n)
	second, err := leaderOf(t, n).Write(t.Context(), put{"a", "1"})
	if err != nil || !second.(time.Time).After(first.(time.Time)) {
		t.Errorf("after a restart a write was at %v (%v), before at %v", second, err, first)
	}
}

func TestAJoinIsRefused(t *testing.T) {
	n := leaderOf(t, start(t, t.TempDir(), nil))
	for name, c := range map[string]struct {
		change func(*Config)
		fault  kit.Fault
		text   string
	}{
		"with a wrong token":    {func(c *Config) { c.JoinToken = "guess" }, kit.ErrUnauthenticated, "the join token is wrong"},
		"with no token":         {func(c *Config) { c.JoinToken = "" }, kit.ErrInvalid, "to join takes the cluster's token"},
		"with another schema":   {func(c *Config) { c.Schema = "notes/2" }, kit.ErrConflict, `schema "notes/2", this cluster has 2 and "notes/1"`},
		"at what is no cluster": {func(c *Config) { c.Join = []string{n.server.URL + "/elsewhere"} }, kit.ErrNotFound, "/elsewhere"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := open(t, dir, newNotes(), c.change, n)
			isFault(t, err, c.fault, c.text)
			if _, err := os.Stat(filepath.Join(dir, "node.json")); err == nil {
				t.Error("the refused node has an identity")
			}
		})
	}
}

func TestADirectoryServesOneProcess(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	_, err := open(t, n.config.Dir, newNotes(), nil)
	isFault(t, err, kit.ErrConflict, fmt.Sprintf("another landfall process (pid %d) uses %s", os.Getpid(), n.config.Dir), "use another --data")
}

func TestADirectoryOfANewerVersionOrOtherSchemaIsRefused(t *testing.T) {
	n := start(t, t.TempDir(), nil)
	n.stop()
	_, err := open(t, n.config.Dir, newNotes(), func(c *Config) { c.Schema = "notes/2" })
	isFault(t, err, kit.ErrConflict, `holds schema "notes/1", this binary has "notes/2"`)
	if err := os.WriteFile(filepath.Join(n.config.Dir, "VERSION"), []byte("3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = open(t, n.config.Dir, newNotes(), nil)
	isFault(t, err, kit.ErrConflict, "was written by a newer version (format 3, this binary knows 2)", "use a newer binary")
}

func TestAPortTakenAtARestartIsReplaced(t *testing.T) {
	nodes := three(t, nil)
	writeTo(t, nodes, "before", "x")
	old := nodes[2].id
	nodes[2].stop()
	for _, port := range []int{old.RaftPort, old.GossipPort} {
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
	}
	back := again(t, nodes[2])
	if back.id.RaftPort == old.RaftPort || back.id.GossipPort == old.GossipPort {
		t.Fatalf("the ports are still %d and %d", old.RaftPort, old.GossipPort)
	}
	nodes[2] = back
	<-back.Ready()
	writeTo(t, nodes, "after", "x")
	eventually(t, "replication to the new port", func() bool { return back.read("after") == "x" })
}

func TestANodeLeavesAndAnotherIsRemoved(t *testing.T) {
	nodes := three(t, nil)
	isFault(t, nodes[1].Remove(nodes[2].ID()), kit.ErrUnavailable)
	isFault(t, nodes[0].Remove("nobody"), kit.ErrNotFound)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := nodes[0].Leave(ctx); err != nil { // the leader
		t.Fatal(err)
	}
	nodes[0].stop()
	_, err := open(t, nodes[0].config.Dir, newNotes(), nil)
	isFault(t, err, kit.ErrConflict, "has left its cluster")

	leader := leaderOf(t, nodes[1:]...)
	other := nodes[1]
	if leader == other {
		other = nodes[2]
	}
	if err := leader.Remove(other.ID()); err != nil {
		t.Fatal(err)
	}
	<-other.done
	isFault(t, other.err, kit.ErrGone, "this node was removed")
	writeTo(t, []*running{leader}, "alone", "x")
	if m := leader.Members(); len(m) != 1 {
		t.Errorf("the members are %v, want one", m)
	}
	isFault(t, leader.Leave(ctx), kit.ErrConflict, "no majority")
}

func TestADeadVoterIsReplacedAndComesBackAsAReader(t *testing.T) {
	change := func(c *Config) { c.Voters, c.Grace = 3, time.Second }
	nodes := three(t, change)
	reader := start(t, t.TempDir(), change, nodes[0])
	<-reader.Ready()
	eventually(t, "four members", func() bool { return len(nodes[0].Members()) == 4 })
	voter := func(id string) bool {
		return slices.ContainsFunc(nodes[0].Members(), func(m Member) bool { return m.ID == id && m.Voter })
	}
	if voter(reader.ID()) {
		t.Error("the fourth node has a vote")
	}
	nodes[2].stop()
	eventually(t, "the reader to vote", func() bool { return voter(reader.ID()) && !voter(nodes[2].ID()) })
	writeTo(t, nodes[:1], "a", "x")
	back := start(t, nodes[2].config.Dir, change)
	<-back.Ready()
	eventually(t, "the dead one to be back", func() bool { return len(nodes[0].Members()) == 4 })
	if voter(back.ID()) {
		t.Error("the node that came back has a vote")
	}
}
