package page

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"

	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
)

// documentPage is a document and what the caller may do with it.
type documentPage struct {
	kit.Record
	Editor   *editor // nil if the caller may not change it, or not any more
	Fields   []field // for who may only read
	JSON     string
	AsOf     string // the position that it is shown at, if not now
	Position string
	History  int // how many earlier versions are kept
	Pending  string
	Delete   bool
	Methods  []string
	Args     string // of the method that has just failed
	Fault    *fault // of that
}

// editor is a form for a document.
type editor struct {
	Action  string // where it is sent
	Button  string
	New     bool
	ID      string // of a new document
	AsJSON  bool   // all of it in one field
	Switch  string // the page that shows it in the other way
	Version int64
	Base    string // the own fields that the form was made from, in JSON
	Fields  []field
	JSON    string
	Fault   *fault
}

// address returns the page of a document.
func address(l kit.Link) string { return "/kit/kinds/" + string(l) }

// document shows a document.
func (s site) document(r request) (page, error) {
	k, err := s.kind(r)
	if err != nil {
		return page{}, err
	}
	return s.shown(r, k, nil, "", nil)
}

// shown returns the page of a document. If form is not nil it takes the place
// of the document's own, and fault is of the method that was sent with args.
func (s site) shown(r request, k kit.Owned, form *editor, args string, fault *fault) (page, error) {
	d := documentPage{AsOf: r.URL.Query().Get("asOf"), History: k.Versions, Args: args, Fault: fault}
	var err error
	if d.Record, d.Position, err = r.record(d.AsOf); err != nil {
		return page{}, err
	}
	fields, err := fieldsOf(k.Definition, d.Body)
	if err != nil {
		return page{}, err
	}
	d.JSON = pretty(d.Body)
	if len(d.Record.Pending) > 0 {
		b, err := json.MarshalIndent(d.Record.Pending, "", "  ")
		if err != nil {
			return page{}, err
		}
		d.Pending = string(b)
	}
	d.Fields = fields
	if d.AsOf == "" {
		d.Delete = r.may(kit.VerbDelete, r.link)
		for _, m := range k.Methods {
			if r.may(kit.Verb(m), r.link) {
				d.Methods = append(d.Methods, m)
			}
		}
		if d.Editor = form; form == nil && r.may(kit.VerbUpdate, r.link) {
			d.Editor = &editor{Action: address(r.link), Button: "Save", Version: d.Version, Base: string(d.Body), Fields: fields, JSON: d.JSON}
			d.Editor.switched(r)
		}
	}
	p := page{Title: string(r.link), Body: "document", Content: d}
	if form != nil && form.Fault != nil {
		p.Status = form.Fault.Status
	} else if fault != nil {
		p.Status = fault.Status
	}
	// A page that has what was typed in it must not be brought in line.
	if d.Position != "" && form == nil && fault == nil && r.may(kit.VerbWatch, r.link) {
		p.Live = watchAddress(k.Name, fmt.Sprintf("link == %q", r.link), d.Position)
	}
	return p, nil
}

// switched sets in which way the form is shown.
func (e *editor) switched(r request) {
	e.AsJSON = r.FormValue("as") == "json"
	if e.Switch = e.Action; !e.AsJSON {
		e.Switch += "?as=json"
	}
}

// pretty returns a document's own fields over several lines.
func pretty(body json.RawMessage) string {
	var v json.RawMessage = body
	if len(v) == 0 {
		v = json.RawMessage("{}")
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return string(body)
	}
	return string(b)
}

// record reads the document, as it was at a position if that is not empty, and
// the position from which a watch misses no later change of it; that is empty
// for an earlier document, and for callers who may not list it.
func (r request) record(asOf string) (doc kit.Record, position string, err error) {
	if err := r.link.Check(); err != nil {
		return doc, "", err
	}
	if asOf == "" && r.may(kit.VerbRead, r.link) && r.may(kit.VerbList, r.link) {
		p, err := r.client.List(r.Context(), kit.Query{Kind: r.link.Kind(), Filter: fmt.Sprintf("link == %q", r.link), Limit: 1})
		if err != nil {
			return doc, "", err
		}
		if len(p.Items) > 0 {
			return p.Items[0], p.Position, nil
		}
	}
	var o kit.ReadOptions
	if asOf != "" {
		if o.AsOf, err = kit.ParsePosition(asOf); err != nil {
			return doc, "", err
		}
	}
	doc, err = r.client.Read(r.Context(), r.link, o)
	return doc, "", err
}

// submitted returns the form that r sends and the document's own fields after
// it. A fault of it is in the form, and what was typed too.
func (s site) submitted(r request, k kit.Owned) (*editor, json.RawMessage) {
	e := &editor{Action: address(r.link), Button: "Save", Base: r.PostFormValue("base"), JSON: lines(r.PostFormValue("json")), ID: r.PostFormValue("id")}
	e.switched(r)
	var err error
	if e.Version, err = strconv.ParseInt(r.PostFormValue("version"), 10, 64); err != nil || e.Version < 0 {
		e.Fault = layout.FaultOf(kit.Errorf(kit.ErrInvalid, "", "the form has no version of the document"))
		return e, nil
	}
	var after json.RawMessage
	after, e.Fields, err = edited(k.Definition, json.RawMessage(e.Base), r.PostForm)
	if e.AsJSON {
		if after = json.RawMessage(e.JSON); err == nil {
			_, err = membersOf(after)
		}
	} else {
		e.JSON = pretty(after)
	}
	e.Fault = layout.FaultOf(err)
	return e, after
}

