package store

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"landfall.dev/kit"
	"landfall.dev/kit/store/memory"
)

// Kinds are the kinds that a node knows. Its methods may be called
// concurrently. The zero value is not usable.
type Kinds struct {
	mu     sync.RWMutex
	byName map[string]*kind
}

// NewKinds returns a registry of the given kinds.
func NewKinds(owned ...kit.Owned) *Kinds {
	k := &Kinds{byName: map[string]*kind{}}
	for _, o := range owned {
		k.Add(o)
	}
	return k
}

// Add makes o known. It panics if another of its name is: two owners of one
// kind are a mistake of the program.
func (k *Kinds) Add(o kit.Owned) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.byName[o.Name]; ok {
		panic("store: kind " + o.Name + " is owned twice")
	}
	k.byName[o.Name] = newKind(o)
}

// Find returns the kind with the name.
func (k *Kinds) Find(name string) (kit.Owned, bool) {
	d, ok := k.find(name)
	if !ok {
		return kit.Owned{}, false
	}
	return d.Owned, true
}

// Names returns the names of all kinds, sorted.
func (k *Kinds) Names() []string {
	k.mu.RLock()
	defer k.mu.RUnlock()
	names := make([]string, 0, len(k.byName))
	for n := range k.byName {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (k *Kinds) find(name string) (*kind, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	d, ok := k.byName[name]
	return d, ok
}

// memory returns what the memory has to know of the kind with the name.
func (k *Kinds) memory(name string) *memory.Kind {
	if d, ok := k.find(name); ok {
		return &d.memory
	}
	return nil
}

// known returns the kind of l, or ErrNotFound with the name that may be meant.
func (k *Kinds) known(l kit.Link) (*kind, error) {
	if d, ok := k.find(l.Kind()); ok {
		return d, nil
	}
	return nil, &kit.Error{
		Fault:  kit.ErrNotFound,
		Link:   l,
		Detail: fmt.Sprintf("there is no kind %q", l.Kind()),
		Hint:   choice(l.Kind(), "kinds", k.Names()),
	}
}

// choice returns a hint: what word may have meant, and all there is.
func choice(word, what string, names []string) string {
	if len(names) == 0 {
		return "there are no " + what
	}
	hint := "the " + what + " are " + strings.Join(names, ", ")
	if n := kit.Nearest(word, names); n != "" {
		hint = fmt.Sprintf("did you mean %q? ", n) + hint
	}
	return hint
}
