package page

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/page/layout"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/rest/stats"
)

// kindRow is what the list of kinds tells of one.
type kindRow struct {
	Kind   string
	Schema int
	Count  int64 // -1: too many to count for this caller
	New    bool  // the caller may create documents
	// Reads and Writes are how many there were each second of the last minute.
	Reads, Writes float64
	Verbs         []stats.Verb
}

// kinds shows those of which the caller may list documents.
func (s site) kinds(r request) (page, error) {
	rows, _, err := s.listed(r)
	return page{Title: "Kinds", Section: "/kit/", Body: "kinds", Content: rows}, err
}

// listed returns the kinds of which the caller may list documents, and the
// statistics of this node.
func (s site) listed(r request) ([]kindRow, rest.Stats, error) {
	var node rest.Stats
	if err := r.fetch("/stats", &node); err != nil {
		return nil, node, err
	}
	allowed, err := s.some(r)
	if err != nil {
		return nil, node, err
	}
	var rows []kindRow
	for _, k := range node.Kinds {
		owned, ok := s.Kinds.Find(k.Kind)
		link := kit.NewLink(k.Kind, "")
		if !ok || !allowed(kit.VerbList, link) {
			continue
		}
		row := kindRow{Kind: k.Kind, Schema: owned.Schema, Count: int64(k.Documents), New: allowed(kit.VerbCreate, link), Verbs: k.Verbs}
		row.Reads, row.Writes = rates(k.Verbs)
		if !r.may(kit.VerbList, link) { // but some of its documents
			p, err := r.client.List(r.Context(), kit.Query{Kind: k.Kind, Limit: 1, Count: true, Consistency: kit.Eventual})
			switch {
			case err == nil:
				row.Count = *p.Count
			case kit.FaultOf(err) == kit.ErrTooLarge:
				row.Count = -1
			default:
				return nil, node, err
			}
		}
		rows = append(rows, row)
	}
	return rows, node, nil
}

// some returns a function that tells whether the caller may do v to some
// documents of a kind, "kind/".
func (s site) some(r request) (func(v kit.Verb, kind kit.Link) bool, error) {
	var rules []rest.Rule
	for role, err := range rest.Roles.All(r.Context(), s.As("services/page"), "", "") {
		if err != nil {
			return nil, err
		}
		if slices.Contains(role.Subjects, r.caller.Subject) || slices.ContainsFunc(r.caller.Groups, func(g string) bool { return slices.Contains(role.Subjects, g) }) {
			rules = append(rules, role.Rules...)
		}
	}
	return func(v kit.Verb, kind kit.Link) bool {
		return r.may(v, kind) || slices.ContainsFunc(rules, func(rule rest.Rule) bool {
			limited := len(rule.IDs) > 0 || rule.Filter != ""
			return limited && (slices.Contains(rule.Kinds, "*") || slices.Contains(rule.Kinds, kind.Kind())) &&
				(slices.Contains(rule.Verbs, "*") || slices.Contains(rule.Verbs, v))
		})
	}, nil
}

// fetch reads the JSON at a path of the platform into v, as the caller.
func (r request) fetch(path string, v any) error {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	res, err := r.http.Do(req)
	if err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Op: path, Err: err}
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return &kit.Error{Fault: kit.ErrUnavailable, Op: path, Err: err}
	case res.StatusCode != http.StatusOK:
		return kit.DecodeProblem(res.StatusCode, b)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &kit.Error{Op: path, Err: err}
	}
	return nil
}

// tablePage is a table of documents and the query that it answers.
type tablePage struct {
	Kind     string
	Query    query
	Orders   []string
	Fields   string // that can be selected
	Columns  []column
	Rows     []tableRow
	Count    int64  // -1: not counted
	Position string // where the list was read
	Counts   string // the address that counts too
	Next     string
	New      bool
	Fault    *fault
}

// query is what the form above a table asks for.
type query struct {
	Filter, Order, Select, AsOf string
	Limit                       int
	Limits                      []int // to choose from
	Later                       bool  // a page after the first
}

type tableRow struct {
	kit.Record
	AsOf  string
	Cells []cell
}

type column struct {
	Name   string
	Number bool // it has numbers
}

// cell is the value of a field.
type cell struct {
	Text    string
	Number  bool
	Missing bool
}

// maxColumns is how many fields a table shows by itself, and maxCell how many
// bytes of each.
const (
	maxColumns = 6
	maxCell    = 120
)

