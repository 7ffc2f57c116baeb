package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/capability/deploy"
	"landfall.dev/capability/identity"
	"landfall.dev/capability/inventory"
	"landfall.dev/capability/job"
	"landfall.dev/capability/job/lock"
	"landfall.dev/capability/notify"
	"landfall.dev/capability/pipeline"
	"landfall.dev/capability/quality"
	"landfall.dev/capability/quality/sonar"
	"landfall.dev/capability/registry"
	"landfall.dev/capability/release"
	"landfall.dev/capability/release/trust"
	"landfall.dev/capability/review"
	"landfall.dev/capability/secret"
	"landfall.dev/capability/source"
	"landfall.dev/capability/source/git"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/platform"
	"landfall.dev/web"
)

// hub is what the hub's capabilities are made of.
type hub struct {
	node    *platform.Node
	data    string
	base    string // the address in links
	webhook string
	mail    notify.Mail
	sonar   sonar.Server
	after   []string // environments that releases have passed
	blobs   *blob.Disk
	log     *slog.Logger
}

// capability makes one service of the hub.
type capability struct {
	name string
	// kinds and paths are what is missing without it.
	kinds, paths []string
	make         func(h *hub) (kit.Service, error)
}

func kinds(names ...string) []string { return names }

func paths(prefixes ...string) []string { return prefixes }

// capabilities are all that a hub can do, in the order of a change's path.
var capabilities = []capability{
	{"identity", kinds(api.Users.Name, api.ServiceAccounts.Name), paths("/identity/"), func(h *hub) (kit.Service, error) {
		return identity.Service(h.node.Client("services/identity")), nil
	}},
	{"source", kinds(api.Projects.Name, api.Refs.Name, api.Pushes.Name, api.Landings.Name), paths("/git/", "/source/", "/tools/"), func(h *hub) (kit.Service, error) {
		repositories, err := git.Open(filepath.Join(h.data, "git"))
		if err != nil {
			return kit.Service{}, err
		}
		return source.Service(h.node.Client("services/source"), repositories, h.base, h.log), nil
	}},
	{"review", kinds(api.Changes.Name), nil, func(h *hub) (kit.Service, error) {
		return review.Service(h.node.Client("services/review")), nil
	}},
	{"job", kinds(api.Jobs.Name, api.Generations.Name, api.Proposals.Name, api.Builds.Name, api.Schedules.Name, lock.All.Name), paths("/job/", "/logs/"), func(h *hub) (kit.Service, error) {
		logs, err := job.OpenLogs(filepath.Join(h.data, "logs"))
		if err != nil {
			return kit.Service{}, err
		}
		return job.Service(h.node.Client("services/job"), h.node.HTTP("services/job"), h.base, logs, h.blobs), nil
	}},
	{"quality", kinds(api.Reports.Name, api.Gates.Name, api.Tests.Name), nil, func(h *hub) (kit.Service, error) {
		return quality.Service(h.node.Client("services/quality"), h.node.HTTP("services/quality"), h.base, h.blobs, h.sonar), nil
	}},
	{"inventory", kinds(api.Inventories.Name, api.Policies.Name, api.Advisories.Name), nil, func(h *hub) (kit.Service, error) {
		return inventory.Service(h.node.Client("services/inventory"), h.blobs), nil
	}},
	{"pipeline", kinds(api.Runs.Name, api.RunLocks.Name), paths("/pipeline/"), func(h *hub) (kit.Service, error) {
		return pipeline.Service(h.node.Client("services/pipeline"), h.node.HTTP("services/pipeline"), h.base), nil
	}},
	{"registry", kinds(api.Images.Name, api.Tags.Name, api.Holdings.Name), paths("/v2/"), func(h *hub) (kit.Service, error) {
		return registry.Service(h.node.Client("services/registry"), h.blobs, filepath.Join(h.data, "uploads"), h.log), nil
	}},
	{"deploy", kinds(api.Environments.Name, api.Deployments.Name, api.Statuses.Name, api.Upgrades.Name), nil, func(*hub) (kit.Service, error) {
		return deploy.Service(), nil
	}},
	{"release", kinds(api.Releases.Name, api.Channels.Name, api.TrustMetadata.Name), paths("/tuf/"), func(h *hub) (kit.Service, error) {
		keys, err := trust.OpenOnline(filepath.Join(h.data, "keys"))
		if err != nil {
			return kit.Service{}, err
		}
		return release.Service(h.node.Client("services/release"), h.node.HTTP("services/release"), h.base, keys, h.after, h.log), nil
	}},
	{"secret", kinds(api.Secrets.Name), paths("/secret/"), func(h *hub) (kit.Service, error) {
		keeper, err := secret.OpenKeeper(filepath.Join(h.data, "keys"))
		return secret.Service(h.node.Client("services/secret"), keeper), err
	}},
	{"notify", kinds(api.Notices.Name), nil, func(h *hub) (kit.Service, error) {
		return notify.Service(h.node.Client("services/notify"), notify.Config{Webhook: h.webhook, Mail: h.mail, Base: h.base}), nil
	}},
	{"web", nil, paths("/"), func(h *hub) (kit.Service, error) {
		return web.Service(h.node.Client("services/web"), h.node.Client, h.node.HTTP("services/web"), h.base), nil
	}},
}

