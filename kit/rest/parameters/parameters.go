// Package parameters writes what a list asks for as the parameters of its URL,
// and reads them.
package parameters

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"landfall.dev/kit"
)

// names are the parameters of a list.
var names = []string{
	"filter", "order", "select", "limit", "token", "consistency", "asOf", "count", "group", "compute", "explain",
}

// Encode returns q as the parameters of a list.
func Encode(q kit.Query) url.Values {
	v := url.Values{}
	set := func(name, value string) {
		if value != "" {
			v.Set(name, value)
		}
	}
	set("filter", q.Filter)
	set("order", q.Order)
	set("select", strings.Join(q.Select, ","))
	if q.Limit != 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	set("token", q.Token)
	set("consistency", string(q.Consistency))
	if q.AsOf != (kit.Position{}) {
		v.Set("asOf", q.AsOf.String())
	}
	if q.Count {
		v.Set("count", "true")
	}
	set("group", strings.Join(q.Group, ","))
	set("compute", strings.Join(q.Compute, ","))
	if q.Explain {
		v.Set("explain", "true")
	}
	return v
}

// Decode reads what Encode has written for a list of the kind.
func Decode(kind string, v url.Values) (kit.Query, error) {
	for name := range v {
		if slices.Contains(names, name) {
			continue
		}
		err := kit.Errorf(kit.ErrInvalid, "", "a list has no parameter %q; it has: %s", name, strings.Join(names, ", "))
		if n := kit.Nearest(name, names); n != "" {
			err.Hint = fmt.Sprintf("did you mean %q?", n)
		}
		return kit.Query{}, err
	}
	q := kit.Query{
		Kind:        kind,
		Filter:      v.Get("filter"),
		Order:       v.Get("order"),
		Token:       v.Get("token"),
		Consistency: kit.Consistency(v.Get("consistency")),
	}
	var err error
	if limit := v.Get("limit"); limit != "" {
		if q.Limit, err = strconv.Atoi(limit); err != nil || q.Limit < 1 || q.Limit > 1000 {
			return q, kit.Errorf(kit.ErrInvalid, "", "the limit %q is not a number from 1 to 1000", limit)
		}
	}
	if q.AsOf, err = AsOf(v); err != nil {
		return q, err
	}
	for name, list := range map[string]*[]string{"select": &q.Select, "group": &q.Group, "compute": &q.Compute} {
		if *list, err = listOf(v, name); err != nil {
			return q, err
		}
	}
	for name, on := range map[string]*bool{"count": &q.Count, "explain": &q.Explain} {
		switch given := v.Get(name); given {
		case "", "false":
		case "true":
			*on = true
		default:
			return q, kit.Errorf(kit.ErrInvalid, "", "the parameter %s is true or false, not %q", name, given)
		}
	}
	return q, nil
}

// AsOf returns the position in the parameter asOf, zero if it is not there.
func AsOf(v url.Values) (kit.Position, error) {
	given := v.Get("asOf")
	if given == "" {
		return kit.Position{}, nil
	}
	p, err := kit.ParsePosition(given)
	if err != nil || p == (kit.Position{}) {
		return p, kit.Errorf(kit.ErrInvalid, "", "asOf=%s: it is a position that a list or a watch gave", given)
	}
	return p, nil
}

// listOf returns the values of a parameter that has commas between them.
func listOf(v url.Values, name string) ([]string, error) {
	var list []string
	for _, given := range v[name] {
		for item := range strings.SplitSeq(given, ",") {
			item = strings.TrimSpace(item)
			if item == "" {
				return nil, kit.Errorf(kit.ErrInvalid, "", "%s=%s has an empty item: it is a list with commas between", name, given)
			}
			list = append(list, item)
		}
	}
	return list, nil
}
