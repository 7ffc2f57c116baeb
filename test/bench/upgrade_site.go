package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
	"landfall.dev/test/bench/server"
)

// site is a hub with one environment, its agent and that one's front door, all
// as in production: processes of the landfall binary, which learn of images
// and deployments by the hub's API. The platform's nodes are processes too.
type site struct {
	m        *measurement
	landfall string // the binary
	base     v1.Image
	hub      listener
	token    string // of the hub's administrator
	client   kit.Client
	agent    listener
	front    string // URL
}

const environment = "bench"

// startSite starts all but the platform, whose program it keeps for images.
func startSite(ctx context.Context, m *measurement, program string, nodes int) (*site, error) {
	s := &site{m: m}
	err := s.start(ctx, program, nodes)
	if err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

func (s *site) start(ctx context.Context, program string, nodes int) (err error) {
	if s.landfall, err = s.m.build(ctx, "cmd/landfall"); err != nil {
		return err
	}
	if s.base, err = imageOf(program); err != nil {
		return err
	}
	if err := s.startHub(ctx, "--capabilities", "identity,registry,deploy,release"); err != nil {
		return err
	}
	if _, err := s.run(ctx, "env", "create", environment, "--nodes", strconv.Itoa(nodes)); err != nil {
		return err
	}
	token, err := s.account(ctx, "agent-"+environment, "--role", "agent", "--environment", environment)
	if err != nil {
		return err
	}
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return err
	}
	s.front = "http://" + addresses[0]
	s.agent, err = s.m.listening(ctx, "agent", nil, s.landfall, "agent", "--hub", s.url(), "--token", token,
		"--name", environment, "--data", s.data("agent"), "--engine", "process", "--front", addresses[0], "--listen")
	return err
}

// startHub starts the hub, and makes a client of its administrator's.
func (s *site) startHub(ctx context.Context, flags ...string) error {
	addresses, err := server.FreeAddresses(1)
	if err != nil {
		return err
	}
	return s.startHubAt(ctx, addresses[0], flags...)
}

// startHubAt is startHub, maybe not for the first time.
func (s *site) startHubAt(ctx context.Context, address string, flags ...string) (err error) {
	args := append([]string{"hub", "--data", s.data("hub")}, flags...)
	if s.hub, err = s.m.listeningAt(ctx, address, "hub", nil, s.landfall, append(args, "--listen", address)...); err != nil {
		return err
	}
	if s.token, err = s.file(ctx, s.hub.Server, filepath.Join(s.data("hub"), "admin.token")); err != nil {
		return err
	}
	s.client, err = rest.NewClient(s.url(), s.token, rest.ClientOptions{})
	return err
}

// account makes a machine's account and returns its token, as a flag has it.
func (s *site) account(ctx context.Context, name string, flags ...string) (string, error) {
	if _, err := s.run(ctx, append([]string{"account", "create", name}, flags...)...); err != nil {
		return "", err
	}
	secret, err := s.run(ctx, "token", "create", "accounts/"+name)
	if err != nil {
		return "", err
	}
	file := s.data(name + ".token")
	return "@" + file, os.WriteFile(file, []byte(secret), 0o600)
}

func (s *site) data(name string) string { return filepath.Join(s.m.dir, name) }

func (s *site) url() string { return "http://" + s.hub.address }

// file waits for a secret that p writes; in its name * stands for anything.
func (s *site) file(ctx context.Context, p *server.Server, pattern string) (string, error) {
	var text string
	err := p.Await(ctx, pattern, func() bool {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			return false
		}
		b, err := os.ReadFile(found[0])
		text = strings.TrimSpace(string(b))
		return err == nil && text != ""
	})
	return text, err
}

