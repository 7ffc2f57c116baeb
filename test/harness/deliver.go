package harness

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	project = "ledger"
	channel = "ledger-stable"
)

// The project's jobs take the binaries of its versions from the runner, so
// that a build takes no time.
const jobs = `
- job:
    name: ledger-gate
    script: test -f VERSION
- job:
    name: ledger-image
    script: mkdir -p out && cp "$PREBUILT/ledger-$(cat VERSION)" out/ledger
    pack:
      repository: ledger
      files: {out/ledger: /ledger}
      entrypoint: [/ledger]
`

const pipeline = `
def main(ctx):
    if ctx.event.type == "patchset-created":
        return [build(job = "ledger-gate")]
    image = build(job = "ledger-image")
    return [
        stage("build", image),
        stage("staging", deploy("staging", image = image, tests = ["/ledger smoke"])),
        stage("release", release(image = image, version = ctx.params["version"])),
    ]
`

// version is the n-th version's: "1.0.0".
func version(n int) string { return fmt.Sprintf("%d.0.0", n) }

// Deliver carries the n-th version all the way. The first is imported, the
// second is the ledger's v2.patch, each later one the same with another
// number.
func (p *Path) Deliver(n int) {
	p.t.Helper()
	p.Release(n)
	p.Promote(n)
}

// Release carries the n-th version to its release.
func (p *Path) Release(n int) {
	p.t.Helper()
	binary := p.bin.Next
	if n == 1 {
		binary = p.bin.Ledger
	}
	if err := os.Link(binary, p.Dir("prebuilt/ledger-"+version(n))); err != nil {
		p.t.Fatal(err)
	}
	commit := ""
	if n == 1 {
		commit = p.start()
	} else {
		commit = p.land(n)
	}
	id := project + "-main-" + commit[:12]
	r := await(p, p.admin, api.Runs, id, func(r api.Run) bool { return r.State.Final() })
	if r.State != api.RunPassed {
		p.t.Fatalf("the run %s of version %s is %s: %s %+v", id, version(n), r.State, r.Error, r.Nodes)
	}
	p.sign(project + "-" + version(n))
}

// start makes the project and returns its first commit.
func (p *Path) start() (commit string) {
	p.t.Helper()
	files := map[string][]byte{"jobs/ledger.yml": []byte(jobs), "pipeline.star": []byte(pipeline)}
	sources := os.DirFS(filepath.Join(p.bin.Source, "examples", "ledger"))
	for _, name := range []string{"VERSION", "account.go"} {
		b, err := fs.ReadFile(sources, name)
		if err != nil {
			p.t.Fatal(err)
		}
		files[name] = b
	}
	p.insist("the project has been made", func(ctx context.Context) error {
		_, err := api.Projects.Create(ctx, p.admin, project, api.Project{Type: "platform"})
		if err != nil && !errors.Is(err, kit.ErrConflict) {
			return err
		}
		if _, err := api.Channels.Create(ctx, p.admin, channel, api.Channel{Project: project, Name: "stable"}); err != nil && !errors.Is(err, kit.ErrConflict) {
			return err
		}
		ref, err := api.Refs.Read(ctx, p.admin, api.RefID(project, "refs/heads/main"))
		if errors.Is(err, kit.ErrNotFound) {
			return errors.Join(errors.New("there is no main branch yet"), p.importFiles(ctx, files))
		}
		commit = ref.Commit
		return err
	})
	return commit
}

// importFiles posts the project's first files.
func (p *Path) importFiles(ctx context.Context, files map[string][]byte) error {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, text := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/source/"+project+"/import", &b)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+p.tokens[admin])
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the import was answered with %s", res.Status)
	}
	return nil
}

// land takes the n-th version's patch through review and returns the commit
// that landed.
func (p *Path) land(n int) string {
	p.t.Helper()
	changeID := p.push(n)
	change := ""
	p.insist("there is a change", func(ctx context.Context) error {
		for c, err := range api.Changes.All(ctx, p.admin, fmt.Sprintf("changeId == %q", changeID), "") {
			if err != nil {
				return err
			}
			change = c.Link.ID()
			return nil
		}
		return errors.New("there is none with " + changeID)
	})
	c := await(p, p.admin, api.Changes, change, func(c api.Change) bool { return verdict(c) != 0 })
	if verdict(c) < 0 {
		p.t.Fatalf("version %s got Verified -1: %+v", version(n), c.Current().Votes)
	}
	p.insist("the change has been reviewed and submitted", func(ctx context.Context) error {
		c, err := api.Changes.Read(ctx, p.admin, change)
		if err != nil || c.Submit != "" || c.Status == api.ChangeMerged {
			return err
		}
		if _, err := p.landfall(ctx, judge, "change", "vote", change, "+2"); err != nil {
			return err
		}
		_, err = p.landfall(ctx, author, "change", "submit", change)
		return err
	})
	c = await(p, p.admin, api.Changes, change, func(c api.Change) bool { return c.Status != api.ChangeOpen })
	return c.Merged
}

// verdict is the change's vote on Verified, 0 if there is none.
func verdict(c api.Change) int {
	for _, v := range c.Current().Votes {
		if v.Label == api.LabelVerified {
			return v.Value
		}
	}
	return 0
}

