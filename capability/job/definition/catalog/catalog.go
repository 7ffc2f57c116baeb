// Package catalog knows the names of the components that Jenkins Job Builder
// (3.11) makes XML for, by the list of a job that they stand in. Plugins and
// later versions have more.
package catalog

import (
	_ "embed"
	"slices"
	"strings"
)

// names holds a line for each list: its key, then the names in it.
//
//go:embed names.txt
var names string

var lists = func() map[string][]string {
	all := map[string][]string{}
	for line := range strings.Lines(names) {
		words := strings.Fields(line)
		all[words[0]] = words[1:]
	}
	all["prebuilders"], all["postbuilders"] = all["builders"], all["builders"]
	return all
}()

// Names returns the names that a list may have, sorted.
func Names(list string) []string { return lists[list] }

// IsList reports whether key is that of a list of components.
func IsList(key string) bool { return lists[key] != nil }

// Has reports whether a list may have the component.
func Has(list, name string) bool {
	_, found := slices.BinarySearch(lists[list], name)
	return found
}
