package identity

import (
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// The roles of accounts.
const (
	RoleRunner = "runner"
	RoleAgent  = "agent"
)

// seen are the kinds that people who work here may look at.
var seen = []string{
	"projects", "refs", "pushes", "changes", "landings", "jobs", "generations", "proposals", "builds", "schedules", "locks", "runs", "images", "tags",
	"environments", "deployments", "statuses", "upgrades", "releases", "channels", "metadata", "notices", "users",
	"reports", "gates", "tests", "inventories", "policies", "advisories", "runners",
}

var look = []kit.Verb{kit.VerbRead, kit.VerbList, kit.VerbWatch}

// defaults are the roles of the groups that everybody starts with. An
// administrator may change them; until then they are kept up to date.
var defaults = map[string]rest.Role{
	"developers": {
		Subjects: []string{"groups/developers"},
		Rules: []rest.Rule{
			{Kinds: seen, Verbs: look},
			{Kinds: []string{"projects"}, Verbs: []kit.Verb{"push"}},
			{Kinds: []string{"changes"}, Verbs: []kit.Verb{"vote", "submit", "abandon", "restore", "comment"}},
			{Kinds: []string{"builds"}, Verbs: []kit.Verb{kit.VerbCreate, "cancel", "keep"}},
			{Kinds: []string{"reports", "inventories"}, Verbs: []kit.Verb{"judge"}},
			{Kinds: []string{"generations"}, Verbs: []kit.Verb{"deploy"}},
			{Kinds: []string{"schedules"}, Verbs: []kit.Verb{"run", "pause", "resume"}},
			{Kinds: []string{"runs"}, Verbs: []kit.Verb{"cancel", "rerun", "approve"}},
			{Kinds: []string{"images"}, Verbs: []kit.Verb{"pull"}},
		},
	},
	"release-managers": {
		Subjects: []string{"groups/release-managers"},
		Rules: []rest.Rule{
			{Kinds: seen, Verbs: look},
			{Kinds: []string{"channels"}, Verbs: []kit.Verb{kit.VerbCreate, "promote"}},
			{Kinds: []string{"releases"}, Verbs: []kit.Verb{"sign"}},
			{Kinds: []string{"environments", "gates", "policies"}, Verbs: []kit.Verb{kit.VerbCreate, kit.VerbUpdate}},
			{Kinds: []string{"runs"}, Verbs: []kit.Verb{"approve", "override"}},
			{Kinds: []string{"images"}, Verbs: []kit.Verb{"pull", "push"}},
		},
	},
}

// accountRole returns the role that an account has of itself.
func accountRole(a api.ServiceAccount) rest.Role {
	r := rest.Role{Subjects: []string{string(a.Link)}}
	if a.Role == RoleRunner {
		r.Rules = []rest.Rule{
			{Kinds: []string{"builds", "projects"}, Verbs: look},
			{Kinds: []string{"builds"}, Verbs: []kit.Verb{"lease", "heartbeat", "finish"}},
			{Kinds: []string{"runners"}, Verbs: []kit.Verb{kit.VerbCreate, "report"}},
			{Kinds: []string{"images"}, Verbs: []kit.Verb{"pull", "push"}},
			{Kinds: []string{"blobs"}, Verbs: []kit.Verb{kit.VerbCreate}},
		}
		return r
	}
	own := []string{a.Environment + "~*"}
	r.Rules = []rest.Rule{
		{Kinds: []string{"environments"}, Verbs: look, IDs: []string{a.Environment}},
		{Kinds: []string{"deployments", "channels", "releases", "metadata"}, Verbs: look},
		{Kinds: []string{"statuses", "upgrades"}, Verbs: []kit.Verb{"*"}, IDs: own},
		{Kinds: []string{"images"}, Verbs: []kit.Verb{"pull"}},
	}
	return r
}

// onAccount gives an account its role.
func onAccount(a api.ServiceAccount, _ time.Time) []kit.Op {
	return []kit.Op{kit.Create(rest.Roles, "account-"+a.Link.ID(), made(accountRole(a)))}
}
