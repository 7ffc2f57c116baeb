package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

func TestPushForReviewIsAccepted(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	id := c.commit("new.txt", "text\n", "Add a text")
	out := c.git("push", "-o", "topic=words", "-o", "wip", "origin", "HEAD:refs/for/main")
	contains(t, out, "remote: Processing changes: done", "HEAD -> refs/changes/01/1/1")
	if tip, err := s.demo.Tip(t.Context(), "refs/landfall/pushes/1"); err != nil || tip != id {
		t.Errorf("tip of the push: got %q, %v, want %q", tip, err, id)
	}
	if got := fmt.Sprint(s.seen[0].Options); got != "[topic=words wip]" {
		t.Errorf("push options: got %s", got)
	}
	if out := c.git("ls-remote", "origin", "refs/for/*"); out != "" {
		t.Errorf("refs/for must not come to be, got %q", out)
	}
	c.git("fetch", "-q", "origin", "refs/landfall/pushes/1")
	c.git("-c", "protocol.version=0", "fetch", "-q", "origin", "refs/landfall/pushes/1")
	if got := c.git("rev-parse", "FETCH_HEAD"); got != id {
		t.Errorf("fetched the push: got %s, want %s", got, id)
	}
	s.fsck()
}

func TestRefusedPushTellsWhyAndLeavesNothing(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	before := s.files()

	direct := c.commit("a.txt", "a\n", "Add a")
	contains(t, c.refused("push", "origin", "HEAD:main"), "! [remote rejected] HEAD -> main (closed; push to refs/for/main)")

	write(t, c.dir, "b.txt", "b\n")
	c.git("add", "-A")
	c.git("commit", "-q", "-m", "Add b")
	bare := c.git("rev-parse", "HEAD")
	out := c.refused("push", "origin", "HEAD:refs/for/main")
	reason := "commit " + bare[:7] + ": missing Change-Id in message footer"
	contains(t, out, "remote: ERROR: "+reason, "! [remote rejected] HEAD -> refs/for/main ("+reason+")")

	contains(t, c.refused("push", "origin", ":main"), "! [remote rejected] main (closed;")
	s.unchanged(before)
	for _, id := range []string{direct, bare} {
		if s.holds(id) {
			t.Errorf("commit %s of a refused push is in the repository", id)
		}
	}
}

func TestMixedPushKeepsOnlyWhatIsAccepted(t *testing.T) {
	for name, files := range map[string]int{"loose objects": 2, "a pack": 2 * unpackLimit} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c := s.clone()
			for i := range files {
				write(t, c.dir, fmt.Sprintf("many/%d", i), fmt.Sprint(i))
			}
			good := c.commit("good.txt", "good\n", "Add what is good")
			secret := c.commit("secret.txt", "secret\n", "Add a secret")
			out := c.refused("push", "origin", good+":refs/for/main", secret+":refs/heads/other")
			contains(t, out, good+" -> refs/changes/01/1/1", "-> other (closed; push to refs/for/main)")
			blob := c.git("rev-parse", "HEAD:secret.txt")
			if s.holds(secret) || s.holds(blob) {
				t.Error("the refused part of the push is in the repository")
			}
			if !s.holds(good) {
				t.Error("the accepted part of the push is not in the repository")
			}
			s.fsck()
		})
	}
}

func TestAtomicPushIsAllOrNothing(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	before := s.files()
	good := c.commit("good.txt", "good\n", "Add what is good")
	out := c.refused("push", "--atomic", "origin", good+":refs/for/main", good+":refs/heads/other")
	contains(t, out, "other (closed; push to refs/for/main)", "refs/for/main (atomic push failure")
	s.unchanged(before)
}

func TestPushTagsBranchesAndDeletions(t *testing.T) {
	s := newSite(t)
	s.judge = open
	c := s.clone()
	c.commit("a.txt", "a\n", "Add a")
	c.git("tag", "-a", "v1", "-m", "One")
	c.git("tag", "blob", "HEAD:a.txt")
	c.git("push", "origin", "HEAD:topic", "v1", "blob", "HEAD:main")
	c.git("push", "origin", "HEAD:same") // no new objects
	contains(t, c.git("push", "origin", ":topic", ":same"), "[deleted]")
	if _, err := s.demo.Tip(t.Context(), "refs/heads/topic"); !errors.Is(err, ErrNotFound) {
		t.Errorf("tip of a deleted branch: got %v, want %v", err, ErrNotFound)
	}
	contains(t, c.refused("push", "origin", "HEAD:third", "blob:refs/for/main"),
		"is a blob; only tags may point to one", "another ref of the push was refused")
	s.fsck()
}

func TestPushIntoAnEmptyProject(t *testing.T) {
	s := newSite(t)
	s.judge = open
	if err := s.store.Create(t.Context(), "team/new"); err != nil {
		t.Fatal(err)
	}
	c := s.clone()
	url := strings.Replace(s.url, "demo", "team/new", 1)
	c.git("push", url, "HEAD:main")
	if got := c.git("ls-remote", "--symref", url, "HEAD"); !strings.Contains(got, "ref: refs/heads/main") {
		t.Errorf("default branch: got %q, want refs/heads/main", got)
	}
}

