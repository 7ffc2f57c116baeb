package inventory

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// self is who alone makes inventories.
const self = "services/inventory"

// onBuild wishes for an inventory of a build that has ended with files about
// dependencies. Its id is the build's, so an event seen twice makes one document.
func onBuild(b api.Build, _ time.Time) []kit.Op {
	if b.State != api.BuildPassed && b.State != api.BuildFailed {
		return nil
	}
	var files []api.ReportFile
	for _, f := range b.Reports {
		if f.Kind.OfInventory() {
			files = append(files, f)
		}
	}
	if len(files) == 0 {
		return nil
	}
	return []kit.Op{kit.Create(api.Inventories, b.Link.ID(), api.Inventory{
		Meta: kit.Meta{Source: b.Link}, Project: b.Project, Job: b.Job, Commit: b.Commit, Change: b.Change, PatchSet: b.PatchSet, Image: b.Image, Files: files,
		Run: b.Run, Node: b.Node,
	})}
}

// attachedType is the type of bills of materials that are attached to images.
const attachedType = "application/vnd.cyclonedx+json"

// onImage wishes for an inventory of the image that i, a bill of materials, is
// attached to. The project is the first part of the repository's name.
func onImage(i api.Image, _ time.Time) []kit.Op {
	if i.Subject == "" || !strings.HasPrefix(i.ArtifactType, attachedType) {
		return nil
	}
	project, _, _ := strings.Cut(i.Repository, "/")
	return []kit.Op{kit.Create(api.Inventories, i.Link.ID(), api.Inventory{
		Meta: kit.Meta{Source: i.Link}, Project: project, Commit: i.Commit, Image: i.Repository + "@" + string(i.Subject),
	})}
}

// nextInventory returns i after e, and what must now happen.
func nextInventory(i api.Inventory, e kit.Event, now time.Time) (api.Inventory, []kit.Op) {
	judge := []kit.Op{kit.Call("judge", "1", nil)}
	switch e.Name {
	case "created":
		if e.By != self {
			return i, kit.Refuse(kit.ErrForbidden, "inventories are made of builds and images: declare the job's files under reports, as cyclonedx or osv")
		}
		i.State = api.InventoryJudging
		return i, judge
	case "judge":
		if i.State == api.InventoryJudging {
			i.Again = true
			return i, nil
		}
		i.State = api.InventoryJudging
		return i, judge
	case "judge.done", "judge.failed":
		i, ops := judged(i, e, now)
		if i.Again {
			i.Again, i.State = false, api.InventoryJudging
			ops = append(ops, judge...)
		}
		return i, ops
	}
	return i, nil
}

// judged returns i with the result of the action judge, and the notice about
// what is new.
func judged(i api.Inventory, e kit.Event, now time.Time) (api.Inventory, []kit.Op) {
	var o outcome
	if why := failure(e, &o); why != "" {
		i.State, i.Error, i.Judged = api.InventoryError, why, now
		return i, nil
	}
	before := i
	i.Error, i.Judged = "", now
	i.State, i.Files, i.Since, i.Rules, i.Conditions = o.state(), o.Files, o.Since, o.Rules, o.Conditions
	i.Components, i.List, i.Licences = o.Components, o.List, o.Licences
	i.Known, i.Vulnerabilities, i.Fresh = o.Known, o.Vulnerabilities, o.Fresh
	text := news(before, i)
	if text == "" {
		return i, nil
	}
	return i, []kit.Op{kit.Create(api.Notices, noticeID(i.Link, text), api.Notice{
		Meta: kit.Meta{Source: i.Link}, To: "#" + i.Project, Text: text, About: i.Link,
	})}
}

// noticeID returns the id of the notice that says text about the inventory.
func noticeID(about kit.Link, text string) string {
	return "inventory-" + kit.DigestOf([]byte(string(about) + " " + text)).Hex()[:32]
}

// failure reads the result of an action into o, or returns why there is none.
func failure(e kit.Event, o *outcome) string {
	var f struct {
		Error string `json:"error"`
	}
	if !strings.HasSuffix(e.Name, ".failed") {
		if err := e.Into(o); err != nil {
			return err.Error()
		}
		return ""
	}
	_ = e.Into(&f) // without a reason it has failed all the same
	return cmp.Or(f.Error, "nobody knows why")
}

// maxNews is how many things a notice names of each kind.
const maxNews = 5

// news tells people what is new in now, which was old before; it is empty if
// nothing is, and for a patch, whose author sees its verdict.
func news(old, now api.Inventory) string {
	if now.Change != "" {
		return ""
	}
	var f api.Fresh
	switch {
	case len(old.Conditions) > 0: // it was judged before
		f.Vulnerabilities = without(named(now.Vulnerabilities), named(old.Vulnerabilities))
	case now.Fresh != nil:
		f = *now.Fresh
	default:
		f.Vulnerabilities = named(now.Vulnerabilities)
	}
	var parts []string
	for _, part := range []struct {
		thing string
		list  []string
	}{{"new vulnerability", f.Vulnerabilities}, {"new licence", f.Licences}, {"new package", f.Packages}} {
		if n := len(part.list); n > 0 {
			parts = append(parts, count(n, part.thing)+": "+few(part.list, n, maxNews))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	what := now.Job
	if what == "" {
		what = now.Image
	}
	return fmt.Sprintf("%s of %s: %s", what, now.Project, strings.Join(parts, "; "))
}

// named returns what people call vulnerabilities.
func named(all []api.Vulnerability) []string {
	var names []string
	for _, v := range all {
		names = append(names, v.ID+" in "+v.Component)
	}
	return names
}

// without returns what of all is not in known.
func without(all, known []string) []string {
	seen := map[string]bool{}
	for _, k := range known {
		seen[k] = true
	}
	var rest []string
	for _, a := range all {
		if !seen[a] {
			rest = append(rest, a)
		}
	}
	return rest
}

// nextAdvisories refuses a database that cannot be one, and has what it may
// concern judged again.
func nextAdvisories(a api.AdvisoryBase, e kit.Event, _ time.Time) (api.AdvisoryBase, []kit.Op) {
	switch e.Name {
	case "created", "updated":
		if err := a.Digest.Check(); err != nil || a.Ecosystem == "" {
			return a, kit.Refuse(kit.ErrInvalid, "it needs an ecosystem and a digest: landfall inventory import-osv makes it")
		}
		a.Error = ""
		return a, []kit.Op{kit.Call("spread", string(a.Digest), nil)}
	case "spread.failed":
		a.Error = failure(e, nil)
	}
	return a, nil
}
