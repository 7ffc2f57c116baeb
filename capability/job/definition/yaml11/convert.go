package yaml11

import "go.yaml.in/yaml/v4"

// converter turns the YAML nodes of a file into values.
type converter struct {
	file   *File
	tags   map[string]string
	done   map[*yaml.Node]*Value // nil: wrong, which was reported
	begun  map[*yaml.Node]bool   // but not done
	depth  int
	merged int // entries merged so far
	report func(*Error)
}

// value returns n as a value, or nil after it has reported an error.
func (c *converter) value(n *yaml.Node) *Value {
	at := c.place(n)
	if n.Kind == yaml.AliasNode {
		if c.begun[n.Alias] {
			c.report(at.Errorf("the alias *%s stands for something that it is a part of", n.Value))
		}
		return c.done[n.Alias]
	}
	if c.depth > MaxDepth {
		c.report(at.Errorf("lists and maps are nested more than %d deep: make it flatter", MaxDepth))
		return nil
	}
	c.begun[n] = true
	c.depth++
	v, err := c.convert(n, at)
	c.depth--
	delete(c.begun, n)
	if err == nil && v != nil {
		err = v.TooLarge()
	}
	if err != nil {
		c.report(err)
		return nil
	}
	c.done[n] = v
	return v
}

func (c *converter) place(n *yaml.Node) Position {
	return Position{file: c.file, Line: n.Line - c.file.skipped, Column: n.Column}
}

// convert makes the value of a node that is no alias. It returns nil, nil if a
// part of it was wrong, which has been reported.
func (c *converter) convert(n *yaml.Node, at Position) (*Value, *Error) {
	if n.Style&yaml.TaggedStyle != 0 && !knownTag(n) {
		return c.tagged(n, at)
	}
	switch n.Kind {
	case yaml.ScalarNode:
		return scalar(n, at)
	case yaml.SequenceNode:
		return c.list(n, at), nil
	case yaml.MappingNode:
		return c.mapping(n, at), nil
	default:
		return nil, at.Errorf("a value of YAML's kind %d is not known", n.Kind)
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
	case "!":
		return true
	}
	return false
}

// tagged makes the value of a node with a tag of the definitions' language.
func (c *converter) tagged(n *yaml.Node, at Position) (*Value, *Error) {
	kind, ok := c.tags[n.Tag]
	if !ok {
		var known []string
		for tag := range c.tags {
			known = append(known, tag)
		}
		return nil, at.Errorf("the tag %s is not known%s", n.Tag, Suggest(n.Tag, known))
	}
	if n.Kind == yaml.MappingNode {
		return nil, at.Errorf("the tag %s needs a text or a list, but has a map", n.Tag)
	}
	arg := c.raw(n)
	if arg == nil {
		return nil, nil
	}
	return New(at, Tag{Kind: kind, Arg: arg}), nil
}

// raw returns the argument of a tag: lists of texts just as they are written.
func (c *converter) raw(n *yaml.Node) *Value {
	at := c.place(n)
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if c.depth++; c.depth > MaxDepth {
		c.report(at.Errorf("lists are nested more than %d deep: make it flatter", MaxDepth))
		return nil
	}
	defer func() { c.depth-- }()
	switch n.Kind {
	case yaml.ScalarNode:
		v := New(at, n.Value)
		if n.Style&yaml.LiteralStyle != 0 {
			v.Lead = 2
		}
		return v
	case yaml.SequenceNode:
		var items []*Value
		for _, inner := range n.Content {
			v := c.raw(inner)
			if v == nil {
				return nil
			}
			items = append(items, v)
		}
		return New(at, items)
	default:
		c.report(at.Errorf("a tag can hold texts and lists of them, but not a map"))
		return nil
	}
}

func (c *converter) list(n *yaml.Node, at Position) *Value {
	items := make([]*Value, 0, len(n.Content))
	for _, inner := range n.Content {
		if v := c.value(inner); v != nil {
			items = append(items, v)
		}
	}
	if len(items) < len(n.Content) {
		return nil
	}
	return New(at, items)
}

// mapping makes a map out of n: merged keys (<<) first, so that its own win.
func (c *converter) mapping(n *yaml.Node, at Position) *Value {
	var merged, own Map
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
		switch k.Data.(type) {
		case []*Value, Map, Tag:
			c.report(k.At.Errorf("a key must be text, but is %s", KindOf(k)))
			ok = false
			continue
		}
		own = append(own, Entry{k, inner})
	}
	if !ok {
		return nil
	}
	return New(at, Uniq(append(merged, own...)))
}

// mergeable returns the entries that "<<: v" brings, the strongest last.
func (c *converter) mergeable(v *Value) (Map, *Error) {
	maps, ok := v.Data.([]*Value)
	if !ok {
		maps = []*Value{v}
	}
	var all Map
	for i := len(maps) - 1; i >= 0; i-- {
		m, ok := maps[i].Data.(Map)
		if !ok {
			return nil, maps[i].At.Errorf("<<: needs a map or a list of maps, but this is %s", KindOf(maps[i]))
		}
		if c.merged += len(m); c.merged > maxMerged {
			return nil, v.At.Errorf("<<: merges more than %d keys in this file: make it smaller", maxMerged)
		}
		all = append(all, m...)
	}
	return all, nil
}
