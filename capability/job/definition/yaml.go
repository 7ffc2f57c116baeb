package definition

import (
	"math/big"
	"strings"

	"go.yaml.in/yaml/v4"
)

// value is a YAML value and the place that it was written at. Values are never
// changed and may be shared, so that one can be many times in another: size
// and depth count each time, and bound every walk.
type value struct {
	at position
	// data is nil, bool, *big.Int, float64, string, []*value or mapping.
	data any
	// block is true for text that begins on the line after its position.
	block bool
	// plain is true if no text in the value has a brace: formatting it
	// changes nothing.
	plain bool
	size  int
	depth int
}

// mapping is a YAML map in the order of the file. No two keys are equal.
type mapping []entry

type entry struct{ key, value *value }

// get returns the value of a text key, or nil.
func (m mapping) get(key string) *value {
	for _, e := range m {
		if e.key.data == key {
			return e.value
		}
	}
	return nil
}

// newValue makes a value out of data and the values in it.
func newValue(at position, data any) *value {
	v := &value{at: at, data: data, plain: true, size: 1}
	switch data := data.(type) {
	case string:
		v.size += len(data)
		v.plain = !strings.ContainsAny(data, "{}")
	case *big.Int:
		v.size += data.BitLen() / 8
	case []*value:
		for _, item := range data {
			v.add(item)
		}
	case mapping:
		for _, e := range data {
			v.add(e.key)
			v.add(e.value)
		}
	}
	return v
}

// add counts an inner value in the measures of v.
func (v *value) add(inner *value) {
	v.size += inner.size
	v.depth = max(v.depth, inner.depth+1)
	v.plain = v.plain && inner.plain
}

// tooLarge returns an error if v is larger or deeper than allowed.
func (v *value) tooLarge() *Error {
	if v.size > maxSize {
		return v.at.errorf("the value is larger than 4 MiB with all that it refers to: make it smaller")
	}
	if v.depth > maxDepth {
		return v.at.errorf("lists and maps are nested more than %d deep: make it flatter", maxDepth)
	}
	return nil
}

// uniq returns m so that the last of equal keys wins, in the place of the
// first: what Python does.
func uniq(m mapping) mapping {
	index := map[string]int{}
	kept := m[:0:0]
	for _, e := range m {
		id := kindOf(e.key) + " " + e.key.text()
		if i, ok := index[id]; ok {
			kept[i] = e
			continue
		}
		index[id] = len(kept)
		kept = append(kept, e)
	}
	return kept
}

// kindOf names the kind of a value for a user.
func kindOf(v *value) string {
	switch v.data.(type) {
	case nil:
		return "empty"
	case bool:
		return "a boolean"
	case *big.Int, float64:
		return "a number"
	case string:
		return "text"
	case []*value:
		return "a list"
	default:
		return "a map"
	}
}

// converter turns the YAML nodes of a file into values.
type converter struct {
	file   *file
	done   map[*yaml.Node]*value // nil: wrong, which was reported
	begun  map[*yaml.Node]bool   // but not done
	depth  int
	merged int // entries merged so far
	report func(*Error)
}

// value returns n as a value, or nil after it has reported an error.
func (c *converter) value(n *yaml.Node) *value {
	at := position{file: c.file, line: n.Line, column: n.Column}
	if n.Kind == yaml.AliasNode {
		if c.begun[n.Alias] {
			c.report(at.errorf("the alias *%s stands for something that it is a part of", n.Value))
		}
		return c.done[n.Alias]
	}
	if c.depth > maxDepth {
		c.report(at.errorf("lists and maps are nested more than %d deep: make it flatter", maxDepth))
		return nil
	}
	c.begun[n] = true
	c.depth++
	v, err := c.convert(n, at)
	c.depth--
	delete(c.begun, n)
	if err == nil && v != nil {
		err = v.tooLarge()
	}
	if err != nil {
		c.report(err)
		return nil
	}
	c.done[n] = v
	return v
}

// convert makes the value of a node that is no alias. It returns nil, nil if a
// part of it was wrong, which has been reported.
func (c *converter) convert(n *yaml.Node, at position) (*value, *Error) {
	if n.Style&yaml.TaggedStyle != 0 && !knownTag(n) {
		return nil, at.errorf("the tag %s is not known: remove it (files cannot be included)", n.Tag)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return scalar(n, at)
	case yaml.SequenceNode:
		return c.list(n, at), nil
	case yaml.MappingNode:
		return c.mapping(n, at), nil
	default:
		return nil, at.errorf("a value of YAML's kind %d is not known", n.Kind)
	}
}

// knownTag reports whether an explicit tag only says what YAML itself knows.
func knownTag(n *yaml.Node) bool {
	switch n.Tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!null":
		return n.Kind == yaml.ScalarNode
	case "!!seq":
		return n.Kind == yaml.SequenceNode
	case "!!map":
		return n.Kind == yaml.MappingNode
	}
	return false
}

func (c *converter) list(n *yaml.Node, at position) *value {
	items := make([]*value, 0, len(n.Content))
	for _, inner := range n.Content {
		if v := c.value(inner); v != nil {
			items = append(items, v)
		}
	}
	if len(items) < len(n.Content) {
		return nil
	}
	return newValue(at, items)
}

// mapping makes a map out of n: merged keys (<<) first, so that its own win.
func (c *converter) mapping(n *yaml.Node, at position) *value {
	var merged, own mapping
	ok := true
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, inner := n.Content[i], c.value(n.Content[i+1])
		if inner == nil {
			ok = false
			continue
		}
		if key.Kind == yaml.ScalarNode && key.Style == 0 && key.Value == "<<" {
			m, err := c.mergeable(inner)
			if err != nil {
				c.report(err)
				ok = false
			}
			merged = append(merged, m...)
			continue
		}
		k := c.value(key)
		if k == nil {
			ok = false
			continue
		}
		if k.depth > 0 || kindOf(k) == "a list" || kindOf(k) == "a map" {
			c.report(k.at.errorf("a key must be text, but is %s", kindOf(k)))
			ok = false
			continue
		}
		own = append(own, entry{k, inner})
	}
	if !ok {
		return nil
	}
	return newValue(at, uniq(append(merged, own...)))
}

// mergeable returns the entries that "<<: v" brings, the strongest last.
func (c *converter) mergeable(v *value) (mapping, *Error) {
	maps, ok := v.data.([]*value)
	if !ok {
		maps = []*value{v}
	}
	var all mapping
	for i := len(maps) - 1; i >= 0; i-- {
		m, ok := maps[i].data.(mapping)
		if !ok {
			return nil, maps[i].at.errorf("<<: needs a map or a list of maps, but this is %s", kindOf(maps[i]))
		}
		if c.merged += len(m); c.merged > maxMerged {
			return nil, v.at.errorf("<<: merges more than %d keys in this file: make it smaller", maxMerged)
		}
		all = append(all, m...)
	}
	return all, nil
}