// save changes a document as its form says.
func (s site) save(r request) (page, error) {
	k, err := s.kind(r)
	if err != nil {
		return page{}, err
	}
	e, after := s.submitted(r, k)
	if e.Fault != nil {
		return s.shown(r, k, e, "", nil)
	}
	patch, err := kit.DiffPatch([]byte(e.Base), after)
	if err != nil {
		return page{}, err
	}
	if string(patch) != "{}" {
		_, err = r.client.Update(r.Context(), r.link, patch, e.Version)
	}
	switch kit.FaultOf(err) {
	case 0:
		return page{To: address(r.link)}, nil
	case kit.ErrStale:
		return s.lost(r, k, e, patch, err)
	case kit.ErrNotFound:
		return page{}, err
	}
	e.Fault = layout.FaultOf(err)
	return s.shown(r, k, e, "", nil)
}

// lostPage shows a change that came too late beside what was there first.
type lostPage struct {
	Link    kit.Link
	Version int64
	Fields  []contested
	Editor  *editor
}

// contested is a field that either side has changed.
type contested struct {
	Name, Was, Now, Yours string
	Both                  bool // and not to the same
}

// lost shows what has changed since the caller began, and a form with the
// caller's change on top of that.
func (s site) lost(r request, k kit.Owned, e *editor, patch []byte, stale error) (page, error) {
	now, _, err := r.record("")
	if err != nil {
		return page{}, stale
	}
	merged, err := kit.MergePatch(now.Body, patch)
	if err != nil {
		return page{}, err
	}
	l := lostPage{Link: r.link, Version: now.Version}
	l.Editor = &editor{Action: e.Action, Button: "Save mine on top", Version: now.Version, Base: string(now.Body), AsJSON: true, JSON: pretty(merged)}
	var was, is, yours map[string]json.RawMessage
	for body, values := range map[string]*map[string]json.RawMessage{e.Base: &was, string(now.Body): &is, string(merged): &yours} {
		if err := json.Unmarshal([]byte(body), values); err != nil {
			return page{}, err
		}
	}
	var own map[string]json.RawMessage
	if err := json.Unmarshal(patch, &own); err != nil {
		return page{}, err
	}
	all, err := fieldsOf(k.Definition, merged)
	if err != nil {
		return page{}, err
	}
	names := namesOf(all)
	for _, name := range slices.Concat(slices.Sorted(maps.Keys(was)), slices.Sorted(maps.Keys(is))) {
		if !slices.Contains(names, name) {
			names = append(names, name) // one of the sides removes it
		}
	}
	for _, name := range names {
		c := contested{Name: name}
		c.Was, _ = textOf(was[name])
		c.Now, _ = textOf(is[name])
		c.Yours, _ = textOf(yours[name])
		_, mine := own[name]
		theirs := c.Was != c.Now
		c.Both = mine && theirs && c.Yours != c.Now
		if mine || theirs {
			l.Fields = append(l.Fields, c)
		}
	}
	return page{Title: "Lost race", Status: http.StatusPreconditionFailed, Body: "lost", Content: l}, nil
}

// blank shows the form of a new document.
func (s site) blank(r request) (page, error) {
	k, err := s.kind(r)
	if err != nil {
		return page{}, err
	}
	allowed, err := s.some(r)
	if err != nil {
		return page{}, err
	}
	if !allowed(kit.VerbCreate, r.link) {
		return page{}, r.caller.May(kit.VerbCreate, r.link)
	}
	e := &editor{JSON: "{}", Base: "{}"}
	e.Fields, err = fieldsOf(k.Definition, nil)
	return e.forNew(r), err
}

// forNew returns the page that makes a document by e.
func (e *editor) forNew(r request) page {
	e.Action, e.Button, e.New = "/kit/new/"+r.link.Kind(), "Create", true
	e.switched(r)
	p := page{Title: "New: " + r.link.Kind(), Body: "new", Content: struct {
		Kind   string
		Editor *editor
	}{r.link.Kind(), e}}
	if e.Fault != nil {
		p.Status = e.Fault.Status
	}
	return p
}

// create makes a document.
func (s site) create(r request) (page, error) {
	k, err := s.kind(r)
	if err != nil {
		return page{}, err
	}
	e, body := s.submitted(r, k)
	if e.Fault == nil {
		made, err := r.client.Create(r.Context(), k.Name, e.ID, body)
		if err == nil {
			return page{To: address(made.Link)}, nil
		}
		e.Fault = layout.FaultOf(err)
	}
	return e.forNew(r), nil
}

// confirm asks whether a document shall be deleted.
func (s site) confirm(r request) (page, error) {
	d, _, err := r.record("")
	if err != nil {
		return page{}, err
	}
	if err := r.caller.May(kit.VerbDelete, r.link); err != nil {
		return page{}, err
	}
	return page{Title: "Delete " + string(r.link), Body: "delete", Content: d}, nil
}

// remove deletes a document in the version that was shown.
func (s site) remove(r request) (page, error) {
	version, err := strconv.ParseInt(r.PostFormValue("version"), 10, 64)
	if err != nil || version < 1 {
		return page{}, kit.Errorf(kit.ErrInvalid, r.link, "the form has no version of the document")
	}
	err = r.client.Delete(r.Context(), r.link, version)
	return page{To: "/kit/kinds/" + r.link.Kind()}, err
}

// do sends an event to a document.
func (s site) do(r request) (page, error) {
	k, err := s.kind(r)
	if err != nil {
		return page{}, err
	}
	args := lines(r.PostFormValue("args"))
	_, err = r.client.Do(r.Context(), r.link, r.PostFormValue("method"), []byte(args))
	switch kit.FaultOf(err) {
	case 0:
		return page{To: address(r.link)}, nil
	case kit.ErrNotFound:
		return page{}, err
	}
	return s.shown(r, k, nil, args, layout.FaultOf(err))
}