// push pushes the n-th version for review, and returns its Change-Id.
func (p *Path) push(n int) (changeID string) {
	p.t.Helper()
	secret := [20]byte{}
	_, _ = rand.Read(secret[:]) // never fails
	changeID = "I" + hex.EncodeToString(secret[:])
	clone := p.Dir("clone-" + version(n))
	url := strings.Replace(p.url, "://", "://"+author+":"+p.tokens[author]+"@", 1) + "/git/" + project
	p.insist("the project has been cloned", func(ctx context.Context) error {
		return errors.Join(os.RemoveAll(clone), p.git(ctx, p.dir, "clone", "-q", url, clone))
	})
	edit := []string{"apply", "--include=VERSION", "--include=account.go", filepath.Join(p.bin.Source, "examples/ledger/v2.patch")}
	if n > 2 {
		edit = []string{"status"}
		if err := os.WriteFile(filepath.Join(clone, "VERSION"), []byte(version(n)+"\n"), 0o644); err != nil {
			p.t.Fatal(err)
		}
	}
	message := fmt.Sprintf("feat: version %s of the ledger\n\nIt is made to be upgraded to.\n\nChange-Id: %s\n", version(n), changeID)
	for _, args := range [][]string{edit, {"commit", "-q", "-a", "-m", message}} {
		if err := p.git(p.t.Context(), clone, args...); err != nil {
			p.t.Fatal(err)
		}
	}
	p.insist("the patch has been pushed", func(ctx context.Context) error {
		err := p.git(ctx, clone, "push", "-q", "origin", "HEAD:refs/for/main")
		if err != nil && strings.Contains(err.Error(), "no new changes") {
			return nil // an answer was lost
		}
		return err
	})
	return changeID
}

func (p *Path) git(ctx context.Context, dir string, args ...string) error {
	_, err := run(ctx, dir, []string{
		"GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=" + author, "GIT_AUTHOR_EMAIL=" + author + "@example.com",
		"GIT_COMMITTER_NAME=" + author, "GIT_COMMITTER_EMAIL=" + author + "@example.com",
	}, "git", args...)
	return err
}

// sign signs a release.
func (p *Path) sign(release string) {
	p.t.Helper()
	p.insist(release+" has been signed", func(ctx context.Context) error {
		r, err := api.Releases.Read(ctx, p.admin, release)
		if err != nil || r.State == api.ReleaseSigned {
			return err
		}
		_, err = p.landfall(ctx, signer, "release", "sign", release, "--keys", p.Dir("keys"))
		return err
	})
}

// order is what the harness reads of an agent's order.
type order struct {
	kit.Meta
	Offer int    `json:"offer"`
	State string `json:"state"`
	Error string `json:"error"`
}

var orders = kit.Define[order]("orders")

// Promote offers the n-th version's release to unknown until it runs there:
// again, if an upgrade was aborted.
func (p *Path) Promote(n int) {
	p.t.Helper()
	const tries = 6
	release := project + "-" + version(n)
	for try := 1; ; try++ {
		p.offer(release, try)
		offered, err := api.Channels.Read(p.t.Context(), p.admin, channel)
		for ; err != nil && p.t.Context().Err() == nil; offered, err = api.Channels.Read(p.t.Context(), p.admin, channel) {
			p.t.Logf("read the channel again: %v", err)
		}
		o := await(p, p.Agent, orders, release, func(o order) bool {
			return o.State == "done" || o.State == "failed" && o.Offer >= len(offered.History)
		})
		if o.State == "done" {
			break
		}
		p.t.Logf("%s is promoted again: %s", release, o.Error)
		if try == tries {
			p.t.Fatalf("%s did not come to run in %d tries", release, tries)
		}
	}
	s := await(p, p.admin, api.Statuses, "unknown~"+release, func(s api.Status) bool { return s.State == api.DeploymentPassed })
	p.t.Logf("%s runs in unknown: %s", release, s.Image)
	if n > 1 {
		p.soaks(release)
	}
}

// offer puts the release on the channel for the try-th time.
func (p *Path) offer(release string, try int) {
	p.t.Helper()
	p.insist(release+" has been promoted", func(ctx context.Context) error {
		c, err := api.Channels.Read(ctx, p.admin, channel)
		if err != nil {
			return err
		}
		times := 0
		for _, o := range c.History {
			if o.Release == api.Releases.Link(release) {
				times++
			}
		}
		if times >= try {
			return nil
		}
		_, err = p.landfall(ctx, signer, "channel", "promote", channel, release, "-m", "tried in staging")
		return err
	})
}

// soaks checks that the latest upgrade is in soak, on the release.
func (p *Path) soaks(release string) {
	p.t.Helper()
	p.insist("the upgrade is in soak", func(ctx context.Context) error {
		all, err := p.upgrades(ctx)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errors.New("there is no upgrade")
		}
		u := all[len(all)-1]
		if u.State != api.UpgradeSoak || u.Green.Release != api.Releases.Link(release) {
			return fmt.Errorf("the last upgrade is %s, to %s", u.State, u.Green.Release)
		}
		return nil
	})
}
