// Command upgradenode is a node of a small platform in one of many versions.
// The environment says which, beside what kit reads there:
//
//	SCHEMA=N       the schema of its documents, from 1 on
//	TRANSFORM=edit   transform them by a function in Go that edits their fields,
//	TRANSFORM=func   or by one that decodes them, instead of declaring how
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err := run(ctx, os.Getenv("SCHEMA"), os.Getenv("TRANSFORM")); err != nil {
		fmt.Fprintln(os.Stderr, "upgradenode:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, schema, by string) error {
	number, err := strconv.Atoi(schema)
	if err != nil || number < 1 {
		return fmt.Errorf("SCHEMA is %q: it is a number from 1 on", schema)
	}
	n, err := platform.New(platform.FromEnvironment())
	if err != nil {
		return err
	}
	n.Add(kit.Service{
		Name: "bench",
		Owns: []kit.Owned{kit.Own(kind(number, by), nil)},
		Serves: []kit.Route{
			// Open to all: nobody has a token of a node in standby.
			{Pattern: "GET /debug/pprof/profile", Handler: http.HandlerFunc(pprof.Profile), Self: true},
		},
	})
	return n.Run(ctx)
}

// Item is what the platform keeps. Odd schemas have Note, even ones Text and
// Active instead.
type Item struct {
	kit.Meta
	Name   string `json:"name"`
	Owner  string `json:"owner"`
	Amount int    `json:"amount"`
	Note   string `json:"note,omitempty"`
	Text   string `json:"text,omitempty"`
	Active bool   `json:"active,omitempty"`
	Value  string `json:"value"`
}

// kind declares the kind in a schema. Each step renames a field; the odd ones
// add another, and the even ones drop that again, so that documents do not
// grow however many steps there are.
func kind(schema int, by string) kit.Kind[Item] {
	steps := make([][]kit.Transform, schema-1)
	for i := range steps {
		switch {
		case by == "edit":
			steps[i] = []kit.Transform{kit.Edit(edited, nil)}
		case by == "func":
			steps[i] = []kit.Transform{kit.Func(decoded, nil)}
		case i%2 == 0:
			steps[i] = []kit.Transform{kit.Rename("note", "text"), kit.Default("active", true)}
		default:
			steps[i] = []kit.Transform{kit.Rename("text", "note"), kit.Drop("active")}
		}
	}
	return kit.Define[Item]("items", kit.Schema(schema, steps...))
}

// edited is the first step as a platform's author would write it in Go.
func edited(f kit.Fields) error {
	f.Set("text", f.Value("note"))
	f.Remove("note")
	f.Set("active", json.RawMessage("true"))
	return nil
}

// decoded is the same with what decodes all of a document.
func decoded(body json.RawMessage) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil {
		return nil, err
	}
	fields["text"] = fields["note"]
	delete(fields, "note")
	fields["active"] = json.RawMessage("true")
	return json.Marshal(fields)
}