// table shows a page of the documents of a kind.
func (s site) table(r request) (page, error) {
	k, err := s.kind(r)
	if err != nil {
		return page{}, err
	}
	allowed, err := s.some(r)
	if err != nil {
		return page{}, err
	}
	t := tablePage{Kind: k.Name, New: allowed(kit.VerbCreate, r.link), Orders: ordersOf(k)}
	t.Query = query{Filter: r.FormValue("filter"), Order: r.FormValue("order"), Select: r.FormValue("select"), AsOf: r.FormValue("asOf"), Limits: []int{25, 50, 100, 250}}
	if t.Query.Limit, _ = strconv.Atoi(r.FormValue("limit")); t.Query.Limit < 1 {
		t.Query.Limit = 50
	}
	if !slices.Contains(t.Query.Limits, t.Query.Limit) {
		t.Query.Limits = append(t.Query.Limits, t.Query.Limit)
	}
	fields, _ := fieldsOf(k.Definition, nil)
	t.Fields = strings.Join(namesOf(fields), ", ")
	p := page{Title: k.Name, Body: "table"}
	err = t.fill(r, k)
	switch kit.FaultOf(err) {
	case 0, kit.ErrInvalid, kit.ErrTooLarge: // the form tells
	case kit.ErrGone:
		if t.Query.Later {
			return page{}, err
		}
	default:
		return page{}, err
	}
	if t.Fault = layout.FaultOf(err); err != nil {
		p.Status = t.Fault.Status
	} else if t.Query.AsOf == "" && !t.Query.Later && allowed(kit.VerbWatch, r.link) {
		p.Live = watchAddress(k.Name, t.Query.Filter, t.Position)
	}
	p.Content = t
	return p, nil
}

// fill reads the documents.
func (t *tablePage) fill(r request, k kit.Owned) error {
	q := kit.Query{Kind: t.Kind, Filter: t.Query.Filter, Order: t.Query.Order, Limit: t.Query.Limit, Token: layout.Token(r.Request)}
	t.Query.Later = q.Token != ""
	for name := range strings.SplitSeq(t.Query.Select, ",") {
		if name = strings.TrimSpace(name); name != "" {
			q.Select = append(q.Select, name)
		}
	}
	if t.Query.AsOf != "" {
		var err error
		if q.AsOf, err = kit.ParsePosition(t.Query.AsOf); err != nil {
			return err
		}
	}
	// Counting what a filter passes may take long, so it has to be asked for.
	q.Count = r.FormValue("count") != "" || q.Filter == "" && r.may(kit.VerbList, r.link)
	p, err := r.client.List(r.Context(), q)
	if err != nil {
		return err
	}
	t.Count, t.Position = -1, p.Position
	if p.Count != nil {
		t.Count = *p.Count
	}
	t.Counts, t.Next = layout.With(r.Request, "count", "true"), layout.Next(r.Request, p.Next)
	names := q.Select
	if len(names) == 0 {
		names = columnsOf(k.Definition, p.Items)
	}
	t.Columns = make([]column, len(names))
	for i, name := range names {
		t.Columns[i].Name = name
	}
	for _, record := range p.Items {
		values := map[string]json.RawMessage{}
		_ = json.Unmarshal(record.Body, &values) // a body is an object
		row := tableRow{Record: record, AsOf: t.Query.AsOf}
		for i, name := range names {
			c := cellOf(valueAt(values, name))
			row.Cells = append(row.Cells, c)
			t.Columns[i].Number = t.Columns[i].Number || c.Number
		}
		t.Rows = append(t.Rows, row)
	}
	return nil
}

// valueAt returns the value of a field, "city" or "address.city".
func valueAt(values map[string]json.RawMessage, name string) json.RawMessage {
	head, rest, inside := strings.Cut(name, ".")
	if !inside {
		return values[head]
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(values[head], &inner) != nil {
		return nil
	}
	return valueAt(inner, rest)
}

func cellOf(v json.RawMessage) cell {
	text, t := textOf(v)
	if t == typeJSON {
		text = string(v)
	}
	c := cell{Text: strings.Join(strings.Fields(text), " "), Number: t == typeNumber, Missing: v == nil}
	if len(c.Text) > maxCell {
		c.Text = strings.ToValidUTF8(c.Text[:maxCell], "") + "…"
	}
	return c
}

// columnsOf returns the fields that a table shows by itself: those that are no
// objects or lists first.
func columnsOf(d *kit.Definition, records []kit.Record) []string {
	var plain, nested []string
	for i := range max(1, len(records)) {
		var body json.RawMessage
		if i < len(records) {
			body = records[i].Body
		}
		fields, _ := fieldsOf(d, body)
		for _, f := range fields {
			switch {
			case slices.Contains(plain, f.Name) || slices.Contains(nested, f.Name):
			case f.Type == typeJSON:
				nested = append(nested, f.Name)
			default:
				plain = append(plain, f.Name)
			}
		}
	}
	all := append(plain, nested...)
	return all[:min(len(all), maxColumns)]
}

// ordersOf returns the orders that lists of the kind can have.
func ordersOf(k kit.Owned) []string {
	var orders []string
	add := func(name string) {
		if !slices.Contains(orders, name) {
			orders = append(orders, name, "-"+name)
		}
	}
	for _, name := range []string{"link", "created", "updated"} {
		add(name)
	}
	for _, fields := range k.Indexes {
		add(fields[0])
	}
	return orders
}

// watchAddress returns the address of the API's watch of what the filter
// passes, from a position on.
func watchAddress(kind, filter, from string) string {
	v := url.Values{"from": {from}}
	if filter != "" {
		v.Set("filter", filter)
	}
	return fmt.Sprintf("/api/%s?%s", kind, v.Encode())
}
