// Package storetest is what the tests of store and of its parts share: a kind
// with fields of all types, and a check of errors.
package storetest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
)

// Address is where a Parcel goes.
type Address struct {
	City string `json:"city,omitempty"`
	Zip  int    `json:"zip,omitempty"`
}

// Parcel is a document with fields of all types.
type Parcel struct {
	kit.Meta
	Customer string            `json:"customer,omitempty"`
	Pieces   int               `json:"pieces,omitempty"`
	Weight   float64           `json:"weight,omitempty"`
	Fragile  bool              `json:"fragile,omitempty"`
	Due      time.Time         `json:"due,omitzero"`
	To       Address           `json:"to,omitzero"`
	Via      *Address          `json:"via,omitempty"`
	Note     *string           `json:"note,omitempty"`
	Rank     *int              `json:"rank,omitempty"`
	Stops    []Address         `json:"stops,omitempty"`
	Tags     []string          `json:"tags,omitempty"`
	Sizes    []float64         `json:"sizes,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Part     *Parcel           `json:"part,omitempty"`
	Anything any               `json:"anything,omitempty"`
	Raw      json.RawMessage   `json:"raw,omitempty"`
	Bytes    []byte            `json:"bytes,omitempty"`
	Big      uint64            `json:"big,omitempty"`
}

// Parcels are indexed by fields of all types that can be.
var Parcels = kit.Define[Parcel]("parcels", kit.Counted(),
	kit.Index("customer", "pieces"), kit.Index("weight"), kit.Index("due"), kit.Index("to.city", "fragile", "customer"),
	kit.Index("fragile"), kit.Index("note"), kit.Index("rank"), kit.Index("labels.shop"), kit.Index("big"))

// WantError checks the fault of err, which came of what, and parts of its text.
func WantError(t testing.TB, what string, err error, fault kit.Fault, parts ...string) {
	t.Helper()
	if !errors.Is(err, fault) {
		t.Errorf("%s: got error %v, want %v", what, err, fault)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("%s: got error %q, want it to say %q", what, err, p)
		}
	}
}
