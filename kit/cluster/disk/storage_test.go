package disk

import (
	"fmt"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

func TestALogThatWasCutOffIsReadAgain(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	store := func(s *Storage, from, to uint64) {
		t.Helper()
		for i := from; i <= to; i++ {
			entry := fmt.Append(nil, i)
			if err := s.Logs.StoreLog(&raft.Log{Index: i, Term: 1, Type: raft.LogCommand, Data: entry}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range uint64(3) {
		s, err := d.OpenStorage(Options{
			Formed: round > 0, Files: NewFiles(false, nil), Check: func(*raft.Log) error { return nil },
			Log: hclog.NewNullLogger(), Fail: func(err error) { t.Error(err) },
		})
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		store(s, 1+round*5, 10+round*5)
		if err := s.Logs.DeleteRange(6+round*5, 10+round*5); err != nil {
			t.Fatal(err)
		}
		if last, err := s.Logs.LastIndex(); last != 5+round*5 || err != nil {
			t.Errorf("round %d: the last entry is %d (%v), want %d", round, last, err, 5+round*5)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Who can take an error must get one: ending the goroutine would end Open.
func TestAVoteThatCannotBeWrittenEndsTheVoterOnly(t *testing.T) {
	d, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	failed := make(chan error, 1)
	s, err := d.OpenStorage(Options{
		Files: NewFiles(false, nil), Check: func(*raft.Log) error { return nil }, Log: hclog.NewNullLogger(),
		Fail: func(err error) { failed <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Bare.SetUint64([]byte("CurrentTerm"), 2); err == nil {
		t.Error("a closed store took a term")
	}
	ended := make(chan bool, 1)
	go func() {
		voted := false
		defer func() { ended <- voted }()
		voted = s.Stable.SetUint64([]byte("CurrentTerm"), 2) == nil
	}()
	if <-ended {
		t.Error("a vote went on that could not be written")
	}
	if err := <-failed; err == nil {
		t.Error("the failure was not told")
	}
}
