package platform

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
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
	"landfall.dev/kit/blob/shared"
	"landfall.dev/kit/cluster"
	"landfall.dev/kit/migrate"
	"landfall.dev/kit/migrate/transform"
	"landfall.dev/kit/page"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
	"landfall.dev/kit/webhook"
)

// Config says where a node keeps its data, listens, and whom it works with.
type Config struct {
	// Data is the directory of all that the node keeps. It is made.
	Data string
	// Listen is the address to serve on, "127.0.0.1:7700"; port 0 takes a free
	// one. On any address but loopback it is served by TLS.
	Listen string
	// Cert and Key are PEM files for TLS; without them a node has a certificate
	// of the cluster's own authority, whose certificate is ca.pem in Data.
	Cert, Key string
	// Join are URLs of members of the cluster to join at the first start; none
	// makes a new cluster.
	Join []string
	// Token is the cluster's secret: nodes join with it, and migrations between
	// clusters use it. Empty means the one in Data, made at the first start,
	// which tells a joining node also what the members' certificates must be of.
	Token string
	// Standby makes a new cluster refuse clients' writes from the beginning.
	Standby bool
	// Schema tells clusters apart whose nodes must not join each other.
	Schema string
	// Grace is how long a node may be dead before it is replaced; 0 means 30 s.
	Grace time.Duration
	// SnapshotEvery is after how many log entries a snapshot is made, and
	// SnapshotIn how often they are counted; 0 means 8192 and 30 s.
	SnapshotEvery uint64
	SnapshotIn    time.Duration
	// Relaxed acknowledges writes before they are on the disk: a power failure
	// may lose the last ones.
	Relaxed bool
	// Disk and Clock, if not nil, stand for the log's disk and the wall clock:
	// see cluster.Config.
	Disk  func(op, path string) error
	Clock func() time.Time
	// PublicHooks refuses webhooks to receivers that are not on the public
	// internet, loopback included.
	PublicHooks bool
	// AuditRetention is how long the audit is kept; 0 means 90 days.
	AuditRetention time.Duration
	// Blobs is how many bytes of blobs the node keeps at most; 0 means that the
	// platform keeps none. BlobsUnnamed is how long one is kept that no document
	// names; 0 means a day. See Node.Blobs.
	Blobs        int64
	BlobsUnnamed time.Duration
	Logger       *slog.Logger

	tlsOnLoopback bool // for tests, which have no other address
}

// logDirectory is where the member of the cluster keeps its files.
const logDirectory = "log"

// path returns the path of a file in the data directory.
func (c Config) path(name string) string { return filepath.Join(c.Data, name) }

// Node is one node of a platform.
type Node struct {
	config   Config
	log      *slog.Logger
	store    *store.Store
	server   *rest.Server
	services []kit.Service
	listener net.Listener
	tls      *tls.Config // nil without TLS
	url      string
	member   memberRef
	blobs    *shared.Blobs // nil if it keeps none
	absent   bool          // some service is, with its kinds
	opened   chan struct{} // closed once the member is there
	leaving  chan struct{} // asks it to leave its cluster; of capacity 1
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
	token, err := c.token()
	if err != nil {
		return nil, c.repairable(err)
	}
	c.Token = token
	n := &Node{member: memberRef{dir: c.path(logDirectory)}, config: c, log: c.Logger, opened: make(chan struct{}), leaving: make(chan struct{}, 1)}
	if err := n.listen(); err != nil {
		return nil, err
	}
	kinds := store.NewKinds()
	n.store = store.New(kinds)
	n.server = rest.New(rest.Options{
		Store: n.store, Kinds: kinds, Logger: c.Logger, Secret: vouchSecret(c.Token), Peers: &peerTransport{node: n},
		AuditRetention: c.AuditRetention,
	})
	if err := n.openBlobs(kinds); err != nil {
		_ = n.listener.Close()
		return nil, err
	}
	n.Add(clusterService(n))
	n.Add(migrate.Service(&n.member, n.store, kinds, n.blobs, c.Token))
	n.Add(page.Service(page.Platform{Kinds: kinds, As: n.Client, HTTP: n.HTTP, Services: func() []kit.Service { return n.services }}))
	n.Add(webhook.Service(webhook.Options{Client: n.Client, Key: []byte(c.Token), Public: c.PublicHooks, Logger: c.Logger}))
	return n, nil
}

