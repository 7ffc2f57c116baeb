package upgrades

import (
	"testing"

	"landfall.dev/api"
)

func TestFlagsOfAnEnvironment(t *testing.T) {
	routes, err := Routes([]string{"GET /log/{id}=stream", "/a=b/=upload"})
	want := []api.RouteClass{{Pattern: "GET /log/{id}", Class: "stream"}, {Pattern: "/a=b/", Class: "upload"}}
	if err != nil || len(routes) != 2 || routes[0] != want[0] || routes[1] != want[1] {
		t.Errorf("routes %+v, %v, want %+v", routes, err, want)
	}
	checks, err := Checks([]string{"errors=0.01"})
	if err != nil || len(checks) != 1 || checks[0] != (api.Check{Name: "errors", Query: api.CheckErrors, Max: 0.01}) {
		t.Errorf("checks %+v, %v", checks, err)
	}
	if _, err := Routes([]string{"/files"}); err == nil {
		t.Error("a route without a class was taken")
	}
	for _, flag := range []string{"errors", "errors=much"} {
		if _, err := Checks([]string{flag}); err == nil {
			t.Errorf("the check %s was taken", flag)
		}
	}
}
