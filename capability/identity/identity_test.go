package identity

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

// hub is this service with kinds that its roles are about, all of which only
// hold what is written to them.
type hub struct {
	t       *testing.T
	cluster *kittest.Cluster
	admin   kit.Client
}

func newHub(t *testing.T) *hub {
	t.Helper()
	h := &hub{t: t, cluster: kittest.Start(t)}
	h.admin = h.cluster.Admin()
	s := Service(h.cluster.Client("services/identity"))
	h.cluster.Server.Add(s)
	push := func(p api.Project, _ kit.Event, _ time.Time) (api.Project, []kit.Op) { return p, nil }
	build := func(b api.Build, _ kit.Event, _ time.Time) (api.Build, []kit.Op) { return b, nil }
	change := func(c api.Change, _ kit.Event, _ time.Time) (api.Change, []kit.Op) { return c, nil }
	channel := func(c api.Channel, _ kit.Event, _ time.Time) (api.Channel, []kit.Op) { return c, nil }
	h.cluster.Server.Add(kit.Service{Name: "others", Owns: []kit.Owned{
		kit.Own(api.Projects, push, "push"), kit.Own(api.Builds, build, "lease", "finish", "cancel"),
		kit.Own(api.Changes, change, "vote"), kit.Own(api.Channels, channel, "promote"),
		kit.Own[api.Status](api.Statuses, nil), kit.Own[api.Environment](api.Environments, nil),
		kit.Own[api.Deployment](api.Deployments, nil),
	}})
	h.cluster.Run(s)
	for _, name := range []string{"developers", "release-managers"} {
		h.role(name)
		member := map[string]string{"developers": "users/ada", "release-managers": "users/rita"}[name]
		h.create(rest.Groups.Name, name, rest.Group{Members: []string{member}})
	}
	for _, name := range []string{"ada", "rita"} {
		h.create("users", name, api.User{Name: name, Email: name + "@example.com"})
	}
	h.create("accounts", "r1", api.ServiceAccount{Role: RoleRunner})
	h.create("accounts", "acme", api.ServiceAccount{Role: RoleAgent, Environment: "staging"})
	h.role("account-r1")
	h.role("account-acme")
	for link, body := range map[kit.Link]string{
		"projects/ledger": "{}", "builds/b": "{}", "changes/1": "{}", "channels/ledger-stable": "{}", "deployments/d": "{}",
		"environments/staging": "{}", "environments/other": "{}", "statuses/other~x": "{}", "statuses/staging~x": "{}",
	} {
		h.create(link.Kind(), link.ID(), json.RawMessage(body))
	}
	return h
}

// role waits until there is the role.
func (h *hub) role(name string) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	if _, err := rest.Roles.Await(ctx, h.admin, name, func(rest.Role) bool { return true }); err != nil {
		h.t.Fatalf("role %s: %v", name, err)
	}
}

func (h *hub) create(kind, id string, doc any) {
	h.t.Helper()
	body, err := json.Marshal(doc)
	if err == nil {
		_, err = h.admin.Create(h.t.Context(), kind, id, body)
	}
	if err != nil {
		h.t.Fatalf("create %s/%s: %v", kind, id, err)
	}
}

// call sends a request with the token, or with none.
func (h *hub) call(token, method, path, body string) (int, string) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.cluster.URL()+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestWhoMayMintTokensForWhom(t *testing.T) {
	h := newHub(t)
	for _, test := range []struct {
		name, caller, subject string
		status                int
		want                  string
	}{
		{"the administrator for a user", "users/admin", "users/ada", 200, `"token":"lf_`},
		{"the administrator for an account", "users/admin", "accounts/r1", 200, `"token":"lf_`},
		{"the administrator for herself", "users/admin", "users/admin", 200, `"token":"lf_`},
		{"the administrator for nobody known", "users/admin", "users/eve", 404, "landfall user create"},
		{"the administrator for a service", "users/admin", "services/identity", 400, "users/NAME or accounts/NAME"},
		{"the administrator for nothing", "users/admin", "", 400, "users/NAME or accounts/NAME"},
		{"a user for herself", "users/ada", "users/ada", 200, `"token":"lf_`},
		{"a user for another", "users/ada", "users/rita", 403, "may not create"},
		{"a user for the administrator", "users/ada", "users/admin", 403, "may not create"},
		{"an account for a user", "accounts/r1", "users/ada", 403, "may not create"},
	} {
		body := `{"subject":"` + test.subject + `","description":"test"}`
		status, answer := h.call(h.cluster.Token(test.caller), http.MethodPost, "/identity/tokens", body)
		if status != test.status || !strings.Contains(answer, test.want) {
			t.Errorf("%s: %d %s, want %d with %q", test.name, status, answer, test.status, test.want)
		}
	}
	if status, answer := h.call(h.cluster.Token("users/ada"), http.MethodPost, "/identity/tokens", "ada"); status != 400 {
		t.Errorf("no JSON: %d %s, want 400", status, answer)
	}
	if status, answer := h.call("", http.MethodPost, "/identity/tokens", `{"subject":"users/ada"}`); status != 401 {
		t.Errorf("without a token: %d %s, want 401", status, answer)
	}
}