// listen takes the port.
func (n *Node) listen() error {
	host, _, err := net.SplitHostPort(n.config.Listen)
	if err != nil {
		return fmt.Errorf("%q is no address to listen on: write it like 127.0.0.1:7700", n.config.Listen)
	}
	scheme, secured, err := n.secure(net.ParseIP(host), host)
	if err != nil {
		return err
	}
	n.tls = secured
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
func (n *Node) Absent(service string, kinds ...string) {
	n.server.Absent(service, kinds...)
	n.absent = true
}

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
	if err := n.transformable(); err != nil {
		return errors.Join(err, n.listener.Close())
	}
	g, ctx := errgroup.WithContext(ctx)
	server := &http.Server{
		Handler: n.server, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 3 * time.Minute, BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelDebug), // of what clients do wrong
	}
	g.Go(func() error { return n.serve(server) })
	g.Go(func() error {
		<-ctx.Done()
		stop, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		err := server.Shutdown(stop)
		if err != nil {
			err = server.Close()
		}
		if lost := n.server.Shutdown(stop); lost != nil {
			n.log.Warn("lost the last traces", "error", lost)
		}
		return err
	})
	g.Go(func() error { return n.work(ctx) })
	g.Go(func() error { return n.depart(ctx) })
	if err := g.Wait(); !errors.Is(err, errLeft) {
		return n.config.repairable(err)
	}
	n.log.Info("left the cluster", "data", n.config.Data)
	return nil
}

// transformable returns what is wrong with the transformations of a kind: better
// before the node has documents than in the upgrade that needs them.
func (n *Node) transformable() error {
	for _, s := range n.services {
		for _, o := range s.Owns {
			if _, err := transform.Compile(o.Definition, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (n *Node) serve(s *http.Server) error {
	var err error
	if s.TLSConfig = n.tls; n.tls != nil {
		err = s.ServeTLS(n.listener, "", "")
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
		Dir:           n.config.path(logDirectory),
		Advertise:     n.url,
		Host:          hostOf(n.listener.Addr()),
		Join:          n.config.Join,
		JoinToken:     n.config.Token,
		Authority:     authorityOf(n.config.Token),
		Schema:        n.config.Schema,
		Grace:         n.config.Grace,
		SnapshotEvery: n.config.SnapshotEvery,
		SnapshotIn:    n.config.SnapshotIn,
		Relaxed:       n.config.Relaxed,
		Disk:          n.config.Disk,
		Clock:         n.config.Clock,
		Logger:        n.log,
	}, machine{n.store})
	if err != nil {
		return err
	}
	n.member.set(member)
	close(n.opened)
	if err := errors.Join(n.config.keepToken(), n.publishAuthority(member.Authority())); err != nil {
		n.log.Warn("kept no copy of the cluster's token or certificate", "error", err)
	}
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
		if err := n.settle(ctx, member); err != nil {
			return err
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
	EnvListen  = "KIT_LISTEN"     // Config.Listen
	EnvJoin    = "KIT_JOIN"       // Config.Join, with commas between
	EnvToken   = "KIT_TOKEN"      // Config.Token
	EnvStandby = "KIT_STANDBY"    // Config.Standby, "1"
	EnvRelaxed = "KIT_DURABILITY" // Config.Relaxed, "relaxed"
	EnvData    = "DATA_DIR"       // Config.Data
)

// FromEnvironment returns the Config that the environment describes. Without
// one a node serves 127.0.0.1:7800 and keeps its data in the directory data.
func FromEnvironment() Config {
	c := Config{
		Listen:  cmp.Or(os.Getenv(EnvListen), "127.0.0.1:7800"),
		Data:    cmp.Or(os.Getenv(EnvData), "data"),
		Token:   os.Getenv(EnvToken),
		Standby: os.Getenv(EnvStandby) == "1",
		Relaxed: os.Getenv(EnvRelaxed) == "relaxed",
	}
	if join := os.Getenv(EnvJoin); join != "" {
		c.Join = strings.Split(join, ",")
	}
	return c
}
