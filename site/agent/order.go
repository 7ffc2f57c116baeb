package agent

import (
	"cmp"
	"fmt"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// orders are what the agent has taken on: deployments and releases. The id is
// that of the deployment or the release at the hub.
var orders = kit.Define[order]("orders", kit.Local())

// order is a durable task: to bring one image into the environment.
type order struct {
	kit.Meta
	Environment string       `json:"environment"`
	Strategy    api.Strategy `json:"strategy"`
	Nodes       int          `json:"nodes"`
	Project     string       `json:"project"`
	Image       string       `json:"image"`
	Deployment  kit.Link     `json:"deployment,omitempty"`
	Release     kit.Link     `json:"release,omitempty"`
	Tests       []string     `json:"tests,omitempty"`
	// Policy is that of the upgrade, Rehearse says to rehearse it only.
	Policy   api.UpgradePolicy `json:"policy,omitzero"`
	Rehearse bool              `json:"rehearse,omitempty"`
	// Offer counts the promotions on the channel up to the one that led here: a
	// release that has failed is tried again if it is promoted again.
	Offer int `json:"offer,omitempty"`
	// Refused is why the image must not be used at all.
	Refused string `json:"refused,omitempty"`

	Attempt int        `json:"attempt"`
	State   orderState `json:"state"`
	Step    string     `json:"step,omitempty"` // what is being done, for people
	Upgrade kit.Link   `json:"upgrade,omitempty"`
	Address string     `json:"address,omitempty"`
	Output  string     `json:"output,omitempty"` // the tail of the tests' output
	Error   string     `json:"error,omitempty"`
}

// orderState is where an order is.
type orderState string

// The states of an order.
const (
	orderPulling   orderState = "pulling"   // the image is fetched and loaded
	orderDeploying orderState = "deploying" // a group is started, or an upgrade runs
	orderTesting   orderState = "testing"   // the tests run
	orderCleaning  orderState = "cleaning"  // the group of a throw-away deployment goes
	orderDone      orderState = "done"
	orderFailed    orderState = "failed"
)

func (s orderState) over() bool { return s == orderDone || s == orderFailed }

// The events that an order is sent, besides those of its actions.
const (
	eventAgain    = "again"    // offered again, with the fields of the new order
	eventRefuse   = "refuse"   // with progress.Error
	eventProgress = "progress" // with a progress
)

// The actions of an order.
const (
	actionPull    = "pull"    // fetches the image
	actionStart   = "start"   // starts a throw-away group
	actionUpgrade = "upgrade" // makes the image the running one
	actionTest    = "test"
	actionClean   = "clean" // destroys the throw-away group
)

// progress is what an action says about an order, as its result or before it.
type progress struct {
	Step    string   `json:"step,omitempty"`
	Upgrade kit.Link `json:"upgrade,omitempty"`
	Address string   `json:"address,omitempty"`
	Output  string   `json:"output,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// next returns o after e, and what must now happen:
//
//	pulling → deploying → testing → (throw-away: cleaning) → done | failed
//
// Whatever fails leads to the end, through cleaning.
func next(o order, e kit.Event, _ time.Time) (order, []kit.Op) {
	var p progress
	switch e.Name {
	case "created":
		return o.begin()
	case eventAgain:
		if !o.State.over() {
			return o, kit.Refuse(kit.ErrConflict, "the order is not over yet")
		}
		n := o
		n.Refused = ""
		if err := e.Into(&n); err != nil {
			return o, kit.Refuse(kit.ErrInvalid, "%v", err)
		}
		n.Attempt = o.Attempt
		return n.begin()
	}
	if err := e.Into(&p); err != nil {
		return o, kit.Refuse(kit.ErrInvalid, "%v", err)
	}
	switch e.Name {
	case eventRefuse:
		if o.State == orderFailed {
			o.Refused, o.Error = p.Error, p.Error
		}
	case eventProgress:
		if !o.State.over() {
			o.Step, o.Upgrade = p.Step, cmp.Or(p.Upgrade, o.Upgrade)
		}
	case actionPull + ".done":
		o.State, o.Step = orderDeploying, "starting"
		if o.Strategy == api.Throwaway {
			return o.call(actionStart)
		}
		return o.call(actionUpgrade)
	case actionStart + ".done", actionUpgrade + ".done":
		o.Address, o.Upgrade, o.Output = p.Address, cmp.Or(p.Upgrade, o.Upgrade), p.Output
		if o.Rehearse || len(o.Tests) == 0 {
			return o.finish(p.Error)
		}
		o.State, o.Step = orderTesting, "testing"
		return o.call(actionTest)
	case actionTest + ".done":
		o.Output = p.Output
		return o.finish(p.Error)
	case actionPull + ".failed", actionStart + ".failed", actionUpgrade + ".failed", actionTest + ".failed":
		return o.finish(cmp.Or(p.Error, "the agent could not say why"))
	case actionClean + ".done":
		return o.end(), nil
	case actionClean + ".failed":
		o.Error = cmp.Or(o.Error, "the group could not be destroyed: "+p.Error)
		return o.end(), nil
	}
	return o, nil
}

// begin starts another attempt, unless the image is refused.
func (o order) begin() (order, []kit.Op) {
	o.Attempt++
	o.State, o.Step = orderPulling, "pulling"
	o.Upgrade, o.Address, o.Output, o.Error = "", "", "", ""
	if o.Rehearse && o.Strategy == api.Throwaway {
		o.Refused = "a throw-away environment upgrades nothing, so there is nothing to rehearse"
	}
	if o.Refused != "" {
		o.Error = o.Refused
		return o.end(), nil
	}
	return o.call(actionPull)
}

func (o order) call(action string) (order, []kit.Op) {
	return o, []kit.Op{kit.Call(action, fmt.Sprint(o.Attempt), nil)}
}

// finish ends the attempt; an empty reason is success.
func (o order) finish(reason string) (order, []kit.Op) {
	o.Error = reason
	if o.Strategy != api.Throwaway {
		return o.end(), nil
	}
	o.State, o.Step, o.Address = orderCleaning, "cleaning", ""
	return o.call(actionClean)
}

func (o order) end() order {
	o.State, o.Step = orderDone, ""
	if o.Error != "" {
		o.State = orderFailed
	}
	return o
}

// status is what the hub is told of o.
func (o order) status() api.Status {
	s := api.Status{
		Environment: o.Environment, Deployment: o.Deployment, Release: o.Release, Image: o.Image,
		State: api.DeploymentRunning, Step: o.Step, Error: o.Error,
		Address: o.Address, Output: o.Output,
	}
	if o.Upgrade != "" {
		s.Upgrade = api.Upgrades.Link(reportID(o.Environment, o.Upgrade.ID()))
	}
	switch o.State {
	case orderDone:
		s.State = api.DeploymentPassed
	case orderFailed:
		s.State = api.DeploymentFailed
	}
	return s
}
