package upgrades

import (
	"fmt"
	"strconv"
	"strings"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Routes reads the flags --route. The hub checks what they say.
func Routes(flags []string) (all []api.RouteClass, err error) {
	for _, f := range flags {
		i := strings.LastIndexByte(f, '=') // a pattern may have one
		if i < 0 {
			return nil, fmt.Errorf("--route %q: write it like 'GET /log/{id}=stream'", f)
		}
		all = append(all, api.RouteClass{Pattern: f[:i], Class: f[i+1:]})
	}
	return all, nil
}

// Checks reads the flags --check.
func Checks(flags []string) (all []api.Check, err error) {
	for _, f := range flags {
		name, text, _ := strings.Cut(f, "=")
		most, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("--check %q: write it like errors=0.01", f)
		}
		all = append(all, api.Check{Name: name, Query: name, Max: most})
	}
	return all, nil
}

// Waived are the arguments of the method waive for documents that a user names.
func Waived(links []string) (a api.WaiveArgs) {
	for _, l := range links {
		a.Links = append(a.Links, kit.Link(l))
	}
	return a
}
