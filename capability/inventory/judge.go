package inventory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/capability/inventory/bom"
	"landfall.dev/capability/inventory/osv"
	"landfall.dev/kit"
)

// judging carries out the actions of inventories.
type judging struct {
	client kit.Client
	blobs  kit.Blobs
}

// judge reads the files of the inventory r and judges what is in them.
func (j judging) judge(ctx context.Context, r kit.Record, _ kit.Op) (any, error) {
	i, err := api.Inventories.Decode(r)
	if err != nil {
		return nil, err
	}
	policy, err := found(api.Policies.Read(ctx, j.client, i.Project))
	if err != nil {
		return nil, err
	}
	files := i.Files
	if i.Source.Kind() == api.Images.Name {
		if files, err = j.attached(ctx, i.Source.ID()); err != nil {
			return nil, err
		}
	}
	e := evidence{rules: policy.PolicyRules, policy: policy.Link != "", patch: i.Change != ""}
	a := advisories{judging: j, bases: map[string]*osv.Base{}}
	defer a.close()
	at := time.Now()
	if e.now, e.problems, err = j.contents(ctx, files, &a, e.rules, at); err != nil {
		return nil, err
	}
	since, err := j.before(ctx, i)
	if err != nil {
		return nil, err
	}
	if since.Link != "" {
		before, _, err := j.contents(ctx, since.Files, &a, e.rules, at)
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			return nil, err
		}
		if err == nil { // else its files are not kept any more
			e.before = &before
		}
	}
	o := e.verdict()
	o.Files = files
	if e.before != nil {
		o.Since = since.Link
	}
	return fit(o)
}

// found turns the error for a document that does not exist into a zero one.
func found[T any](doc T, err error) (T, error) {
	if errors.Is(err, kit.ErrNotFound) {
		var none T
		return none, nil
	}
	return doc, err
}

// contents returns what files say, with what the advisories know of it. What is
// wrong with a file becomes a problem; the error is that of getting at them.
func (j judging) contents(ctx context.Context, files []api.ReportFile, a *advisories, rules api.PolicyRules, at time.Time) (c contents, problems []string, err error) {
	var bill bom.Bill
	for _, f := range files {
		if f.Error != "" {
			problems = append(problems, fmt.Sprintf("%s report %s: %s", f.Kind, f.Path, f.Error))
			continue
		}
		data, err := j.file(ctx, f)
		if err != nil {
			return c, nil, err
		}
		read := bill.ReadCycloneDX
		if f.Kind == api.ReportOSV {
			read = bill.ReadOSV
		}
		if err := read(f.Path, data); err != nil {
			problems = append(problems, err.Error())
		}
	}
	unclear, advised, err := a.look(ctx, &bill)
	if err != nil {
		return c, nil, err
	}
	c = ruled(bill, rules, at)
	c.unclear, c.advised = unclear, advised
	return c, problems, nil
}

// file returns the bytes of a report file.
func (j judging) file(ctx context.Context, f api.ReportFile) ([]byte, error) {
	b, err := j.blobs.Open(ctx, f.Digest)
	if err != nil {
		return nil, &kit.Error{Op: "inventory.read", Detail: fmt.Sprintf("the %s report %s cannot be read", f.Kind, f.Path), Err: err}
	}
	defer b.Close()
	if b.Size() > api.MaxReport {
		return nil, kit.Errorf(kit.ErrTooLarge, "", "the %s report %s has %d bytes, the limit is %d", f.Kind, f.Path, b.Size(), api.MaxReport)
	}
	return io.ReadAll(b)
}

