package store

import (
	"encoding/json"
	"time"

	"landfall.dev/kit"
)

// Address is where a parcel goes.
type Address struct {
	City string `json:"city,omitempty"`
	Zip  int    `json:"zip,omitempty"`
}

// Parcel is a kind with fields of all types.
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

var parcels = kit.Define[Parcel]("parcels", kit.Counted(),
	kit.Index("customer", "pieces"), kit.Index("weight"), kit.Index("due"), kit.Index("to.city", "fragile", "customer"),
	kit.Index("fragile"), kit.Index("note"), kit.Index("rank"), kit.Index("labels.shop"), kit.Index("big"))
