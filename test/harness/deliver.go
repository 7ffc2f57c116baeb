package harness

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"

	"landfall.dev/api"
	"landfall.dev/kit"
)

const (
	project = "ledger"
	channel = "ledger-stable"
)

// The project's jobs take the binaries of its versions from the runner, so
// that a build takes no time. Instances are told of the file of their faults.
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
      env: {%s: "%s"}
`

const pipeline = `
def main(ctx):
    if ctx.event.type == "patchset-created" or not ctx.changed("VERSION"):
        return [build(job = "ledger-gate")]
    image = build(job = "ledger-image")
    return [
        stage("build", image),
        stage("staging", deploy("staging", image = image, tests = ["/ledger smoke"])),
        stage("release", release(image = image, version = ctx.params["version"])),
        stage("news", notify(text = "there is version " + ctx.params["version"])),
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
	if n == 1 {
		p.prebuild(n, p.bin.Ledger)
		p.release(n, p.start())
		return
	}
	p.release(n, p.land(p.push(p.bump(n))).Merged)
}

// prebuild lets the project's jobs build the n-th version.
func (p *Path) prebuild(n int, binary string) {
	p.t.Helper()
	if err := os.Link(binary, p.Dir("prebuilt/ledger-"+version(n))); err != nil {
		p.t.Fatal(err)
	}
}

// release follows the run of the commit, which is the n-th version, and signs
// what it has released.
func (p *Path) release(n int, commit string) {
	p.t.Helper()
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
	files := map[string][]byte{"jobs/ledger.yml": fmt.Appendf(nil, jobs, FaultsVariable, p.Faults()), "pipeline.star": []byte(pipeline)}
	sources := os.DirFS(filepath.Join(p.bin.Source, "examples", "ledger"))
	for _, name := range []string{"VERSION", "account.go"} {
		b, err := fs.ReadFile(sources, name)
		if err != nil {
			p.t.Fatal(err)
		}
		files[name] = b
	}
	p.Insist("the project has been made", func(ctx context.Context) error {
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

// sign signs a release.
func (p *Path) sign(release string) {
	p.t.Helper()
	p.Insist(release+" has been signed", func(ctx context.Context) error {
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
	p.Insist(release+" has been promoted", func(ctx context.Context) error {
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

// soaks waits until the latest upgrade is in soak, on the release.
func (p *Path) soaks(release string) {
	p.t.Helper()
	p.Insist("the upgrade is in soak", func(ctx context.Context) error {
		u, err := p.Latest(ctx)
		if err != nil {
			return err
		}
		if u.State != api.UpgradeSoak || u.Green.Release != api.Releases.Link(release) {
			return fmt.Errorf("the last upgrade is %s, to %s", u.State, u.Green.Release)
		}
		return nil
	})
}
