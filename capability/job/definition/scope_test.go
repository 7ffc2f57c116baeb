package definition

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"landfall.dev/capability/job/definition/yaml11"
)

func TestAnExpansionThatIsTooMuchWorkEnds(t *testing.T) {
	at := yaml11.NewFile("a.yml", nil).Start()
	text := func(text string) *yaml11.Value { return yaml11.New(at, text) }
	x := newSet(nil, Options{}).expansion()
	x.work.left = 3 * costOfValue
	s := x.scope(nil, variables{"v": text("x")})
	list := yaml11.New(at, []*yaml11.Value{text("{v}"), text("{v}"), text("{v}"), text("{v}")})
	if v := s.format(list); v != nil || len(x.errs) != 1 || !strings.Contains(x.errs[0].Message, "too much work") {
		t.Errorf("format gave %v and reported %v, want nothing and one report", v, x.errs)
	}
}

func TestMacrosAndIncludesThatExplodeEndWithAnError(t *testing.T) {
	var macros strings.Builder
	for i := range 40 {
		fmt.Fprintf(&macros, "- builder: {name: m%d, builders: [m%d, m%[2]d, m%[2]d]}\n", i, i+1)
	}
	for name, text := range map[string]string{
		"macros": macros.String() + "- builder: {name: m40, builders: [shell: x]}\n- job: {name: j, builders: [m0]}\n",
		"files":  "- job: {name: j, builders: !include: jobs/b.inc}\n",
	} {
		for _, dialect := range []Dialect{Modern, Classic} {
			fsys := fstest.MapFS{
				"jobs/a.yml": {Data: []byte(text)},
				"jobs/b.inc": {Data: []byte("[!include: jobs/b.inc, !include: jobs/b.inc, !include: jobs/b.inc]")},
			}
			set, err := Load(fsys, []string{"jobs"}, Options{Dialect: dialect})
			if err != nil {
				continue
			}
			x := set.expansion()
			x.work.left = 1 << 22
			x.run(jobs, nil)
			for _, i := range x.items {
				x.components(i)
			}
			if len(x.errs) == 0 {
				t.Errorf("%s in the dialect %s gave no error", name, dialect)
			}
		}
	}
}
