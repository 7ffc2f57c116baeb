package inventory

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/bom"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

func TestFlagsChangeAPolicy(t *testing.T) {
	rules := api.PolicyRules{Licences: api.LicenceRules{Allow: []string{"MIT"}, Deny: []string{"GPL-*"}}}
	for _, step := range []struct {
		flags policyFlags
		want  func(*api.PolicyRules)
	}{
		{policyFlags{deny: []string{"MIT"}, others: "review"}, func(r *api.PolicyRules) {
			r.Licences = api.LicenceRules{Deny: []string{"GPL-*", "MIT"}, Others: api.Review}
		}},
		{policyFlags{forget: []string{"MIT"}, others: "none", denySeverity: "high"}, func(r *api.PolicyRules) {
			r.Licences, r.Vulnerabilities.Deny = api.LicenceRules{Deny: []string{"GPL-*"}}, api.SeverityHigh
		}},
		{policyFlags{packages: []string{"pkg:npm/a@1=allow:a tool: ours", "pkg:deb/debian/b@1:2?x=y=deny", "pkg:npm/c=review"}}, func(r *api.PolicyRules) {
			r.Packages = []api.PackageRule{
				{Package: "pkg:npm/a@1", Ruling: api.Allow, Reason: "a tool: ours"}, {Package: "pkg:deb/debian/b@1:2?x=y", Ruling: api.Deny}, {Package: "pkg:npm/c", Ruling: api.Review},
			}
		}},
		{policyFlags{packages: []string{"pkg:npm/a@1=deny"}, ignore: []string{"CVE-1=not = reached"}, forget: []string{"pkg:npm/c"}}, func(r *api.PolicyRules) {
			r.Packages = []api.PackageRule{{Package: "pkg:deb/debian/b@1:2?x=y", Ruling: api.Deny}, {Package: "pkg:npm/a@1", Ruling: api.Deny}}
			r.Vulnerabilities.Ignore = []api.Ignored{{ID: "CVE-1", Reason: "not = reached"}}
		}},
	} {
		want := rules
		step.want(&want)
		if err := step.flags.apply(&rules); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(normal(rules), normal(want)) {
			t.Errorf("%+v make %+v, want %+v", step.flags, rules, want)
		}
	}
	for _, f := range []policyFlags{{packages: []string{"pkg:npm/a"}}, {ignore: []string{"CVE-1"}}} {
		if err := f.apply(&rules); err == nil || !strings.Contains(err.Error(), "write ") {
			t.Errorf("%+v: %v, want them refused", f, err)
		}
	}
}

// normal returns r without lists that are there and empty.
func normal(r api.PolicyRules) api.PolicyRules {
	for _, list := range []*[]string{&r.Licences.Allow, &r.Licences.Review, &r.Licences.Deny} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	return r
}

func TestAnInventoryIsFoundByWhatItIsOf(t *testing.T) {
	c := kittest.Serve(t, kit.Service{Name: "others", Owns: []kit.Owned{
		kit.Own[api.Inventory](api.Inventories, nil), kit.Own[api.Release](api.Releases, nil), kit.Own[api.Image](api.Images, nil),
	}})
	first, second, third := kit.DigestOf([]byte("1")), kit.DigestOf([]byte("2")), kit.DigestOf([]byte("3"))
	at := func(d kit.Digest) string { return "ledger@" + string(d) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for id, image := range map[string]string{"main.1": at(first), "main.2": ""} {
		_, err := api.Inventories.Create(t.Context(), c.Admin(), id, api.Inventory{Project: "ledger", Image: image})
		must(err)
	}
	_, err := api.Images.Create(t.Context(), c.Admin(), api.ImageID("ledger", second), api.Image{Repository: "ledger", Digest: second, Build: "builds/main.2"})
	must(err)
	for id, image := range map[string]string{"ledger-1.0.0": at(first), "ledger-3.0.0": at(third)} {
		_, err := api.Releases.Create(t.Context(), c.Admin(), id, api.Release{Project: "ledger", Image: image})
		must(err)
	}
	for name, want := range map[string]string{
		"main.1": "inventories/main.1", "inventories/main.1": "inventories/main.1", "builds/main.2": "inventories/main.2",
		at(first): "inventories/main.1", at(second): "inventories/main.2", "ledger-1.0.0": "inventories/main.1", "releases/ledger-1.0.0": "inventories/main.1",
		at(third): "there is no inventory of " + at(third), "ledger-3.0.0": "there is no inventory of " + at(third),
		"nothing": "nothing is no inventory, and no release", "ledger@sha256:1": `"sha256:1" is no digest`,
	} {
		i, err := find(t.Context(), c.Admin(), name)
		if err != nil && !strings.Contains(err.Error(), want) || err == nil && string(i.Link) != want {
			t.Errorf("%s is %s, %v, want %s", name, i.Link, err, want)
		}
	}
}

func TestWhatDiffers(t *testing.T) {
	read := func(components ...string) *bom.Bill {
		var parts []string
		for _, c := range components {
			name, version, _ := strings.Cut(c, " ")
			parts = append(parts, `{"name":"`+name+`","version":"`+version+`","purl":"pkg:npm/`+name+"@"+version+`"}`)
		}
		var b bom.Bill
		if err := b.ReadCycloneDX("f", []byte(`{"bomFormat":"CycloneDX","components":[`+strings.Join(parts, ",")+`]}`)); err != nil {
			t.Fatal(err)
		}
		return &b
	}
	d := compare(read("a 1", "b 1", "c 1", "c 2"), read("a 1", "b 2", "c 2", "d 1"))
	got := slices.Concat(d.Added, d.Removed, d.Changed)
	if want := []string{"pkg:npm/d 1", "pkg:npm/b 1 → 2", "pkg:npm/c 1, 2 → 2"}; !slices.Equal(got, want) {
		t.Errorf("they differ by %q, want %q", got, want)
	}
}
