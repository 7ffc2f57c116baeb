package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// node is a directory that is opened again and again.
type node struct {
	*Storage
	dir    *Directory
	path   string
	synced []string // the files, in order
	mark   []byte   // as it is on the disk for sure
}

func newNode(t *testing.T, relaxed bool) *node {
	t.Helper()
	n := &node{path: t.TempDir()}
	if err := n.open(t, relaxed); err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *node) open(t *testing.T, relaxed bool) error {
	t.Helper()
	dir, err := Open(n.path)
	if err != nil {
		t.Fatal(err)
	}
	files := NewFiles(relaxed, func(op, path string) error {
		if op == "sync" {
			n.synced = append(n.synced, filepath.Base(path))
		}
		if op == "sync" && filepath.Base(path) == "mark" {
			n.mark = n.bytes(t, "mark")
		}
		return nil
	})
	s, err := dir.OpenStorage(Options{
		Formed: n.dir != nil, Files: files, Check: func(*raft.Log) error { return nil },
		Log: hclog.NewNullLogger(), Fail: func(err error) { t.Error(err) },
	})
	if err != nil {
		_ = dir.Close()
		return err
	}
	n.Storage, n.dir = s, dir
	return nil
}

func (n *node) close(t *testing.T) {
	t.Helper()
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.dir.Close(); err != nil {
		t.Fatal(err)
	}
}

func (n *node) store(t *testing.T, from, to uint64) {
	t.Helper()
	for i := from; i <= to; i++ {
		l := &raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: fmt.Append(nil, i)}
		if err := n.Logs.StoreLog(l); err != nil {
			t.Fatal(err)
		}
	}
}

func (n *node) bytes(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(n.path, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// segment is the only file of entries.
func (n *node) segment(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(n.path, "log", "*.wal"))
	if err != nil || len(names) != 1 {
		t.Fatalf("the log has the segments %v (%v), want one", names, err)
	}
	return filepath.Join("log", filepath.Base(names[0]))
}

// lose makes the entries what they were once: a power failure takes what was
// not synced.
func (n *node) lose(t *testing.T, once []byte) {
	t.Helper()
	name := n.segment(t)
	size := len(n.bytes(t, name))
	once = append(slices.Clone(once), bytes.Repeat([]byte{0}, size-len(once))...)
	if err := os.WriteFile(filepath.Join(n.path, name), once, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (n *node) last(t *testing.T) uint64 {
	t.Helper()
	last, err := n.Logs.LastIndex()
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func TestAPowerFailureJustAfterTheEndWasCutOffIsNoDamage(t *testing.T) {
	n := newNode(t, false)
	n.store(t, 1, 10)
	n.mark = n.bytes(t, "mark") // the system has written it back
	if err := n.Logs.DeleteRange(6, 10); err != nil {
		t.Fatal(err)
	}
	n.close(t)
	if err := os.WriteFile(filepath.Join(n.path, "mark"), n.mark, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.open(t, false); err != nil {
		t.Fatalf("after the power failure: %v", err)
	}
	defer n.close(t)
	if n.last(t) != 5 {
		t.Errorf("the log ends at entry %d, want 5", n.last(t))
	}
}

func TestARelaxedNodeStartsThoughAPowerFailureTookItsLastEntries(t *testing.T) {
	n := newNode(t, true)
	n.store(t, 1, 7)
	once := n.bytes(t, n.segment(t))
	n.store(t, 8, 10)
	n.close(t)
	n.lose(t, once)
	if err := n.open(t, true); err != nil {
		t.Fatalf("after the power failure: %v", err)
	}
	defer n.close(t)
	if n.last(t) != 7 {
		t.Errorf("the log ends at entry %d, want 7", n.last(t))
	}
}

func TestWhatWasSyncedBeforeDurabilityWasRelaxedIsStillMissed(t *testing.T) {
	n := newNode(t, false)
	n.store(t, 1, 4)
	early := n.bytes(t, n.segment(t))
	n.store(t, 5, 5)
	n.close(t)
	if err := n.open(t, true); err != nil {
		t.Fatal(err)
	}
	n.store(t, 6, 10)
	n.close(t)
	n.lose(t, early)
	err := n.open(t, true)
	if err == nil || !strings.Contains(err.Error(), "the log ends at entry 4, but entry 5 had been stored") {
		t.Errorf("without an entry that was synced the node starts: %v", err)
	}
}

func TestANodeThatIsNoMoreRelaxedSyncsItsLogBeforeItVouchesForIt(t *testing.T) {
	n := newNode(t, true)
	n.store(t, 1, 7)
	n.close(t)
	segment := filepath.Base(n.segment(t))
	if slices.Contains(n.synced, segment) {
		t.Errorf("a relaxed node synced %v", n.synced)
	}
	if err := n.open(t, false); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(n.synced, segment) {
		t.Errorf("at its start it synced %v, want %s among it", n.synced, segment)
	}
	once := n.bytes(t, filepath.Join("log", segment))
	n.store(t, 8, 8)
	n.close(t)
	n.lose(t, once)
	err := n.open(t, false)
	if err == nil || !strings.Contains(err.Error(), "the log ends at entry 7, but entry 8 had been stored") {
		t.Errorf("without an entry that was acknowledged the node starts: %v", err)
	}
}
