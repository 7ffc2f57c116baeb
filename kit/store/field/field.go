// Package field knows the fields of documents: those that a Go type has in
// JSON, and where they are in a body, without decoding all of it.
//
// It never changes a body, and keeps nothing.
package field

import (
	"reflect"
	"strings"
)

// Of returns the JSON names and types of the fields of the struct t,
// with those that it embeds.
func Of(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	var embedded []reflect.Type
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		ft := f.Type
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		switch {
		case f.Tag.Get("json") == "-":
		case f.Anonymous && name == "" && ft.Kind() == reflect.Struct:
			embedded = append(embedded, ft)
		case !f.IsExported():
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	for _, e := range embedded {
		for name, ft := range Of(e) {
			if _, hidden := fields[name]; !hidden {
				fields[name] = ft
			}
		}
	}
	return fields
}

// Fold maps names that encoding/json takes for the same to one.
func Fold(name string) string { return strings.ToLower(strings.ToUpper(name)) }