// run runs a client command as the hub's administrator.
func (s *site) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, s.landfall, args...)
	cmd.Env = append(os.Environ(), "LANDFALL_URL="+s.url(), "LANDFALL_TOKEN="+s.token, "HOME="+s.m.dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("landfall %s: %w: %s", strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// stop ends all, first the agent, lest it start the platform's nodes again.
func (s *site) stop() {
	if s.agent.Server != nil {
		s.agent.Stop()
		// Also after an interruption: the nodes outlive their agent.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := s.run(ctx, "agent", "clear", "--data", s.data("agent"), "--name", environment, "--engine", "process"); err != nil {
			fmt.Fprintln(s.m.out, "the platform's nodes may still run:", err)
		}
	}
	if s.hub.Server != nil {
		s.hub.Stop()
	}
}

// imageOf is an image with a static program.
func imageOf(program string) (v1.Image, error) {
	b, err := os.ReadFile(program)
	if err != nil {
		return nil, err
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err = w.WriteHeader(&tar.Header{Name: "bin/platform", Mode: 0o755, Size: int64(len(b)), Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(b)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(archive.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	return mutate.AppendLayers(empty.Image, layer)
}

// push puts the platform with that schema into the hub's registry and returns
// its reference.
func (s *site) push(ctx context.Context, schema int) (string, error) {
	img, err := mutate.ConfigFile(s.base, &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Config: v1.Config{
		Entrypoint: []string{"/bin/platform"}, Env: []string{"SCHEMA=" + strconv.Itoa(schema), "PATH=/bin"},
	}})
	if err != nil {
		return "", err
	}
	layers, err := s.base.Layers()
	if err != nil {
		return "", err
	}
	if img, err = mutate.AppendLayers(img, layers...); err != nil {
		return "", err
	}
	const repository = "bench/platform"
	ref, err := name.ParseReference(fmt.Sprintf("%s/%s:schema-%d", s.hub.address, repository, schema))
	if err != nil {
		return "", err
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx), remote.WithAuth(&authn.Basic{Username: "admin", Password: s.token})); err != nil {
		return "", err
	}
	d, err := img.Digest()
	return repository + "@" + d.String(), err
}

// deployTime bounds one deployment.
const deployTime = 5 * time.Minute

// deploy brings the platform with that schema into the environment and waits
// until it is there. If it does not come, the deployment says why.
func (s *site) deploy(ctx context.Context, schema int) (api.Deployment, error) {
	image, err := s.push(ctx, schema)
	if err != nil {
		return api.Deployment{}, err
	}
	id := fmt.Sprintf("schema-%d", schema)
	d := api.Deployment{Environment: environment, Project: "platform", Image: image}
	if _, err := api.Deployments.Create(ctx, s.client, id, d); err != nil {
		return d, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, deployTime, fmt.Errorf("%s is not there after %v: %s", id, deployTime, s.agent.Said()))
	defer cancel()
	return api.Deployments.Await(ctx, s.client, id, func(d api.Deployment) bool { return d.State.Done() })
}

// upgrade is deploy for a running platform; it returns the hub's copy of the
// upgrade.
func (s *site) upgrade(ctx context.Context, schema int) (api.Upgrade, error) {
	d, err := s.deploy(ctx, schema)
	if err != nil {
		return api.Upgrade{}, err
	}
	if d.State != api.DeploymentPassed {
		return api.Upgrade{}, fmt.Errorf("%w: %s", errNotUpgraded, d.Error)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("the hub has no copy of the upgrade"))
	defer cancel()
	return api.Upgrades.Await(ctx, s.client, d.Upgrade.ID(), func(u api.Upgrade) bool {
		_, released := entered(u, api.UpgradeReleased)
		return released
	})
}

// errNotUpgraded tells that an upgrade was given up and the platform goes on.
var errNotUpgraded = errors.New("the upgrade was given up")

// entered returns when u came last into the state.
func entered(u api.Upgrade, state api.UpgradeState) (at time.Time, ok bool) {
	for _, m := range u.History {
		if m.State == state {
			at, ok = m.At, true
		}
	}
	return at, ok
}