func TestLargePushIsChunked(t *testing.T) {
	s := newSite(t)
	s.judge = open
	c := s.clone()
	random := rand.NewChaCha8([32]byte{})
	for i := range 150 { // more than 3 MiB, which is sent in chunks, and a pack
		data := make([]byte, 20<<10)
		random.Read(data)
		write(t, c.dir, fmt.Sprintf("big/%d", i), string(data))
	}
	id := c.commit("big.txt", "big\n", "Add much")
	c.git("push", "origin", "HEAD:main")
	if tip, err := s.demo.Tip(t.Context(), "HEAD"); err != nil || tip != id {
		t.Errorf("tip after a large push: got %q, %v, want %q", tip, err, id)
	}
	s.clone()
	s.fsck()
}

func TestPackOverTheLimitIsRefused(t *testing.T) {
	for name, files := range map[string]int{"loose objects": 1, "a pack": unpackLimit} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.store.MaxPack = 1 << 20
			c := s.clone()
			before := s.files()
			random := rand.NewChaCha8([32]byte{})
			for i := range files {
				data := make([]byte, (3<<20)/2/files)
				random.Read(data)
				write(t, c.dir, fmt.Sprintf("big/%d", i), string(data))
			}
			c.commit("big.txt", "big\n", "Add much")
			out := c.refused("push", "origin", "HEAD:refs/for/main")
			contains(t, out, "the pack is larger than 1048576 bytes, the limit of this server", "(unpacker error)")
			s.unchanged(before)
		})
	}
}

func TestFaultyObjectsAreRefused(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	before := s.files()
	blob := c.git("rev-parse", "HEAD:README")
	write(t, c.dir, ".git/entry", fmt.Sprintf("100644 blob %s\t.git\n", blob))
	tree := strings.TrimSpace(shell(t, c.dir, "git mktree <.git/entry"))
	commit := c.git("commit-tree", "-p", "HEAD", "-m", "Hide a file\n\nChange-Id: "+changeID, tree)
	contains(t, c.refused("push", "origin", commit+":refs/for/main"), "hasDotgit", "(unpacker error)")
	s.unchanged(before)
}

func TestPushWithMissingObjectsIsRefused(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	for _, name := range []string{"a", "b"} {
		c.commit(name, name, "Add the file "+name)
	}
	before := s.files()
	shallow := &client{t, t.TempDir()}
	gitIn(t, "", "clone", "-q", "--depth=1", "file://"+c.dir, shallow.dir)
	shallow.commit("c", "c", "Add the file c")
	contains(t, shallow.refused("push", s.url, "HEAD:refs/for/main"), "this is a shallow clone, so run: git fetch --unshallow", "(unpacker error)")
	s.unchanged(before)

	shallow.git("fetch", "-q", "--unshallow", "file://"+c.dir)
	shallow.git("push", s.url, "HEAD:refs/for/main")
}

func TestIncompletePushIsRefused(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	before := s.files()
	// A commit whose parent is known only to the client, in a pack without it.
	c.commit("a", "a", "Add the file a")
	id := c.commit("b", "b", "Add the file b")
	pack := shell(t, c.dir, "printf '"+id+"\\n^HEAD~1\\n' | git pack-objects --revs --stdout -q")
	var answer strings.Builder
	body := request(Zero+" "+id+" refs/for/main\x00report-status") + pack
	if err := s.demo.ReceivePack(t.Context(), &answer, strings.NewReader(body), s.reviewed); err != nil {
		t.Fatal(err)
	}
	contains(t, answer.String(), "ng refs/for/main")
	s.unchanged(before)
}

func TestInterruptedPushLeavesNothing(t *testing.T) {
	for name, files := range map[string]int{"loose objects": 1, "a pack": unpackLimit} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c := s.clone()
			before := s.files()
			for i := range files {
				write(t, c.dir, fmt.Sprintf("many/%d", i), fmt.Sprint(i))
			}
			id := c.commit("a", "a", "Add the file a")
			pack := shell(t, c.dir, "printf '"+id+"\\n^HEAD~1\\n' | git pack-objects --revs --stdout -q")
			body := request(Zero+" "+id+" refs/for/main\x00report-status") + pack[:len(pack)/2]
			gone := iotest.ErrReader(errors.New("connection reset"))
			var answer strings.Builder
			err := s.demo.ReceivePack(t.Context(), &answer, io.MultiReader(strings.NewReader(body), gone), s.reviewed)
			if err != nil {
				t.Fatal(err)
			}
			contains(t, answer.String(), "ng refs/for/main unpacker error")
			s.unchanged(before)
		})
	}
}