func TestAMintedTokenTellsWhoOneIs(t *testing.T) {
	h := newHub(t)
	_, answer := h.call(h.cluster.Token("users/admin"), http.MethodPost, "/identity/tokens", `{"subject":"users/ada"}`)
	var minted struct{ Token string }
	if err := json.Unmarshal([]byte(answer), &minted); err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	status, answer := h.call(minted.Token, http.MethodGet, "/identity/self", "")
	if status != 200 || !strings.Contains(answer, `"subject":"users/ada"`) || !strings.Contains(answer, "groups/developers") {
		t.Errorf("self: %d %s, want ada of the developers", status, answer)
	}
}

func TestTheRolesOfPeopleAndAccounts(t *testing.T) {
	h := newHub(t)
	const ada, rita, runner, agent = "users/ada", "users/rita", "accounts/r1", "accounts/acme"
	do := func(link kit.Link, event string) func(kit.Client) error {
		return func(c kit.Client) error { _, err := c.Do(t.Context(), link, event, nil); return err }
	}
	read := func(link kit.Link) func(kit.Client) error {
		return func(c kit.Client) error { _, err := c.Read(t.Context(), link, kit.ReadOptions{}); return err }
	}
	update := func(link kit.Link) func(kit.Client) error {
		return func(c kit.Client) error {
			_, err := c.Update(t.Context(), link, []byte(`{"description":"x"}`), 0)
			return err
		}
	}
	create := func(kind, id string) func(kit.Client) error {
		return func(c kit.Client) error { _, err := c.Create(t.Context(), kind, id, []byte("{}")); return err }
	}
	for _, test := range []struct {
		name, who string
		do        func(kit.Client) error
		may       bool
	}{
		{"a developer pushes code", ada, do("projects/ledger", "push"), true},
		{"a developer votes", ada, do("changes/1", "vote"), true},
		{"a developer looks at an environment", ada, read("environments/staging"), true},
		{"a developer orders a build", ada, create("builds", ""), true},
		{"a developer promotes", ada, do("channels/ledger-stable", "promote"), false},
		{"a developer leases a build", ada, do("builds/b", "lease"), false},
		{"a developer opens a change by hand", ada, create("changes", ""), false},
		{"a developer changes a project", ada, update("projects/ledger"), false},
		{"a developer makes a role", ada, create("roles", "x"), false},
		{"a developer makes a token", ada, create("tokens", "x"), false},
		{"a release manager promotes", rita, do("channels/ledger-stable", "promote"), true},
		{"a release manager changes an environment", rita, update("environments/staging"), true},
		{"a release manager pushes code", rita, do("projects/ledger", "push"), false},
		{"a release manager votes", rita, do("changes/1", "vote"), false},
		{"a runner leases", runner, do("builds/b", "lease"), true},
		{"a runner finishes", runner, do("builds/b", "finish"), true},
		{"a runner reads sources", runner, read("projects/ledger"), true},
		{"a runner pushes code", runner, do("projects/ledger", "push"), false},
		{"a runner votes", runner, do("changes/1", "vote"), false},
		{"a runner orders a build", runner, create("builds", ""), false},
		{"a runner reads users", runner, read("users/ada"), false},
		{"an agent tells its status", agent, create("statuses", "staging~y"), true},
		{"an agent changes its status", agent, update("statuses/staging~x"), true},
		{"an agent changes the status of another environment", agent, update("statuses/other~x"), false},
		{"an agent tells the status of another environment", agent, create("statuses", "other~y"), false},
		{"an agent reads the status of another environment", agent, read("statuses/other~x"), false},
		{"an agent reads its environment", agent, read("environments/staging"), true},
		{"an agent reads another environment", agent, read("environments/other"), false},
		{"an agent changes its environment", agent, update("environments/staging"), false},
		{"an agent reads its orders", agent, read("deployments/d"), true},
		{"an agent gives itself orders", agent, create("deployments", ""), false},
		{"an agent pushes code", agent, do("projects/ledger", "push"), false},
	} {
		err := test.do(h.cluster.Client(test.who))
		if test.may && err != nil || !test.may && !errors.Is(err, kit.ErrForbidden) {
			t.Errorf("%s: %v, want it allowed: %t", test.name, err, test.may)
		}
	}
}

