package docker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/moby/moby/client"

	"landfall.dev/engine"
)

// host is where a daemon is.
type host struct {
	address string // for people
	// elsewhere tells that it does not see this machine's directories.
	elsewhere bool
	socket    string // of a daemon on this machine
}

// hostOfEnvironment is the address that Docker's variables tell, or that of the
// machine's own daemon.
func hostOfEnvironment() string {
	address := cmp.Or(os.Getenv(client.EnvOverrideHost), client.DefaultDockerHost)
	if dir := os.Getenv(client.EnvOverrideCertPath); dir != "" && strings.HasPrefix(address, "tcp://") {
		files := url.Values{}
		for _, name := range tlsFiles {
			files.Set(name, filepath.Join(dir, name+".pem"))
		}
		address += "?" + files.Encode()
	}
	return address
}

// tlsFiles are the parameters of an address with TLS.
var tlsFiles = []string{"ca", "cert", "key"}

// Connect returns the engine of the daemon at an address, which it does not ask
// for an answer yet:
//
//	unix:///var/run/docker.sock
//	tcp://HOST:PORT?ca=FILE&cert=FILE&key=FILE     with TLS on both sides only
//	ssh://[USER@]HOST[:PORT][/SOCKET]              the ssh command, without a terminal
//
// Docker's API gives whoever reaches it the machine, so that TCP without TLS is
// refused.
func Connect(owner, address string) (*Engine, error) {
	if err := engine.CheckName("owner", owner); err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	h, options, err := dial(address)
	if err != nil {
		return nil, fmt.Errorf("docker: %w", err)
	}
	c, err := client.New(options...)
	if err != nil {
		return nil, fmt.Errorf("docker: %s: %w", h.address, err)
	}
	return &Engine{client: c, owner: owner, host: h}, nil
}

func dial(address string) (host, []client.Opt, error) {
	u, err := url.Parse(address)
	if err != nil {
		return host{}, nil, fmt.Errorf("%q is no address of a daemon: %w", address, errors.Unwrap(err))
	}
	query := u.Query()
	u.RawQuery = ""
	h := host{address: u.String(), elsewhere: u.Scheme != "unix"}
	for name := range query {
		if u.Scheme != "tcp" || name != "ca" && name != "cert" && name != "key" {
			return h, nil, fmt.Errorf("the address %s has an unknown part %q: only tcp:// has any, ca, cert and key", h.address, name)
		}
	}
	switch u.Scheme {
	case "unix":
		h.socket = u.Path
		return h, []client.Opt{client.WithHost(h.address)}, nil
	case "tcp":
		options, err := overTLS(h, query)
		return h, options, err
	case "ssh":
		dial, err := overSSH(u)
		return h, []client.Opt{client.WithHost("http://docker.invalid"), client.WithDialContext(dial)}, err
	}
	return h, nil, fmt.Errorf("%q is no address of a daemon: write unix:///PATH, tcp://HOST:PORT?ca=FILE&cert=FILE&key=FILE or ssh://USER@HOST", address)
}

func overTLS(h host, query url.Values) ([]client.Opt, error) {
	if len(query) == 0 {
		return nil, fmt.Errorf("%s is open to everyone who can reach it: use a unix socket, ssh://, or TLS (?ca=FILE&cert=FILE&key=FILE, or DOCKER_CERT_PATH)", h.address)
	}
	for _, name := range tlsFiles {
		if query.Get(name) == "" {
			return nil, fmt.Errorf("the address %s has no %s: TLS needs the files ca, cert and key", h.address, name)
		}
		if _, err := os.Stat(query.Get(name)); err != nil {
			return nil, fmt.Errorf("the address %s: %s: %w", h.address, name, err)
		}
	}
	return []client.Opt{
		client.WithHost(h.address),
		client.WithTLSClientConfig(query.Get("ca"), query.Get("cert"), query.Get("key")),
	}, nil
}

// safe is what may be part of the command that ssh is told to run.
var safe = regexp.MustCompile(`^(/[A-Za-z0-9._-]+)*$`)

type dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// overSSH returns what connects to the daemon by the ssh command, with the
// user's keys, agent and configuration. It never asks for anything.
func overSSH(u *url.URL) (dialer, error) {
	if u.Hostname() == "" || strings.HasPrefix(u.Hostname(), "-") || !safe.MatchString(u.Path) {
		return nil, fmt.Errorf("%q is no address of a daemon: write ssh://USER@HOST, ssh://USER@HOST:PORT or ssh://USER@HOST/PATH/OF/docker.sock", u)
	}
	if _, secret := u.User.Password(); secret {
		return nil, fmt.Errorf("the address ssh://%s has a password: use a key", u.Host)
	}
	args := []string{"-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"}
	if user := u.User.Username(); user != "" {
		args = append(args, "-l", user)
	}
	if port := u.Port(); port != "" {
		args = append(args, "-p", port)
	}
	args = append(args, "--", u.Hostname(), "docker")
	if u.Path != "" {
		args = append(args, "-H", "unix://"+u.Path)
	}
	args = append(args, "system", "dial-stdio")
	return func(context.Context, string, string) (net.Conn, error) { return startSSH(u.Host, args) }, nil
}
