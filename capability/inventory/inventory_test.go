package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/osv"
	"landfall.dev/kit"
	"landfall.dev/kit/blob"
	"landfall.dev/kit/kittest"
)

// hub is this service with the kinds of others.
type hub struct {
	t *testing.T
	*kittest.Cluster
	blobs *blob.Disk
}

func newHub(t *testing.T) hub {
	t.Helper()
	blobs, err := blob.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	h := hub{t: t, Cluster: kittest.Start(t), blobs: blobs}
	h.Server.Add(kit.Service{Name: "others", Owns: []kit.Owned{
		kit.Own[api.Build](api.Builds, nil), kit.Own[api.Image](api.Images, nil), kit.Own[api.Notice](api.Notices, nil),
		kit.Own[api.Channel](api.Channels, nil), kit.Own[api.Release](api.Releases, nil),
	}})
	s := Service(h.Client("services/inventory"), blobs)
	h.Server.Add(s)
	h.Run(s)
	return h
}

func made[T any](h hub, k kit.Kind[T], id string, doc T) T {
	h.t.Helper()
	doc, err := k.Create(h.t.Context(), h.Admin(), id, doc)
	if err != nil {
		h.t.Fatal(err)
	}
	return doc
}

func (h hub) put(text string) (kit.Digest, int64) {
	h.t.Helper()
	d, size, err := h.blobs.Put(h.t.Context(), strings.NewReader(text), "")
	if err != nil {
		h.t.Fatal(err)
	}
	return d, size
}

// build ends a build with report files: "kind path", content...
func (h hub) build(id string, b api.Build, files ...string) api.Inventory {
	h.t.Helper()
	for i := 0; i < len(files); i += 2 {
		kind, path, _ := strings.Cut(files[i], " ")
		d, size := h.put(files[i+1])
		b.Reports = append(b.Reports, api.ReportFile{Kind: api.ReportKind(kind), Path: path, Digest: d, Size: size})
	}
	b.Project, b.Job, b.State = "ledger", "image", api.BuildPassed
	made(h, api.Builds, id, b)
	return h.await(id, func(i api.Inventory) bool { return i.State != api.InventoryJudging })
}

func (h hub) await(id string, done func(api.Inventory) bool) api.Inventory {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	i, err := api.Inventories.Await(ctx, h.Admin(), id, done)
	if err != nil {
		h.t.Fatalf("inventory %s: %v", id, err)
	}
	return i
}

// notice returns the text of the only notice about an inventory.
func (h hub) notice(id string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), 20*time.Second)
	defer cancel()
	for ch, err := range h.Admin().Watch(ctx, kit.WatchQuery{Kind: api.Notices.Name}) {
		if err != nil {
			h.t.Fatalf("no notice about %s: %v", id, err)
		}
		n, err := api.Notices.Decode(ch.Record)
		if err != nil {
			h.t.Fatal(err)
		}
		if n.Source == api.Inventories.Link(id) {
			return n.To + ": " + n.Text
		}
	}
	h.t.Fatalf("no notice about %s", id)
	return ""
}

// said is the verdict on i in a line.
func said(i api.Inventory) string {
	text := string(i.State)
	for _, c := range i.Conditions {
		text += fmt.Sprintf(" | %s %s", c.Name, c.Text)
	}
	return text
}

// bill is a bill of materials of Go modules: "name version licence".
func bill(components ...string) string {
	var list []string
	for _, c := range components {
		f := strings.SplitN(c, " ", 3)
		list = append(list, fmt.Sprintf(`{"type":"library","name":%q,"version":%q,"purl":"pkg:golang/%s@%s","licenses":[{"expression":%q}]}`, f[0], f[1], f[0], f[1], f[2]))
	}
	return fmt.Sprintf(`{"bomFormat":"CycloneDX","specVersion":"1.6","components":[%s]}`, strings.Join(list, ","))
}

var policy = api.Policy{PolicyRules: api.PolicyRules{
	Licences:        api.LicenceRules{Deny: []string{"GPL-*"}, Review: []string{"MPL-*"}},
	Vulnerabilities: api.VulnerabilityRules{Deny: api.SeverityHigh},
}}

