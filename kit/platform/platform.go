package platform

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"landfall.dev/kit"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// Config says where a node keeps its data, listens, and whom it works with.
type Config struct {
	// Data is the directory of all that the node keeps. It is made.
	Data string
	// Listen is the address to serve on, "127.0.0.1:7700"; port 0 takes a free
	// one. Any address but loopback needs Cert and Key.
	Listen string
	// Cert and Key are PEM files for TLS.
	Cert, Key string
	// Join are URLs of members of the cluster to join at the first start; none
	// makes a new cluster.
	Join []string
	// Token is the cluster's secret: nodes join with it, and migrations between
	// clusters use it. Empty means the one in Data, made at the first start.
	Token string
	// Standby makes a new cluster refuse clients' writes from the beginning.
	Standby bool
	// Schema tells clusters apart whose nodes must not join each other.
	Schema string
	// Grace is how long a node may be dead before it is replaced; 0 means 30 s.
	Grace  time.Duration
	Logger *slog.Logger
}

// Node is one node of a platform.
type Node struct {
	config   Config
	log      *slog.Logger
	store    *store.Store
	server   *rest.Server
	services []kit.Service
	listener net.Listener
	url      string
	member   memberRef
}

// New opens the data directory, takes the port and returns a node that Run
// will start.
func New(c Config) (*Node, error) {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("the data directory cannot be made: %w", err)
	}
	if c.Token == "" {
		token, err := clusterToken(filepath.Join(c.Data, "cluster.token"), len(c.Join) == 0)
		if err != nil {
			return nil, err
		}
		c.Token = token
	}
	n := &Node{config: c, log: c.Logger}
	if err := n.listen(); err != nil {
		return nil, err
	}
	kinds := store.NewKinds()
	n.store = store.New(kinds)
	n.server = rest.New(rest.Options{Store: n.store, Kinds: kinds, Logger: c.Logger, Secret: vouchSecret(c.Token)})
	n.Add(joinService(n))
	n.Add(migrate.Service(&n.member, n.store, kinds, c.Token))
	return n, nil
}

// vouchSecret is what the cluster's nodes know each other's requests by.
func vouchSecret(token string) []byte {
	m := hmac.New(sha256.New, []byte(token))
	m.Write([]byte("landfall: between nodes"))
	return m.Sum(nil)
}

// clusterToken reads the cluster's secret, or makes it where a cluster is new.
func clusterToken(path string, make bool) (string, error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		return strings.TrimSpace(string(b)), nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case !make:
		return "", errors.New("to join a cluster takes its token: pass the content of cluster.token in a member's data directory by --cluster-token")
	}
	secret := [32]byte{}
	_, _ = rand.Read(secret[:]) // never fails
	token := hex.EncodeToString(secret[:])
	return token, os.WriteFile(path, []byte(token+"\n"), 0o600)
}

// listen takes the port. Anything but loopback needs TLS.
func (n *Node) listen() error {
	host, _, err := net.SplitHostPort(n.config.Listen)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write it like 127.0.0.1:7700", n.config.Listen)
	}
	ip := net.ParseIP(host)
	scheme := "http"
	switch {
	case n.config.Cert != "":
		scheme = "https"
	case host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("%s is not loopback: give a certificate and its key by --tls-cert and --tls-key, or listen on 127.0.0.1", n.config.Listen)
	}
	n.listener, err = net.Listen("tcp", n.config.Listen)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is in use by another program: stop that, or choose another port by --listen", n.config.Listen)
	}
	if err != nil {
		return err
	}
	n.url = scheme + "://" + n.listener.Addr().String()
	return nil
}

// URL is the address that the node is served at.
func (n *Node) URL() string { return n.url }

// Add makes the node run s. It must not be called after Run.
func (n *Node) Add(s kit.Service) {
	n.server.Add(s)
	n.services = append(n.services, s)
}

// Absent makes the node say that it runs without the service that has the
// kinds.
func (n *Node) Absent(service string, kinds ...string) { n.server.Absent(service, kinds...) }

// Client returns a client that acts as subject, without a socket.
func (n *Node) Client(subject string) kit.Client { return n.server.Client(subject) }

// HTTP returns an HTTP client for the node's own routes, at any host, that
// acts as subject, without a socket.
func (n *Node) HTTP(subject string) *http.Client { return n.server.HTTP(subject) }

// Handler returns the node's HTTP handler.
func (n *Node) Handler() http.Handler { return n.server }

// Run joins or makes the cluster and serves until ctx ends. It returns once
// everything that it started has stopped.
func (n *Node) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	server := &http.Server{Handler: n.server, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	g.Go(func() error { return n.serve(server) })
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := server.Shutdown(stop); err != nil {
			return server.Close()
		}
		return nil
	})
	g.Go(func() error { return n.work(ctx) })
	return g.Wait()
}

func (n *Node) serve(s *http.Server) error {
	var err error
	if n.config.Cert != "" {
		err = s.ServeTLS(n.listener, n.config.Cert, n.config.Key)
	} else {
		err = s.Serve(n.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// work runs the member of the cluster and, once it is there, the services.
func (n *Node) work(ctx context.Context) error {
	member, err := cluster.Open(ctx, cluster.Config{
		Dir:       filepath.Join(n.config.Data, "log"),
		Advertise: n.url,
		Host:      hostOf(n.listener.Addr()),
		Join:      n.config.Join,
		JoinToken: n.config.Token,
		Schema:    n.config.Schema,
		Grace:     n.config.Grace,
		Logger:    n.log,
	}, machine{n.store})
	if err != nil {
		return err
	}
	n.member.set(member)
	// The services stop first: what they finish is still written.
	membership, leave := context.WithCancelCause(context.WithoutCancel(ctx))
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return member.Run(membership) })
	g.Go(func() error {
		defer leave(errors.New("the services have stopped"))
		select {
		case <-member.Ready():
		case <-ctx.Done():
			return nil
		}
		n.server.Attach(&n.member)
		n.log.Info("served", "url", n.url)
		return n.tasks(ctx, member)
	})
	return g.Wait()
}

func hostOf(a net.Addr) string {
	host, _, _ := net.SplitHostPort(a.String())
	return host
}

// The environment that an agent starts a platform's instances with. Any
// program that serves on Listen can be deployed; the rest is for platforms.
const (
	EnvListen  = "KIT_LISTEN"  // Config.Listen
	EnvJoin    = "KIT_JOIN"    // Config.Join, with commas between
	EnvToken   = "KIT_TOKEN"   // Config.Token
	EnvStandby = "KIT_STANDBY" // Config.Standby, "1"
	EnvData    = "DATA_DIR"    // Config.Data
)

// FromEnvironment returns the Config that the environment describes. Without
// one a node serves 127.0.0.1:7800 and keeps its data in the directory data.
func FromEnvironment() Config {
	c := Config{
		Listen:  cmp.Or(os.Getenv(EnvListen), "127.0.0.1:7800"),
		Data:    cmp.Or(os.Getenv(EnvData), "data"),
		Token:   os.Getenv(EnvToken),
		Standby: os.Getenv(EnvStandby) == "1",
	}
	if join := os.Getenv(EnvJoin); join != "" {
		c.Join = strings.Split(join, ",")
	}
	return c
}