func TestPackOfAPushMakesTheRepositoryAgain(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	id := c.commit("a", "a", "Add the file a")
	var pack bytes.Buffer
	s.judge = func(ctx context.Context, p *Push) Verdict {
		if err := p.Pack(ctx, &pack, p.Commands[0].New); err != nil {
			t.Errorf("pack of a push: %v", err)
		}
		return open(ctx, p)
	}
	c.git("push", "origin", "HEAD:main")

	other := newSite(t)
	if err := other.demo.Unpack(t.Context(), &pack); err != nil {
		t.Fatal(err)
	}
	base := c.git("rev-parse", "HEAD~1")
	if err := other.demo.UpdateRef(t.Context(), "refs/heads/main", id, base); err != nil {
		t.Fatal(err)
	}
	other.fsck()
	before := other.files()
	if err := other.demo.Unpack(t.Context(), strings.NewReader("PACK, but not one")); err == nil {
		t.Error("unpack of a broken pack: passed")
	}
	other.unchanged(before)
}

func TestShallowCloneMayPush(t *testing.T) {
	s := newSite(t)
	s.judge = open
	c := s.clone()
	c.commit("a", "a", "Add the file a")
	c.git("push", "origin", "HEAD:main")
	shallow := &client{t, t.TempDir()}
	gitIn(t, "", "clone", "-q", "--depth=1", s.url, shallow.dir)
	shallow.commit("b", "b", "Add the file b")
	shallow.git("push", "origin", "HEAD:main")
	s.fsck()
}

func TestParallelPushesAreAllTaken(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	const n = 20
	ids := make([]string, n)
	for i := range ids {
		c.git("checkout", "-q", "--detach", "origin/main")
		ids[i] = c.commit(fmt.Sprintf("file%d", i), "x\n", fmt.Sprintf("Add file %d", i))
	}
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() {
			if out, err := try(t, c.dir, "push", "origin", id+":refs/for/main"); err != nil {
				t.Errorf("push %s: %v\n%s", id, err, out)
			}
		})
	}
	wg.Wait()
	tips := gitIn(t, s.demo.dir, "for-each-ref", "--format=%(objectname)", "refs/landfall/pushes")
	contains(t, tips, ids...)
	if got := len(strings.Fields(tips)); got != n {
		t.Errorf("refs after %d pushes: got %d", n, got)
	}
	s.fsck()
}

func TestVerdictRunsCommitBeforeTheRefsMoveAndDoneAfter(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	id := c.commit("a.txt", "a\n", "Add a")
	var steps []string
	s.judge = func(ctx context.Context, p *Push) Verdict {
		v := open(ctx, p)
		note := func(step string) {
			_, err := s.demo.Tip(context.Background(), "refs/heads/topic")
			steps = append(steps, fmt.Sprintf("%s: object %t, ref %t", step, s.holds(id), err == nil))
		}
		note("judge")
		v.Commit = func(context.Context) error { note("commit"); return nil }
		v.Done = func(context.Context) []string { note("done"); return []string{"  http://example.com/c/1"} }
		return v
	}
	contains(t, c.git("push", "origin", "HEAD:topic"), "remote:   http://example.com/c/1")
	want := "[judge: object false, ref false commit: object true, ref false done: object true, ref true]"
	if got := fmt.Sprint(steps); got != want {
		t.Errorf("steps of a push: got %s, want %s", got, want)
	}
}

func TestPushIsUndoneIfItCannotBeCommitted(t *testing.T) {
	for name, files := range map[string]int{"loose objects": 1, "a pack": unpackLimit} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			c := s.clone()
			before := s.files()
			for i := range files {
				write(t, c.dir, fmt.Sprintf("many/%d", i), fmt.Sprint(i))
			}
			c.commit("a.txt", "a\n", "Add a")
			s.judge = func(ctx context.Context, p *Push) Verdict {
				v := open(ctx, p)
				v.Commit = func(context.Context) error { return errors.New("no leader: try again in a minute") }
				v.Done = func(context.Context) []string { t.Error("done runs after a refusal"); return nil }
				return v
			}
			contains(t, c.refused("push", "origin", "HEAD:topic"), "HEAD -> topic (no leader: try again in a minute)")
			s.unchanged(before)
			s.judge = open
			c.git("push", "origin", "HEAD:topic")
			s.fsck()
		})
	}
}

func TestPushLosesAgainstAMovedRef(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	base := c.git("rev-parse", "HEAD")
	before := s.files()
	c.commit("a.txt", "a\n", "Add a")
	s.judge = func(ctx context.Context, p *Push) Verdict {
		v := open(ctx, p)
		v.Results[0].Updates[0].Old = strings.Repeat("1", 40)
		v.Commit = func(context.Context) error { t.Error("commit runs though a ref has moved"); return nil }
		return v
	}
	contains(t, c.refused("push", "origin", "HEAD:main"), "a ref has moved meanwhile, fetch and push again", "is at "+base)
	s.unchanged(before)
}

func TestFaultOfTheHostIsLoggedAndNotShown(t *testing.T) {
	s := newSite(t)
	c := s.clone()
	before := s.files()
	c.commit("a.txt", "a\n", "Add a")
	s.judge = func(context.Context, *Push) Verdict { return Verdict{} }
	contains(t, c.refused("push", "origin", "HEAD:topic"), "(internal error; ask the operator to look at the log)")
	contains(t, s.log.String(), "the judge gave 0 results for 1 commands")
	s.unchanged(before)
}