func TestAccountsAndUsersAreChecked(t *testing.T) {
	h := newHub(t)
	for _, test := range []struct {
		name, kind, body, want string
	}{
		{"a user without an address", "users", `{"name":"Eve"}`, "a name and an email address"},
		{"an account without a role", "accounts", `{}`, "a runner or an agent"},
		{"an agent of nowhere", "accounts", `{"role":"agent"}`, "needs the environment"},
		{"an agent of everywhere", "accounts", `{"role":"agent","environment":"*"}`, "is no id"},
	} {
		_, err := h.admin.Create(t.Context(), test.kind, "x", []byte(test.body))
		if !errors.Is(err, kit.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
	if _, err := h.admin.Update(t.Context(), "accounts/r1", []byte(`{"description":"old"}`), 0); err != nil {
		t.Errorf("describe an account: %v", err)
	}
	_, err := h.admin.Update(t.Context(), "accounts/acme", []byte(`{"environment":"production"}`), 0)
	if !errors.Is(err, kit.ErrConflict) || !strings.Contains(err.Error(), "make another account") {
		t.Errorf("move an agent to another environment: %v, want a refusal", err)
	}
}

// A hub of an earlier version has made its roles without a digest, and without
// what is new since.
func TestRolesThatNobodyHasChangedAreBroughtUpToDate(t *testing.T) {
	h := newHub(t)
	h.logged()
	runner, managers := accountRole(api.ServiceAccount{Meta: kit.Meta{Link: "accounts/r1"}, Role: RoleRunner}), defaults["release-managers"]
	older := func(r rest.Role, kind string) rest.Role {
		r.Rules = slices.DeleteFunc(slices.Clone(r.Rules), func(rule rest.Rule) bool { return rule.Kinds[0] == kind })
		return r
	}
	wider := older(managers, "runs")
	wider.Rules = append(wider.Rules, rest.Rule{Kinds: []string{"blobs"}, Verbs: look})
	edited := older(managers, "runs")
	edited.Made = digest(managers)
	for id, test := range map[string]struct {
		old, now rest.Role
		renewed  bool
	}{
		"an-account-of-an-earlier-version": {older(runner, "runners"), runner, true},
		"a-group-of-an-earlier-version":    {older(managers, "runs"), managers, true},
		"a-group-with-its-digest":          {made(older(managers, "runs")), managers, true},
		"other-rules":                      {wider, managers, false},
		"other-subjects":                   {rest.Role{Subjects: []string{"groups/others"}, Rules: managers.Rules}, managers, false},
		"other-rules-than-were-made":       {edited, older(managers, "channels"), false},
	} {
		h.create(rest.Roles.Name, id, test.old)
		if err := (identity{h.cluster.Client("services/identity")}).renew(t.Context(), id, made(test.now)); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		want := test.old
		if test.renewed {
			want = made(test.now)
		}
		got, err := rest.Roles.Read(t.Context(), h.admin, id)
		if got.Meta = (kit.Meta{}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the role is\n%+v, %v, want\n%+v", id, got, err, want)
		}
	}
	h.create(rest.Roles.Name, "raced", runner)
	_, err := rest.Roles.Send(t.Context(), h.cluster.Client("services/identity"), "raced", "renew", rest.Renewal{Version: 2, Subjects: []string{"users/eve"}})
	if !errors.Is(err, kit.ErrStale) {
		t.Errorf("a role that somebody changes meanwhile: %v, want it refused", err)
	}
}

func TestOfARoleThatSomebodyHasChangedIsToldWhatItLacks(t *testing.T) {
	h := newHub(t)
	log := h.logged()
	patch := `{"rules":[{"kinds":["changes"],"verbs":["vote"],"filter":"project == 'ledger'"}],"made":"0"}`
	if _, err := h.admin.Update(t.Context(), "roles/developers", []byte(patch), 0); err != nil {
		t.Fatal(err)
	}
	before, err := rest.Roles.Read(t.Context(), h.admin, "developers")
	if err != nil {
		t.Fatal(err)
	}
	h.revise()
	if after, err := rest.Roles.Read(t.Context(), h.admin, "developers"); err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("the role is %+v, %v, want it as the administrator left it", after, err)
	}
	var line struct{ Role, Lacks, Command string }
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("logged %q: %v", log, err)
	}
	if line.Role != "roles/developers" || !strings.Contains(line.Lacks, "; submit abandon restore comment on changes; ") || strings.Contains(line.Lacks, "vote") {
		t.Errorf("logged %+v, want what the role lacks", line)
	}
	added, quoted := strings.CutPrefix(line.Command, "landfall doc patch roles/developers '")
	if added = strings.ReplaceAll(strings.TrimSuffix(added, "'"), `'\''`, "'"); !quoted {
		t.Fatalf("the command is %s", line.Command)
	}
	if _, err := h.admin.Update(t.Context(), "roles/developers", []byte(added), 0); err != nil {
		t.Fatalf("the command's %s: %v", added, err)
	}
	log.Reset()
	h.revise()
	after, err := rest.Roles.Read(t.Context(), h.admin, "developers")
	if err != nil || len(lacking(after, defaults["developers"])) > 0 || after.Rules[0].Filter != before.Rules[0].Filter || log.Len() > 0 {
		t.Errorf("after the command the role is %+v, %v, logged %s; want the old rule and all verbs, told no more", after, err, log)
	}
}

// revise does what the hub does when it starts.
func (h *hub) revise() {
	h.t.Helper()
	if err := (identity{h.cluster.Client("services/identity")}).roles(h.t.Context()); err != nil {
		h.t.Fatalf("bringing the roles up to date: %v", err)
	}
}

// logged returns what is logged from now on, as JSON.
func (h *hub) logged() *bytes.Buffer {
	var b bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&b, nil)))
	h.t.Cleanup(func() { slog.SetDefault(before) })
	return &b
}
