package main

import "landfall.dev/kit"

// paperBytes is how many bytes of papers a node keeps.
const paperBytes = 1 << 30

// Receipts are the papers of transfers: who sends one puts the paper as a blob,
// then names it here.
var Receipts = kit.Define[Receipt]("receipts")

// Receipt is a paper about a transfer.
type Receipt struct {
	kit.Meta
	Transfer string `json:"transfer"`
	// Paper is kept as long as the receipt is there.
	Paper kit.Digest `json:"paper"`
}
