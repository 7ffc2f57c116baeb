package pipeline

import (
	"encoding/json"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

func TestAReleaseIsPromotedOnceItIsSigned(t *testing.T) {
	node := api.Node{ID: "p", Type: api.NodePromote, Channel: "stable", Of: "r", Needs: []string{"r"}}
	w := newTrial(t, build("i"), api.Node{ID: "r", Type: api.NodeRelease, Image: "i", Needs: []string{"i"}}, node)
	w.ends("i", 1, withImage)
	w.ends("r", 1, func(d *api.NodeDone) { d.Link = "releases/ledger-1.0.0" })
	w.wishes("promote")
	var a promoteArgs
	if err := json.Unmarshal(w.ops[0].Data, &a); err != nil || a.Release != "releases/ledger-1.0.0" {
		t.Fatalf("the run asks to promote %+v, %v", a, err)
	}
	w.does("promote.done", "services/pipeline", pending{a}) // nobody has signed it yet
	w.wishes("promote")
	if again := w.ops[0].At; !again.Equal(begin.Add(signatureEvery)) {
		t.Errorf("it is looked at again at %v", again)
	}
	w.does("promote.done", "services/pipeline", api.NodeDone{Node: "p", Attempt: 1, Link: a.Release, Passed: true})
	w.expect("at last", pass, pass, pass, pass)
	w.does("promote.done", "services/pipeline", pending{a}) // late
	w.wishes()
}

func TestReleasing(t *testing.T) {
	for _, test := range []struct {
		name string
		old  *api.Release
		want *api.NodeDone // nil: the release is being made
		err  string        // is in its error
	}{
		{"a new version", nil, nil, ""},
		{"again after a crash", &api.Release{Run: "runs/r", Node: "x", Image: "i1"}, nil, ""},
		{"a version of the same image", &api.Release{Run: "runs/old", Node: "x", Image: "i1"}, &api.NodeDone{Passed: true, Link: "releases/ledger-1.0.0"}, ""},
		{"what could not be released", &api.Release{Run: "runs/old", Image: "i1", Commit: "c1", State: api.ReleaseFailed}, &api.NodeDone{}, "could not be released"},
		{"a version of another image", &api.Release{Run: "runs/old", Image: "i0", Commit: "c0"}, &api.NodeDone{}, "was released of commit c0 already: raise VERSION"},
		{"a version that another node made of another image", &api.Release{Run: "runs/r", Node: "y", Image: "i0"}, &api.NodeDone{}, "raise VERSION"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := kittest.Start(t, kit.Service{Name: "pipeline", Writes: []string{"releases"}}, kit.Service{Name: "release", Owns: []kit.Owned{kit.Own[api.Release](api.Releases, nil)}})
			if test.old != nil {
				if _, err := api.Releases.Create(t.Context(), c.Admin(), "ledger-1.0.0", *test.old); err != nil {
					t.Fatal(err)
				}
			}
			p := planner{client: c.Client("services/pipeline")}
			args, err := json.Marshal(releaseArgs{errand: errand{Node: "x", Attempt: 1}, Version: "1.0.0", Image: "i1"})
			if err != nil {
				t.Fatal(err)
			}
			r := kit.Record{Meta: kit.Meta{Link: "runs/r"}, Body: []byte(`{"project":"ledger","commit":"c1"}`)}
			got, err := p.release(t.Context(), r, kit.Op{Data: args})
			if err != nil {
				t.Fatalf("release: %v", err)
			}
			if test.want == nil {
				if made, err := api.Releases.Read(t.Context(), c.Admin(), "ledger-1.0.0"); got != nil || err != nil || made.Image != "i1" {
					t.Errorf("release gave %+v of %+v, %v, want it being made", got, made, err)
				}
				return
			}
			done, ok := got.(api.NodeDone)
			if !ok || done.Passed != test.want.Passed || done.Link != test.want.Link || done.Node != "x" || !strings.Contains(done.Error, test.err) {
				t.Errorf("release gave %+v, want %+v with %q", got, *test.want, test.err)
			}
		})
	}
}
