package web

import (
	"slices"
	"testing"

	"landfall.dev/api"
)

func TestWhatComesBeforeANodeAmongBlocks(t *testing.T) {
	o := orderOf(api.Plan{
		Blocks: []api.Block{
			{ID: "#1", Type: api.BlockRetry, Retries: 2, Needs: []string{"a"}},
			{ID: "#2", Type: api.BlockParallel, In: "#1", Limit: 3},
			{ID: "#3", Type: api.BlockStage, In: "#2"},
			{ID: "#4", Type: api.BlockRescue, After: []string{"#1"}},
		},
		Nodes: []api.Node{
			{ID: "a"}, {ID: "b", In: "#2"}, {ID: "c", In: "#3"}, {ID: "d", In: "#3", Needs: []string{"c"}}, {ID: "e", In: "#4"}, {ID: "f", Needs: []string{"#1", "a"}},
		},
	})
	for _, test := range []struct {
		node   api.Node
		before []string
		around string
	}{
		{api.Node{ID: "a"}, nil, ""},
		{api.Node{ID: "b", In: "#2"}, []string{"a"}, "at most 3 at once, tried again up to 2 times"},
		{api.Node{ID: "c", In: "#3"}, []string{"a"}, "at most 3 at once, tried again up to 2 times"},
		{api.Node{ID: "d", In: "#3"}, []string{"c"}, "at most 3 at once, tried again up to 2 times"},
		{api.Node{ID: "e", In: "#4"}, []string{"d", "b"}, "if what it guards has failed"},
		{api.Node{ID: "f"}, []string{"d", "b", "a"}, ""},
	} {
		if got := o.before(test.node); !slices.Equal(got, test.before) {
			t.Errorf("before %s come %v, want %v", test.node.ID, got, test.before)
		}
		if got := o.around(test.node); got != test.around {
			t.Errorf("around %s is %q, want %q", test.node.ID, got, test.around)
		}
	}
}
