// Package deploy knows the environments and what is wanted in them.
//
// It owns environments, deployments, and the hub's copies of upgrades; it
// watches statuses, which the environments' agents write. It never reaches
// into an environment: an agent takes its deployments, oldest first, and says
// what became of them.
//
//	queued ──status──▶ running ──status──▶ passed | failed
package deploy

import (
	"regexp"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Service declares all that deploy may touch.
func Service() kit.Service {
	return kit.Service{
		Name: "deploy",
		Owns: []kit.Owned{
			kit.Own(api.Environments, checkEnvironment),
			kit.Own(api.Deployments, next),
			kit.Own(api.Statuses, checkStatus),
			kit.Own(api.Upgrades, checkUpgrade),
		},
		Watches: []kit.Reaction{kit.On(api.Statuses, onStatus)},
	}
}

// onStatus tells a deployment what its agent says of it.
func onStatus(s api.Status, _ time.Time) []kit.Op {
	if s.Deployment == "" {
		return nil
	}
	return []kit.Op{kit.Send(s.Deployment, "status", s)}
}

// checkStatus refuses a status in the name of another environment: roles allow
// an agent the ids that begin with its own.
func checkStatus(s api.Status, _ kit.Event, _ time.Time) (api.Status, []kit.Op) {
	return s, belongs(s.Link, s.Environment)
}

// checkUpgrade does the same for the copy of an upgrade.
func checkUpgrade(u api.Upgrade, _ kit.Event, _ time.Time) (api.Upgrade, []kit.Op) {
	return u, belongs(u.Link, u.Environment)
}

func belongs(l kit.Link, environment string) []kit.Op {
	if environment == "" || !strings.HasPrefix(l.ID(), environment+"~") {
		return kit.Refuse(kit.ErrInvalid, "%s is not of environment %q: its id must begin with %s~", l, environment, environment)
	}
	return nil
}

// next returns d after e. A deployment that is done stays so.
func next(d api.Deployment, e kit.Event, now time.Time) (api.Deployment, []kit.Op) {
	switch e.Name {
	case "created":
		if d.Environment == "" || !strings.Contains(d.Image, "@sha256:") {
			return d, kit.Refuse(kit.ErrInvalid, "a deployment needs an environment and an image by digest, as in ledger@sha256:...")
		}
		d.State, d.Error, d.Upgrade, d.Address, d.Output = api.DeploymentQueued, "", "", "", ""
	case "status":
		var s api.Status
		if err := e.Into(&s); err != nil {
			return d, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		if d.State.Done() || s.Environment != d.Environment || s.State == "" {
			return d, nil
		}
		if d.Started.IsZero() {
			d.Started = now
		}
		d.State, d.Error, d.Upgrade, d.Address, d.Output = s.State, s.Error, s.Upgrade, s.Address, s.Output
		if d.State.Done() {
			d.Finished = now
		}
	}
	return d, nil
}

// environmentName keeps out the ~ that ends an environment's name in the ids of
// its statuses.
var environmentName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// checkEnvironment refuses an environment that makes no sense.
func checkEnvironment(x api.Environment, e kit.Event, _ time.Time) (api.Environment, []kit.Op) {
	switch {
	case !environmentName.MatchString(x.Link.ID()):
		return x, kit.Refuse(kit.ErrInvalid, "%q is no name of an environment: use a to z, 0 to 9 and dash, starting with a letter", x.Link.ID())
	case x.Strategy != api.Throwaway && x.Strategy != api.BlueGreen:
		return x, kit.Refuse(kit.ErrInvalid, "strategy %q is not known: use %s or %s", x.Strategy, api.Throwaway, api.BlueGreen)
	case x.Nodes < 0 || x.Nodes > 9:
		return x, kit.Refuse(kit.ErrInvalid, "%d nodes make no group: use 1 to 9", x.Nodes)
	case unroutable(x.Routes) != "":
		return x, kit.Refuse(kit.ErrInvalid, "%s", unroutable(x.Routes))
	case x.Upgrades.Senseless() != "":
		return x, kit.Refuse(kit.ErrInvalid, "upgrades: %s", x.Upgrades.Senseless())
	case x.Channel != "" && x.Channel.Kind() != api.Channels.Name:
		return x, kit.Refuse(kit.ErrInvalid, "%s is no channel: name one as channels/PROJECT-NAME", x.Channel)
	}
	return x, nil
}