// attached returns the bills of materials in an artifact of the registry: those
// of its layers that are one.
func (j judging) attached(ctx context.Context, image string) ([]api.ReportFile, error) {
	i, err := api.Images.Read(ctx, j.client, image)
	if err != nil {
		return nil, err
	}
	data, err := j.file(ctx, api.ReportFile{Kind: "manifest", Path: string(i.Digest), Digest: i.Digest})
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Layers []struct {
			MediaType   string            `json:"mediaType"`
			Digest      kit.Digest        `json:"digest"`
			Size        int64             `json:"size"`
			Annotations map[string]string `json:"annotations"`
		} `json:"layers"`
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, kit.Errorf(kit.ErrInvalid, i.Link, "the manifest cannot be read: %v", err)
	}
	var files []api.ReportFile
	for _, l := range manifest.Layers {
		if strings.HasPrefix(l.MediaType, attachedType) {
			name := l.Annotations["org.opencontainers.image.title"]
			if name == "" || len(name) > 300 {
				name = "bom.json"
			}
			files = append(files, api.ReportFile{Kind: api.ReportCycloneDX, Path: name, Digest: l.Digest, Size: l.Size})
		}
	}
	if len(files) == 0 {
		return nil, kit.Errorf(kit.ErrInvalid, i.Link, "no layer of it has the type %s", attachedType)
	}
	return files, nil
}

// maxBefore is how many inventories are looked through for the one before.
const maxBefore = 20

// before returns the latest inventory of what has landed that was made before i,
// of the same job or, where there is no job, of the same repository.
func (j judging) before(ctx context.Context, i api.Inventory) (api.Inventory, error) {
	filter := fmt.Sprintf(`project == %q && job == %q && change == "" && state != %q`, i.Project, i.Job, api.InventoryJudging)
	p, err := j.client.List(ctx, kit.Query{Kind: api.Inventories.Name, Filter: filter, Order: "-created", Limit: maxBefore})
	if err != nil {
		return api.Inventory{}, err
	}
	repository, _, _ := strings.Cut(i.Image, "@")
	for _, r := range p.Items {
		old, err := api.Inventories.Decode(r)
		if err != nil {
			return old, err
		}
		of, _, _ := strings.Cut(old.Image, "@")
		if old.Link != i.Link && !old.Created.After(i.Created) && (i.Job != "" || of == repository) {
			return old, nil
		}
	}
	return api.Inventory{}, nil
}

// advisories are the databases that were opened for an inventory.
type advisories struct {
	judging
	bases map[string]*osv.Base // nil where there is none
	files []kit.Blob
}

func (a *advisories) close() {
	for _, f := range a.files {
		f.Close()
	}
}

// base returns the database of an ecosystem, nil if there is none.
func (a *advisories) base(ctx context.Context, ecosystem string) (*osv.Base, error) {
	if b, ok := a.bases[ecosystem]; ok {
		return b, nil
	}
	doc, err := found(api.Advisories.Read(ctx, a.client, api.AdvisoriesID(ecosystem)))
	if err != nil || doc.Link == "" {
		a.bases[ecosystem] = nil
		return nil, err
	}
	f, err := a.blobs.Open(ctx, doc.Digest)
	if err != nil {
		return nil, &kit.Error{Op: "inventory.advisories", Link: doc.Link, Detail: "the file cannot be read: landfall inventory import-osv brings it anew", Err: err}
	}
	a.files = append(a.files, f)
	b, err := osv.Open(ecosystem, f, f.Size())
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrInvalid, Link: doc.Link, Detail: err.Error()}
	}
	a.bases[ecosystem] = b
	return b, nil
}

// look adds to bill what the databases know of its components. It returns how
// often versions could not be compared, and of which ecosystems it has databases.
func (a *advisories) look(ctx context.Context, bill *bom.Bill) (unclear int, advised map[string]bool, err error) {
	advised = map[string]bool{}
	for i, p := range bill.Packages {
		x, ok := p.Advised()
		if !ok || x.Version == "" {
			continue
		}
		b, err := a.base(ctx, x.Ecosystem)
		if err != nil {
			return 0, nil, err
		}
		advised[x.Ecosystem] = b != nil
		if b == nil {
			continue
		}
		vulnerabilities, n, err := b.Find(x.Release, x.Name, x.Version)
		if err != nil {
			return 0, nil, &kit.Error{Fault: kit.ErrInvalid, Link: api.Advisories.Link(api.AdvisoriesID(x.Ecosystem)), Detail: err.Error()}
		}
		unclear += n
		for _, v := range vulnerabilities {
			v.Component = bill.Components[i].PURL
			bill.Find(v)
		}
	}
	return unclear, advised, nil
}