// hubSchema tells hubs apart whose nodes must not share a cluster.
const hubSchema = "hub-1"

func hubCommand() *cobra.Command {
	config := platform.Config{Schema: hubSchema}
	h := &hub{sonar: sonar.Server{Token: os.Getenv("LANDFALL_SONAR_TOKEN")}}
	var wanted []string
	var verbose bool
	var durability string
	c := command("hub", "Run the hub: git, review, jobs, pipelines, registry, releases, pages, API", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		h.log = logger(verbose)
		h.mail.Password = os.Getenv("LANDFALL_SMTP_PASSWORD")
		config.Logger = h.log
		if durability != "synced" && durability != "relaxed" {
			return fmt.Errorf("there is no durability %q: use synced or relaxed", durability)
		}
		config.Relaxed = durability == "relaxed"
		var err error
		if config.Token, err = clusterTokenText(joinToken(c, config)); err != nil {
			return err
		}
		return h.run(c, config, wanted)
	})
	f := c.Flags()
	f.StringVar(&config.Data, "data", "landfall-data", "directory for all that the hub keeps")
	f.StringVar(&config.Listen, "listen", "127.0.0.1:7700", "address to serve on")
	f.StringVar(&config.Cert, "tls-cert", "", "certificate file (PEM); without one, addresses other than loopback are served with the cluster's own (ca.pem in --data)")
	f.StringVar(&config.Key, "tls-key", "", "the certificate's key file (PEM)")
	f.StringSliceVar(&config.Join, "join", nil, "addresses of hubs to make a cluster with: it shares documents; git repositories, signing keys, logs, uploads and the bytes of images stay with the node that has them")
	f.StringVar(&config.Token, "cluster-token", "", "the cluster's secret, or @FILE, to join with (cluster.token in a member's data directory)")
	f.StringVar(&durability, "durability", "synced", "synced, or relaxed: acknowledge writes before they are on the disk")
	f.StringVar(&h.base, "public-url", "", "the hub's address in links (default: where it listens)")
	f.StringVar(&h.webhook, "slack-webhook", os.Getenv("LANDFALL_SLACK_WEBHOOK"), "Slack incoming webhook for notices (LANDFALL_SLACK_WEBHOOK)")
	f.StringVar(&h.sonar.URL, "sonar-url", os.Getenv("LANDFALL_SONAR_URL"), "SonarQube server whose gate has a say, with the token in LANDFALL_SONAR_TOKEN, or @FILE there (LANDFALL_SONAR_URL)")
	f.StringVar(&h.mail.Server, "smtp", "", "mail server, HOST:PORT, for the messages that jobs ask for")
	f.StringVar(&h.mail.From, "smtp-from", "landfall@localhost", "address that mails are sent from")
	f.StringVar(&h.mail.User, "smtp-user", "", "name at the mail server; its password is in LANDFALL_SMTP_PASSWORD")
	f.StringSliceVar(&h.after, "release-after", nil, "environments in which an image must have passed before it can be released (default: any that is bluegreen)")
	f.StringSliceVar(&wanted, "capabilities", names(capabilities), "what this hub does")
	f.BoolVarP(&verbose, "verbose", "v", false, "log details")
	return c
}

