package transform

import (
	"maps"

	"landfall.dev/kit"
)

// Chains compiles the chains for documents of several kinds, each of them once.
// Its methods must not be called concurrently.
type Chains struct {
	back   bool
	chains map[chainKey]Chain
	last   chainKey // that was asked for, as is most likely the next
	chain  Chain    // of it
}

type chainKey struct {
	kind   *kit.Definition
	schema int
}

// NewChains returns one of what Compile returns, or Back with back.
func NewChains(back bool) *Chains { return &Chains{back: back, chains: map[chainKey]Chain{}} }

// Clone returns another one that has what c has.
func (c *Chains) Clone() *Chains { return &Chains{back: c.back, chains: maps.Clone(c.chains)} }

// Of returns what changes documents of d from the schema, or back to it.
func (c *Chains) Of(d *kit.Definition, schema int) (Chain, error) {
	key := chainKey{d, schema}
	if key == c.last {
		return c.chain, nil
	}
	t, ok := c.chains[key]
	if !ok {
		var err error
		if c.back {
			t, _, err = Back(d, schema)
		} else {
			t, err = Compile(d, schema)
		}
		if err != nil {
			return Chain{}, err
		}
		c.chains[key] = t
	}
	c.last, c.chain = key, t
	return t, nil
}
