// Package openapi describes documents of kinds, and the requests for them, in
// OpenAPI 3.1.
package openapi

import (
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/calls"
)

const schemaPrefix = "#/components/schemas/"

// Describe returns the description of the kinds.
func Describe(kinds []kit.Owned) *huma.OpenAPI {
	d := &description{registry: huma.NewMapRegistry(schemaPrefix, schemaNames())}
	d.problem = d.registry.Schema(reflect.TypeFor[problem](), true, "")
	d.batch = d.registry.Schema(reflect.TypeFor[batch](), true, "")
	api := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info:    &huma.Info{Title: "Landfall", Version: "1", Description: "Documents, and the events that they take."},
		Paths:   map[string]*huma.PathItem{},
		Components: &huma.Components{
			Schemas:         d.registry,
			SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}},
		},
		Security: []map[string][]string{{"token": {}}},
	}
	for _, k := range kinds {
		api.Tags = append(api.Tags, &huma.Tag{Name: k.Name})
		d.kind(api.Paths, k)
	}
	api.Paths["/api/batch"] = &huma.PathItem{Post: d.operation(operation{
		id: "batch", summary: "Apply several writes or none", body: d.batch, status: http.StatusOK,
		result: pageOf(&huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}),
	})}
	api.Paths[calls.Path] = &huma.PathItem{Post: d.calls()}
	for _, schema := range d.registry.Map() {
		open(schema)
	}
	return api
}

// problem is the schema of an error, as kit.EncodeProblem writes it.
type problem struct {
	Title  string   `json:"title"`
	Status int      `json:"status"`
	Detail string   `json:"detail,omitempty" doc:"what is wrong"`
	Link   kit.Link `json:"link,omitempty" doc:"the document"`
	Hint   string   `json:"hint,omitempty" doc:"what to do next"`
}

// batch is the body of a request to /api/batch.
type batch struct {
	Writes []kit.Write `json:"writes"`
}

// call and answer are lines of a request to calls.Path, and of its answer.
type (
	call struct {
		ID      int               `json:"id" minimum:"0" doc:"comes back with the answer"`
		Method  string            `json:"method" enum:"GET,POST,PATCH,DELETE"`
		Path    string            `json:"path" doc:"with the query, of a document or a kind"`
		Headers map[string]string `json:"headers,omitempty" doc:"If-Match, Idempotency-Key, Landfall-Position, Content-Type, X-Request-Id, traceparent, tracestate"`
		Body    any               `json:"body,omitempty"`
	}
	answer struct {
		ID      int               `json:"id"`
		Status  int               `json:"status"`
		Headers map[string]string `json:"headers,omitempty" doc:"ETag, Landfall-Position, Location, Retry-After, X-Request-Id"`
		Body    any               `json:"body,omitempty"`
	}
)

// calls describes many calls in one request.
func (d *description) calls() *huma.Operation {
	line := d.registry.Schema(reflect.TypeFor[call](), true, "")
	op := d.operation(operation{id: "calls", summary: "Make many calls in one request, each in a line; they are answered as each is done", status: http.StatusOK})
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{calls.ContentType: {Schema: line}}}
	op.Responses["200"].Content = map[string]*huma.MediaType{calls.ContentType: {Schema: d.registry.Schema(reflect.TypeFor[answer](), true, "")}}
	return op
}

// schemaNames returns a namer that tells types of one name apart.
func schemaNames() func(reflect.Type, string) string {
	taken := map[string]reflect.Type{}
	return func(t reflect.Type, hint string) string {
		for t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		base := huma.DefaultSchemaNamer(t, hint)
		for name, n := base, 2; ; name, n = base+strconv.Itoa(n), n+1 {
			if old, ok := taken[name]; !ok || old == t {
				taken[name] = t
				return name
			}
		}
	}
}

// open lets an object have further fields: those that a server does not know
// are kept.
func open(s *huma.Schema) {
	if s.Type == huma.TypeObject && s.AdditionalProperties == false {
		s.AdditionalProperties = true
	}
}

// description makes the paths of kinds.
type description struct {
	registry huma.Registry
	problem  *huma.Schema
	batch    *huma.Schema
}

// operation is what differs between operations.
type operation struct {
	id      string
	summary string
	kind    string
	params  []*huma.Param
	body    *huma.Schema // nil if there is none
	patch   bool         // the body is a merge patch
	status  int
	result  *huma.Schema // nil if there is none
	stream  bool         // the result also comes as events
}