func names(cs []capability) []string {
	var ns []string
	for _, c := range cs {
		ns = append(ns, c.name)
	}
	return ns
}

// logger writes to standard error, for an operator.
func logger(verbose bool) *slog.Logger {
	level := slog.LevelInfo
	if verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	return log
}

func (h *hub) run(c *cobra.Command, config platform.Config, wanted []string) error {
	for _, name := range wanted {
		if !slices.Contains(names(capabilities), name) {
			return fmt.Errorf("there is no capability %q: choose from %s", name, strings.Join(names(capabilities), ", "))
		}
	}
	if err := h.mail.Check(); err != nil {
		return err
	}
	node, err := platform.New(config)
	if err != nil {
		return err
	}
	if len(config.Join) > 0 {
		h.log.Warn("the hubs of a cluster share documents only: back up the data directory of the node that serves git, builds and images")
	}
	h.node, h.data = node, config.Data
	if h.base == "" {
		h.base = node.URL()
	}
	if h.blobs, err = blob.Open(filepath.Join(config.Data, "blobs")); err != nil {
		return err
	}
	node.Add(blobService(h.blobs))
	for _, x := range capabilities {
		if !slices.Contains(wanted, x.name) {
			node.Absent(x.name, x.kinds...)
			node.Add(x.absent())
			continue
		}
		s, err := x.make(h)
		if err != nil {
			return fmt.Errorf("capability %s: %w", x.name, err)
		}
		node.Add(s)
	}
	return node.Run(c.Context())
}

// absent answers at the paths of a capability that the hub runs without. It
// does so in plain text to git, which shows its users nothing else.
func (x capability) absent() kit.Service {
	why := &kit.Error{
		Fault: kit.ErrNotFound, Detail: "this server runs without " + x.name,
		Hint: "start it with " + x.name + " among its capabilities",
	}
	handler := kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if !strings.HasPrefix(r.UserAgent(), "git/") {
			return why
		}
		http.Error(w, why.Detail+": "+why.Hint, int(why.Fault))
		return nil
	})
	s := kit.Service{Name: x.name}
	for _, prefix := range x.paths {
		s.Serves = append(s.Serves, kit.Route{Pattern: prefix, Handler: handler, Self: true})
	}
	return s
}

// maxBlob is the size limit of an uploaded artifact, in bytes.
const maxBlob = 4 << 30

// blobService serves artifacts and logs by digest: those who may see builds
// may read them, and runners may write them.
func blobService(b kit.Blobs) kit.Service {
	files := blob.Handler(b)
	return kit.Service{Name: "blobs", Serves: []kit.Route{
		{Pattern: "GET /blobs/{digest}", Handler: allowed(kit.VerbRead, api.Builds.Link(""), files)},
		{Pattern: "PUT /blobs/{digest}", Handler: allowed(kit.VerbCreate, "blobs/", http.MaxBytesHandler(files, maxBlob))},
	}}
}

func allowed(v kit.Verb, l kit.Link, next http.Handler) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		if err := kit.CallerOf(r.Context()).May(v, l); err != nil {
			return err
		}
		next.ServeHTTP(w, r)
		return nil
	})
}