func TestAPatchIsJudgedByWhatItBringsAlong(t *testing.T) {
	h := newHub(t)
	i := h.build("main-1", api.Build{}, "cyclonedx bom.json", bill("x/a v1.0.0 MIT", "x/old v1.0.0 GPL-3.0-only"))
	if want := "passed | components 2 components; the project has no policy | vulnerabilities 0 known vulnerabilities; this hub has no advisories of Go"; said(i) != want {
		t.Errorf("without a policy it is %q, want %q", said(i), want)
	}
	made(h, api.Policies, "ledger", policy)
	i = h.await("main-1", func(i api.Inventory) bool { return i.State == api.InventoryDenied })
	if !strings.Contains(said(i), "2 components; 1 denied: pkg:golang/x/old@v1.0.0 (GPL-3.0-only)") || i.List[0].Name != "x/old" {
		t.Errorf("what has landed is %q, want all of it judged when there is a policy", said(i))
	}
	patch := api.Build{Change: "changes/7", PatchSet: 1, Commit: "c"}
	i = h.build("patch-1", patch, "cyclonedx bom.json", bill("x/a v1.0.0 MIT", "x/old v1.1.0 GPL-3.0-only", "x/b v1.0.0 Apache-2.0"))
	want := "passed | components 3 components; 1 more that were there before do not count | vulnerabilities 0 known vulnerabilities; this hub has no advisories of Go"
	if said(i) != want || i.Since != "inventories/main-1" || fmt.Sprint(*i.Fresh) != "{[pkg:golang/x/b] [Apache-2.0] []}" || i.Change != "changes/7" {
		t.Errorf("the patch is %q, new is %+v, want %q", said(i), i.Fresh, want)
	}
	i = h.build("patch-2", patch, "cyclonedx bom.json", bill("x/a v1.0.0 MIT", "x/g v1.0.0 GPL-2.0-only", "x/m v1.0.0 MPL-2.0"))
	if i.State != api.InventoryDenied || !strings.Contains(said(i), "1 denied: pkg:golang/x/g@v1.0.0 (GPL-2.0-only); 1 to be reviewed, until a rule of the policy decides: pkg:golang/x/m@v1.0.0 (MPL-2.0)") {
		t.Errorf("the patch is %q, want what it brings denied", said(i))
	}
	_, err := api.Policies.Modify(t.Context(), h.Admin(), "ledger", func(p *api.Policy) error {
		p.Packages = []api.PackageRule{{Package: "pkg:golang/x/g", Ruling: api.Allow, Reason: "a tool"}, {Package: "pkg:golang/x/m@v1.*", Ruling: api.Allow}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if i = h.await("patch-2", func(i api.Inventory) bool { return i.State == api.InventoryPassed }); len(i.Rules.Packages) != 2 {
		t.Errorf("it was judged by %+v, want the policy as it is now", i.Rules)
	}
}

func TestWhatIsNewInWhatHasLandedIsTold(t *testing.T) {
	h := newHub(t)
	h.build("main-1", api.Build{}, "cyclonedx bom.json", bill("x/a v1.0.0 MIT"))
	i := h.build("main-2", api.Build{Image: "ledger@" + string(kit.DigestOf(nil))}, "cyclonedx bom.json", bill("x/a v1.1.0 MIT", "x/b v1.0.0 MPL-2.0"))
	if got, want := h.notice("main-2"), "#ledger: image of ledger: 1 new licence: MPL-2.0; 1 new package: pkg:golang/x/b"; got != want {
		t.Errorf("the notice says %q, want %q", got, want)
	}
	if i.Since != "inventories/main-1" || i.Components != 2 || len(i.Licences) != 2 {
		t.Errorf("the inventory is %+v, want it compared with the one before", i)
	}
	made(h, api.Releases, "ledger-1.0.0", api.Release{Project: "ledger", Version: "1.0.0", Image: i.Image})
	made(h, api.Channels, "ledger-stable", api.Channel{Project: "ledger", Release: "releases/ledger-1.0.0"})
	h.build("main-3", api.Build{}, "cyclonedx bom.json", bill("x/a v2.0.0 MIT"))

	var c osv.Compiler
	for _, a := range []string{
		`{"id":"GO-1","modified":"2026-01-01T00:00:00Z","aliases":["CVE-1"],"summary":"It breaks","affected":[{"package":{"ecosystem":"Go","name":"x/b"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.0.1"}]}]}]}`,
		`{"id":"GO-2","modified":"2026-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Go","name":"x/a"},"ranges":[{"type":"SEMVER","events":[{"introduced":"2.0.0"}]}]}]}`,
	} {
		if err := c.Add("a", []byte(a)); err != nil {
			t.Fatal(err)
		}
	}
	base := c.Bases()[0]
	base.Digest, _ = h.put(string(base.Text))
	made(h, api.Advisories, "go", base.AdvisoryBase)
	for id, want := range map[string]string{
		"main-2": "image of ledger: 1 new vulnerability: GO-1 in pkg:golang/x/b@v1.0.0", // a channel offers it
		"main-3": "image of ledger: 1 new vulnerability: GO-2 in pkg:golang/x/a@v2.0.0", // it has landed last
	} {
		i := h.await(id, func(i api.Inventory) bool { return i.Known == 1 && i.State != api.InventoryJudging })
		if v := i.Vulnerabilities[0]; i.State != api.InventoryPassed || !strings.Contains(said(i), "1 known vulnerability (1 unknown); no policy says which are denied") || v.Source != "OSV Go" {
			t.Errorf("%s is %q, %+v, want one vulnerability", id, said(i), v)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if _, err := api.Notices.Await(ctx, h.Admin(), noticeID(api.Inventories.Link(id), want), func(api.Notice) bool { return true }); err != nil {
			t.Errorf("the notice %q: %v", want, err)
		}
	}
	made(h, api.Policies, "ledger", policy) // what nobody has rated counts as high
	h.await("main-2", func(i api.Inventory) bool { return i.State == api.InventoryDenied })
}

func TestABillOfMaterialsThatIsAttachedToAnImage(t *testing.T) {
	h := newHub(t)
	layer, size := h.put(bill("x/a v1.0.0 MIT"))
	manifest, _ := h.put(fmt.Sprintf(`{"layers":[{"mediaType":"application/vnd.cyclonedx+json","digest":%q,"size":%d,"annotations":{"org.opencontainers.image.title":"ledger.json"}}]}`, layer, size))
	subject := kit.DigestOf([]byte("an image"))
	image := api.Image{Repository: "ledger/server", Digest: manifest, Subject: subject, ArtifactType: "application/vnd.cyclonedx+json"}
	id := api.ImageID(image.Repository, manifest)
	made(h, api.Images, id, image)
	i := h.await(id, func(i api.Inventory) bool { return i.State != api.InventoryJudging })
	if i.Components != 1 || i.Project != "ledger" || i.Image != "ledger/server@"+string(subject) || len(i.Files) != 1 || i.Files[0].Path != "ledger.json" {
		t.Errorf("the inventory is %+v, want that of the image", i)
	}
	empty, _ := h.put(`{"layers":[]}`)
	image.Digest = empty
	id = api.ImageID(image.Repository, empty)
	made(h, api.Images, id, image)
	if i := h.await(id, func(i api.Inventory) bool { return i.State != api.InventoryJudging }); i.State != api.InventoryError || !strings.Contains(i.Error, "no layer of it has the type application/vnd.cyclonedx+json") {
		t.Errorf("the inventory of nothing is %s, %q, want an error", i.State, i.Error)
	}
}

func TestAFileThatIsNotWhatItSaysIsDeniedByName(t *testing.T) {
	h := newHub(t)
	b := api.Build{Reports: []api.ReportFile{{Kind: api.ReportCycloneDX, Path: "*.json", Error: "no file matches this pattern"}, {Kind: api.ReportSARIF, Path: "s.sarif"}}}
	i := h.build("broken", b, "cyclonedx bom.json", "<bom/>", "osv osv.json", "[]")
	want := "denied | reports cyclonedx report *.json: no file matches this pattern, bom.json:1: it is XML: write JSON, osv.json:1: it is no report of osv-scanner: the file must be an object"
	if !strings.HasPrefix(said(i), want) {
		t.Errorf("the inventory says %q, want %q", said(i), want)
	}
	bomb := `{"bomFormat":"CycloneDX","components":[` + strings.Repeat(`{"name":"a"},`, 500_000) + `{}]}`
	if i := h.build("bomb", api.Build{}, "cyclonedx bom.json", bomb); i.State != api.InventoryDenied || !strings.Contains(said(i), "bom.json:1: it has more than 50000 components") {
		t.Errorf("the bomb is %.200q, want it refused", said(i))
	}
	var many []string
	for n := range 2 * maxListed {
		var licences []string
		for l := range 20 {
			licences = append(licences, fmt.Sprintf(`{"license":{"name":"%d %s"}}`, l, strings.Repeat("<", 490)))
		}
		many = append(many, fmt.Sprintf(`{"name":"%d","licenses":[%s]}`, n, strings.Join(licences, ",")))
	}
	long := fmt.Sprintf(`{"bomFormat":"CycloneDX","components":[%s]}`, strings.Join(many, ","))
	if i := h.build("many", api.Build{}, "cyclonedx bom.json", long); i.State != api.InventoryPassed || i.Components != 2*maxListed || len(i.List) == 0 || len(i.List) >= maxListed {
		t.Errorf("many are %s, %d of which %d are listed, want some of them", i.State, i.Components, len(i.List))
	}
	made(h, api.Builds, "tests", api.Build{State: api.BuildPassed, Reports: []api.ReportFile{{Kind: api.ReportJUnit, Path: "r.xml"}}})
	h.build("last", api.Build{}, "cyclonedx bom.json", bill())
	if _, err := api.Inventories.Read(t.Context(), h.Admin(), "tests"); !errors.Is(err, kit.ErrNotFound) {
		t.Errorf("the inventory of a build without any: %v, want none", err)
	}
}
