package page

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"

	"landfall.dev/kit"
	"landfall.dev/kit/rest/calls"
)

// description is what this page reads of an OpenAPI 3.1 document.
type description struct {
	Paths      map[string]map[string]json.RawMessage
	Components struct{ Schemas map[string]schema }
}

// operation is an operation of the API.
type operation struct {
	ID          string `json:"operationId"`
	Summary     string
	Tags        []string
	Method      string // upper case
	Path        string
	Parameters  []parameter
	RequestBody *struct{ Content map[string]media }
	Responses   map[string]struct{ Content map[string]media }
}

type parameter struct {
	Name, In, Description string
	Required              bool
}

type media struct{ Schema schema }

type schema struct {
	Ref        string `json:"$ref"`
	Type       json.RawMessage
	Properties map[string]schema
	ReadOnly   bool
}

// tryPage lists the operations, with a form for one.
type tryPage struct {
	Groups []group
	Chosen *operation
	Media  string // of the request's body, if it has one
	Body   string // an example
	Accept []string
}

// group is the operations on a kind.
type group struct {
	Name       string
	Operations []operation
	Open       bool
}

// try shows the operations of the API and a form for one of them.
func (s site) try(r request) (page, error) {
	var d description
	if err := r.fetch("/api/openapi.json", &d); err != nil {
		return page{}, err
	}
	all, err := d.operations()
	if err != nil {
		return page{}, err
	}
	var t tryPage
	id := r.FormValue("op")
	for i, o := range all {
		name := "Other"
		if len(o.Tags) > 0 {
			name = o.Tags[0]
		}
		g := slices.IndexFunc(t.Groups, func(g group) bool { return g.Name == name })
		if g < 0 {
			g = len(t.Groups)
			t.Groups = append(t.Groups, group{Name: name})
		}
		t.Groups[g].Operations = append(t.Groups[g].Operations, o)
		if o.ID == id {
			t.Groups[g].Open, t.Chosen = true, &all[i]
		}
	}
	if t.Chosen == nil && id != "" {
		return page{}, kit.Errorf(kit.ErrNotFound, "", "the API has no operation %q", id)
	}
	if t.Chosen != nil {
		d.form(&t)
	}
	return page{Title: "Try the API", Section: "/kit/try", Body: "try", Content: t}, nil
}

// operations returns the operations, by their paths.
func (d description) operations() ([]operation, error) {
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	var all []operation
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range methods {
			raw, ok := d.Paths[path][strings.ToLower(method)]
			if !ok {
				continue
			}
			var o operation
			if err := json.Unmarshal(raw, &o); err != nil {
				return nil, &kit.Error{Op: method + " " + path, Err: err}
			}
			o.Method, o.Path = method, path
			o.ID = cmp.Or(o.ID, method+" "+path)
			all = append(all, o)
		}
	}
	return all, nil
}

// form says what can be sent with the chosen operation.
func (d description) form(t *tryPage) {
	if body := t.Chosen.RequestBody; body != nil {
		for _, name := range slices.Sorted(maps.Keys(body.Content)) {
			t.Media = name
			write := func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
			if name == calls.ContentType { // a value in each line
				write = json.Marshal
			}
			if b, err := write(d.example(body.Content[name].Schema, 0)); err == nil && string(b) != "null" {
				t.Body = string(b)
			}
			break
		}
	}
	for status, response := range t.Chosen.Responses {
		for name := range response.Content {
			if status != "default" && !slices.Contains(t.Accept, name) {
				t.Accept = append(t.Accept, name)
			}
		}
	}
	slices.Sort(t.Accept)
}

// maxDepth is how deep an example goes.
const maxDepth = 4

// example returns a value of the schema with all that a client sets, or nil
// where that may be anything.
func (d description) example(s schema, depth int) any {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		s = d.Components.Schemas[name]
	}
	types := string(s.Type) // a name, or a list of names
	switch {
	case strings.Contains(types, `"object"`):
		object := map[string]any{}
		for name, p := range s.Properties {
			if p.ReadOnly || depth == 0 && slices.Contains(envelope, name) || depth == maxDepth {
				continue
			}
			object[name] = d.example(p, depth+1)
		}
		return object
	case strings.Contains(types, `"array"`):
		return []any{}
	case strings.Contains(types, `"string"`):
		return ""
	case strings.Contains(types, `"boolean"`):
		return false
	case strings.Contains(types, `"integer"`), strings.Contains(types, `"number"`):
		return 0
	}
	return nil
}

// envelope are the members of a document that clients need not send.
var envelope = []string{"$schema", "link", "kind", "schema", "version", "created", "updated", "expires", "source", "pending"}
