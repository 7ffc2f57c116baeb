// Command platform is a platform made of kit that the tests of the agent
// deploy. It keeps notes.
package main

import (
	"context"
	"log"

	"landfall.dev/kit"
	"landfall.dev/kit/platform"
)

type note struct {
	kit.Meta
	Text string `json:"text"`
}

func main() {
	node, err := platform.New(platform.FromEnvironment())
	if err != nil {
		log.Fatal(err)
	}
	notes := kit.Define[note]("notes")
	node.Add(kit.Service{Name: "notes", Owns: []kit.Owned{kit.Own[note](notes, nil)}})
	log.Fatal(node.Run(context.Background()))
}