func (d *description) kind(paths map[string]*huma.PathItem, k kit.Owned) {
	doc := d.registry.Schema(k.Type, true, k.Name)
	anything := &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}
	id := []*huma.Param{{Name: "id", In: "path", Required: true, Schema: text()}}
	match := append(id, &huma.Param{Name: "If-Match", In: "header", Description: "the version that is to be changed", Schema: text()})
	writing := []*huma.Param{
		query("durability", "when the write is acknowledged: quorum, all (every live node has applied it), or async (answered by 202, and may be lost)"),
		{Name: "Idempotency-Key", In: "header", Description: "makes the write happen once, however often it is sent with the same key", Schema: text()},
	}
	match = slices.Concat(match, writing)
	consistency := query("consistency", "leader, eventual or linearizable")
	paths["/api/"+k.Name] = &huma.PathItem{
		Post: d.operation(operation{id: "create", kind: k.Name, summary: "Create a document", params: append([]*huma.Param{query("id", "its id, else allocated")}, writing...), body: doc, status: http.StatusCreated, result: doc}),
		Get: d.operation(operation{id: "list", kind: k.Name, summary: "List documents, or watch them as text/event-stream", status: http.StatusOK, result: pageOf(doc), stream: true, params: []*huma.Param{
			query("filter", "a CEL expression over the fields"), query("order", "one of "+strings.Join(ordersOf(k), ", ")+", with - in front for the reverse"),
			query("select", "own fields to show, with commas between, else all"), query("limit", "1 to 1000, else 100"), query("token", "the next of the page before"),
			query("asOf", "a position: show the documents as they were then"), query("count", "true: how many documents pass on all pages"),
			query("group", "fields, with commas between: one group for each combination of their values instead of documents"),
			query("compute", "what a group tells, with commas between: count, sum(field), min(field), max(field), avg(field)"),
			query("explain", "true: how the list is made instead of the documents"), query("from", "of a watch: the position"), query("pending", "of a watch, true: of the existing documents only those with pending operations"), consistency,
		}}),
	}
	paths["/api/"+k.Name+"/{id}"] = &huma.PathItem{
		Get:    d.operation(operation{id: "read", kind: k.Name, summary: "Read a document", params: append(id, consistency, query("asOf", "a position: read the document as it was then")), status: http.StatusOK, result: doc}),
		Patch:  d.operation(operation{id: "update", kind: k.Name, summary: "Update a document by a JSON merge patch", params: match, body: anything, patch: true, status: http.StatusOK, result: doc}),
		Delete: d.operation(operation{id: "delete", kind: k.Name, summary: "Delete a document", params: match, status: http.StatusNoContent}),
	}
	for _, m := range k.Methods {
		paths["/api/"+k.Name+"/{id}:"+m] = &huma.PathItem{
			Post: d.operation(operation{id: m, kind: k.Name, summary: "Send the event " + m, params: slices.Concat(id, writing), body: &huma.Schema{}, status: http.StatusOK, result: doc}),
		}
	}
}

func (d *description) operation(o operation) *huma.Operation {
	op := &huma.Operation{
		OperationID: strings.TrimPrefix(o.kind+"."+o.id, "."),
		Summary:     o.summary,
		Parameters:  o.params,
		Responses: map[string]*huma.Response{
			"default": {Description: "what is wrong", Content: map[string]*huma.MediaType{"application/problem+json": {Schema: d.problem}}},
		},
	}
	if o.kind != "" {
		op.Tags = []string{o.kind}
	}
	if o.body != nil {
		media := "application/json"
		if o.patch {
			media = "application/merge-patch+json"
		}
		op.RequestBody = &huma.RequestBody{Content: map[string]*huma.MediaType{media: {Schema: o.body}}}
	}
	answer := &huma.Response{Description: strings.ToLower(http.StatusText(o.status))}
	if o.result != nil {
		answer.Content = map[string]*huma.MediaType{"application/json": {Schema: o.result}}
	}
	if o.stream {
		answer.Content["text/event-stream"] = &huma.MediaType{Schema: text()}
	}
	op.Responses[strconv.Itoa(o.status)] = answer
	return op
}

func text() *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

func query(name, description string) *huma.Param {
	return &huma.Param{Name: name, In: "query", Description: description, Schema: text()}
}

func pageOf(doc *huma.Schema) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"items":    {Type: huma.TypeArray, Items: doc},
		"next":     {Type: huma.TypeString, Description: "the token of the next page"},
		"position": {Type: huma.TypeString, Description: "where the list was read; a watch from there misses nothing"},
		"count":    {Type: huma.TypeInteger, Description: "how many documents pass on all pages, where asked for"},
		"groups":   {Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true}, Description: "key and values of each group, where asked for"},
		"plan":     {Type: huma.TypeObject, AdditionalProperties: true, Description: "index, range, scanned, filter and sorted, where asked to explain"},
	}}
}

// ordersOf returns the orders that lists of the kind can have.
func ordersOf(k kit.Owned) []string {
	orders := []string{"link", "created", "updated"}
	for _, fields := range k.Indexes {
		if !slices.Contains(orders, fields[0]) {
			orders = append(orders, fields[0])
		}
	}
	return orders
}
