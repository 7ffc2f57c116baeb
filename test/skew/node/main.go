// Command node is a platform of one node whose data directories are kept by
// the tests of skew. Its kinds use every form that a field can have.
//
// What is declared here is the reader of every directory under testdata. Kinds,
// fields and methods may be added; none may go or change its meaning.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

// EnvDeliver lets the action deliver succeed if it is 1. Otherwise the
// operation stays pending.
const envDeliver = "SKEW_DELIVER"

// Thing has a field of every form.
type Thing struct {
	kit.Meta
	Name   string            `json:"name"`
	Count  int64             `json:"count,omitempty"`
	Ratio  float64           `json:"ratio,omitempty"`
	Exact  json.Number       `json:"exact,omitempty"`
	On     bool              `json:"on,omitempty"`
	When   time.Time         `json:"when,omitzero"`
	Tags   []string          `json:"tags,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Inner  *Inner            `json:"inner,omitempty"`
	Raw    json.RawMessage   `json:"raw,omitempty"`
	State  string            `json:"state,omitempty"`
}

// Inner is an object in a Thing.
type Inner struct {
	Text  string  `json:"text"`
	Parts []Inner `json:"parts,omitempty"`
}

// Order has an id that is counted.
type Order struct {
	kit.Meta
	Item string `json:"item"`
}

// Mark stays in its cluster.
type Mark struct {
	kit.Meta
	Text string `json:"text"`
}

// Label is made for each Thing by a reaction.
type Label struct {
	kit.Meta
	Text string `json:"text"`
}

// Page has earlier versions.
type Page struct {
	kit.Meta
	Text string `json:"text"`
}

var (
	pages  = kit.Define[Page]("pages", kit.History(3), kit.Index("text"))
	things = kit.Define[Thing]("things")
	orders = kit.Define[Order]("orders", kit.Counted())
	marks  = kit.Define[Mark]("marks", kit.Local())
	labels = kit.Define[Label]("labels")
)

func service() kit.Service {
	return kit.Service{
		Name: "skew",
		Owns: []kit.Owned{
			kit.Own(things, nextThing, "post", "bump"),
			kit.Own[Order](orders, nil),
			kit.Own[Mark](marks, nil),
			kit.Own[Label](labels, nil),
			kit.Own[Page](pages, nil),
		},
		Watches: []kit.Reaction{kit.On(things, func(t Thing, _ time.Time) []kit.Op {
			return []kit.Op{kit.Create(labels, t.Link.ID(), Label{Meta: kit.Meta{Source: t.Link}, Text: t.Name})}
		})},
		Does: kit.Does{"deliver": deliver},
	}
}

// nextThing is the life of a Thing: post → waiting → delivered.
func nextThing(t Thing, e kit.Event, now time.Time) (Thing, []kit.Op) {
	switch e.Name {
	case "bump":
		t.Count++
	case "post":
		t.State = "waiting"
		return t, []kit.Op{
			kit.Call("deliver", "1", map[string]any{"to": "Zoë <b>", "weight": json.Number("12345678901234567890.5")}),
			kit.SendAt(time.Date(2900, 1, 2, 3, 4, 5, 6000, time.UTC), t.Link, "bump", nil),
		}
	case "deliver.done":
		t.State = "delivered"
	}
	return t, nil
}

func deliver(context.Context, kit.Record, kit.Op) (any, error) {
	if os.Getenv(envDeliver) == "1" {
		return map[string]string{"receipt": "ok"}, nil
	}
	return nil, errors.New("nobody is at home")
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	config := platform.FromEnvironment()
	config.Schema = "skew-1"
	every, err := strconv.ParseUint(cmp.Or(os.Getenv("SKEW_SNAPSHOT"), "0"), 10, 64)
	if err != nil {
		return err
	}
	config.SnapshotEvery, config.SnapshotIn = every, time.Second
	node, err := platform.New(config)
	if err != nil {
		return err
	}
	node.Add(service())
	fmt.Println(node.URL())
	return node.Run(ctx)
}
