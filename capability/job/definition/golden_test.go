package definition_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// goldenCase is a tree, and what the real tool makes of it in each dialect.
type goldenCase struct {
	ID, Cwd string
	Golden  map[definition.Dialect]string
	Options struct {
		Conf         string
		AllowEmpty   bool `json:"allow_empty_variables"`
		Recursive    bool
		Exclude      []string
		Paths, Names []string
	}
}

// goldenResult is what the real tool makes: "ok", "error", or "xml-error" if
// only what comes after the expansion is wrong.
type goldenResult struct {
	Status string
	Jobs   []goldenJob
	Views  []struct {
		Name     string
		Expanded map[string]any
	}
}

type goldenJob struct {
	Name       string
	XMLError   any `json:"xml_error"`
	Expanded   map[string]any
	Components map[string][]goldenComponent
}

type goldenComponent struct {
	Kind, Type string
	Args       any
	Children   []goldenComponent
}

func TestGoldenTreesExpandAsTheRealToolDoes(t *testing.T) {
	var cases []goldenCase
	readJSON(t, filepath.Join("testdata", "golden", "cases.json"), &cases)
	if len(cases) < 100 {
		t.Fatalf("there are %d cases, want all", len(cases))
	}
	for _, c := range cases {
		for dialect, file := range c.Golden {
			t.Run(c.ID+"/"+string(dialect), func(t *testing.T) {
				var want goldenResult
				readJSON(t, filepath.Join("testdata", "golden", file), &want)
				compareGolden(t, c, dialect, want)
			})
		}
	}
}

func readJSON(t *testing.T, file string, into any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func compareGolden(t *testing.T, c goldenCase, dialect definition.Dialect, want goldenResult) {
	dir := filepath.Join("testdata", "golden", c.Cwd)
	o := definition.Options{Dialect: dialect, Recursive: c.Options.Recursive, Exclude: c.Options.Exclude, AllowEmptyVariables: c.Options.AllowEmpty}
	ini, err := os.ReadFile(filepath.Join(dir, c.Options.Conf))
	if err != nil {
		t.Fatal(err)
	}
	has := func(key string) bool { return strings.Contains(string(ini), key+"=True") }
	o.AllowDuplicates, o.KeepDescriptions, o.RetainAnchors = has("allow_duplicates"), has("keep_descriptions"), has("retain_anchors")
	o.AllowEmptyVariables = o.AllowEmptyVariables || has("allow_empty_variables")
	var paths []string
	for _, p := range c.Options.Paths {
		paths = append(paths, strings.Split(p, ":")...)
	}
	var made, views []definition.Job
	set, err := definition.Load(os.DirFS(dir), paths, o)
	if err == nil {
		made, err = set.Jobs(c.Options.Names...)
	}
	if err == nil {
		views, err = set.Views(c.Options.Names...)
	}
	if (err != nil) != (want.Status == "error") {
		t.Fatalf("the error is %v, want status %s", err, want.Status)
	}
	if err != nil {
		return
	}
	var got, wanted []string
	for _, j := range made {
		got = append(got, j.Name)
	}
	for _, j := range want.Jobs {
		wanted = append(wanted, j.Name)
	}
	if !slices.Equal(got, wanted) {
		t.Fatalf("the jobs are %q, want %q", got, wanted)
	}
	for i, j := range want.Jobs {
		if j.XMLError == nil {
			compareGoldenJob(t, made[i], j)
		}
	}
	for i, v := range want.Views {
		if i >= len(views) || views[i].Name != v.Name {
			t.Fatalf("the views are %v, want %v", views, want.Views)
		}
		if got := object(t, views[i].Keys); !reflect.DeepEqual(got, v.Expanded) {
			t.Errorf("view %s is\n%v\nwant\n%v", v.Name, got, v.Expanded)
		}
	}
}

func compareGoldenJob(t *testing.T, got definition.Job, want goldenJob) {
	if len(got.Errs) > 0 {
		t.Errorf("job %s has errors: %v", got.Name, got.Errs)
	}
	components := map[string][]goldenComponent{}
	for list, all := range got.Components {
		components[list] = plainComponents(t, all, false)
	}
	if want.Components == nil {
		want.Components = map[string][]goldenComponent{}
	}
	for _, all := range want.Components {
		normalise(all)
	}
	if !reflect.DeepEqual(components, want.Components) {
		t.Errorf("job %s is made of\n%v\nwant\n%v", got.Name, components, want.Components)
	}
	for _, v := range want.Expanded {
		if text, _ := json.Marshal(v); strings.Contains(string(text), "__py__") {
			return // an object of the tool that has no JSON
		}
	}
	if keys := object(t, got.Keys); !reflect.DeepEqual(keys, want.Expanded) {
		t.Errorf("job %s is\n%v\nwant\n%v", got.Name, keys, want.Expanded)
	}
}

// normalise drops arguments that are empty, which are none.
func normalise(all []goldenComponent) {
	for i := range all {
		if reflect.DeepEqual(all[i].Args, map[string]any{}) {
			all[i].Args = nil
		}
		normalise(all[i].Children)
	}
}

func plainComponents(t *testing.T, all []definition.Component, withKind bool) []goldenComponent {
	var plain []goldenComponent
	for _, c := range all {
		g := goldenComponent{Type: c.Type, Children: plainComponents(t, c.Children, true)}
		if withKind {
			g.Kind = c.Kind
		}
		if c.Args != nil {
			decodeInto(t, c.Args, &g.Args)
		}
		plain = append(plain, g)
	}
	normalise(plain)
	return plain
}

func object(t *testing.T, m yaml11.Map) map[string]any {
	t.Helper()
	var keys map[string]any
	decodeInto(t, yaml11.New(yaml11.Position{}, m), &keys)
	return keys
}

func decodeInto(t *testing.T, v json.Marshaler, into any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}
