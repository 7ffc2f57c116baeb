package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// A plan that deletes at least manyDeletions jobs, and more than half of those
// that there are, must be confirmed.
const manyDeletions = 10

// jobPlan is how the jobs of a source become what they shall be.
type jobPlan struct {
	edits  []api.JobEdit
	counts api.JobChanges
	writes []kit.Write
}

// newJobPlan compares all deployed jobs of a source with those that it shall have
// at commit. Only what differs is written; where a definition stands in its
// file is not worth an edit that people see.
func newJobPlan(ref api.Ref, deployed []api.Job, wanted []api.JobSpec) (jobPlan, error) {
	var p jobPlan
	before := map[string]api.Job{}
	for _, j := range deployed {
		before[j.Spec.Name] = j
	}
	after := map[string]bool{}
	for _, s := range wanted {
		after[s.Name] = true
	}
	for _, s := range wanted {
		old, existed := before[s.Name]
		if existed {
			if err := p.update(ref, old, s); err != nil {
				return p, err
			}
			continue
		}
		from, moved := before[s.MovedFrom]
		if moved = moved && !after[s.MovedFrom]; moved {
			after[s.MovedFrom] = true // one job takes its place
		}
		if err := p.create(ref, s, from, moved); err != nil {
			return p, err
		}
	}
	for _, j := range deployed {
		if !after[j.Spec.Name] {
			p.counts.Deleted++
			p.edits = append(p.edits, api.JobEdit{Job: j.Spec.Name, Action: api.JobDelete})
			p.writes = append(p.writes, kit.Write{Verb: kit.VerbDelete, Link: j.Link, IfMatch: j.Version})
		}
	}
	slices.SortStableFunc(p.edits, func(a, b api.JobEdit) int { return strings.Compare(a.Job, b.Job) })
	return p, nil
}

// folder is where definitions are in a project.
const folder = "jobs"

// create adds the job s. If it has moved, it takes the place of from.
func (p *jobPlan) create(ref api.Ref, s api.JobSpec, from api.Job, moved bool) error {
	j := api.Job{Meta: kit.Meta{Source: ref.Link}, Project: ref.Project, Folder: folder, Commit: ref.Commit, Spec: s}
	if s.MovedFrom != "" {
		j.Formerly = []string{s.MovedFrom}
	}
	e := api.JobEdit{Job: s.Name, Action: api.JobCreate}
	if moved {
		fields, err := edits(from.Spec, s)
		if err != nil {
			return err
		}
		e = api.JobEdit{Job: s.Name, Action: api.JobRename, From: s.MovedFrom, Fields: fields}
		j.Formerly = append(slices.Clone(from.Formerly), s.MovedFrom)
		p.writes = append(p.writes, kit.Write{Verb: kit.VerbDelete, Link: from.Link, IfMatch: from.Version})
		p.counts.Renamed++
	} else {
		p.counts.Created++
	}
	body, err := json.Marshal(j)
	if err != nil {
		return err
	}
	p.edits = append(p.edits, e)
	p.writes = append(p.writes, kit.Write{Verb: kit.VerbCreate, Link: api.Jobs.Link(api.JobID(ref.Project, s.Name)), Body: body})
	return nil
}

func (p *jobPlan) update(ref api.Ref, old api.Job, s api.JobSpec) error {
	j := old
	j.Folder, j.Spec = folder, s
	fields, err := edits(old.Spec, s)
	if err != nil {
		return err
	}
	if len(fields) > 0 {
		j.Commit = ref.Commit
		p.counts.Updated++
		p.edits = append(p.edits, api.JobEdit{Job: s.Name, Action: api.JobUpdate, Fields: fields})
	} else {
		p.counts.Unchanged++
	}
	from, err1 := json.Marshal(old)
	to, err2 := json.Marshal(j)
	if err1 != nil || err2 != nil || bytes.Equal(from, to) {
		return errors.Join(err1, err2)
	}
	patch, err := kit.DiffPatch(from, to)
	if err != nil {
		return err
	}
	p.writes = append(p.writes, kit.Write{Verb: kit.VerbUpdate, Link: old.Link, Body: patch, IfMatch: old.Version})
	return nil
}

// What one write of several documents can have.
const (
	maxWrites     = 10_000
	maxWriteBytes = 6 << 20
)

// batches returns the writes of p: one, unless they are too many or too large
// for that.
func (p *jobPlan) batches() [][]kit.Write {
	var all [][]kit.Write
	size := 0
	for i, w := range p.writes {
		if size += len(w.Body); i == 0 || size > maxWriteBytes || len(all[len(all)-1]) == maxWrites {
			all = append(all, nil)
			size = len(w.Body)
		}
		all[len(all)-1] = append(all[len(all)-1], w)
	}
	return all
}

// check returns what the documents of p would be refused for, so that none is
// written then.
func (p *jobPlan) check() error {
	for _, w := range p.writes {
		if len(w.Body) > kit.MaxDocument {
			return kit.Errorf(kit.ErrTooLarge, w.Link, "the job has %d bytes with its scripts, the limit is %d", len(w.Body), kit.MaxDocument)
		}
		if err := w.Link.Check(); err != nil {
			return err
		}
	}
	return nil
}

// confirm says why p must be confirmed, or nothing.
func (p *jobPlan) confirm(deployed int) string {
	if p.counts.Deleted < manyDeletions || 2*p.counts.Deleted <= deployed {
		return ""
	}
	return fmt.Sprintf("%d of %d jobs would be deleted", p.counts.Deleted, deployed)
}

// edits returns the fields in which two specs differ, but for where they come
// from and what they were called.
func edits(before, after api.JobSpec) ([]api.FieldEdit, error) {
	before.Origin, after.Origin = nil, nil
	before.Name, before.MovedFrom, after.MovedFrom = after.Name, "", ""
	from, err := flatten(before)
	if err != nil {
		return nil, err
	}
	to, err := flatten(after)
	if err != nil {
		return nil, err
	}
	names := maps.Clone(from)
	maps.Copy(names, to)
	var list []api.FieldEdit
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if from[name] != to[name] {
			list = append(list, api.FieldEdit{Field: name, Before: from[name], After: to[name]})
		}
	}
	return list, nil
}

// flatten returns the fields of a spec as texts, by their paths: "env.LEVEL".
// A list of texts is one text.
func flatten(s api.JobSpec) (map[string]string, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var tree map[string]any
	if err := d.Decode(&tree); err != nil {
		return nil, err
	}
	texts := map[string]string{}
	collect(texts, "", tree)
	return texts, nil
}

func collect(texts map[string]string, path string, v any) {
	under := func(name string) string { return strings.TrimPrefix(path+"."+name, ".") }
	switch v := v.(type) {
	case map[string]any:
		for name, inside := range v {
			collect(texts, under(name), inside)
		}
	case []any:
		if lines, ok := listed(v); ok {
			texts[path] = strings.Join(lines, "\n")
			return
		}
		for i, inside := range v {
			collect(texts, under(strconv.Itoa(i+1)), inside)
		}
	case nil:
	default:
		texts[path] = fmt.Sprint(v)
	}
}

// listed returns the texts of a list that has only such.
func listed(list []any) ([]string, bool) {
	var texts []string
	for _, v := range list {
		s, ok := v.(string)
		if !ok {
			return nil, false
		}
		texts = append(texts, s)
	}
	return texts, true
}
