// Package audit keeps a record of what callers were refused, because nobody
// knows them, no role allows it, or they are over a limit, and of what
// administrators did, as documents that are chained by their hashes, so that
// one that was changed or taken out is found.
//
// It owns the kinds audit and chains. It watches nothing, and never decides
// whether something may be done. Records are numbered in the order of the
// cluster's log: one and the next state of the chain are written as one batch,
// on the condition that the chain has not moved, so it does not matter which
// node writes. They expire after a retention.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"landfall.dev/kit"
)

// Record tells of one call.
type Record struct {
	kit.Meta
	// Number counts the records from 1; it is the id, too.
	Number int64 `json:"number"`
	// Previous is the Hash of the record before, empty for the first.
	Previous string    `json:"previous,omitempty"`
	Time     time.Time `json:"time"`              // of the call
	Subject  string    `json:"subject,omitempty"` // who called; empty: nobody knows
	// Behalf is whose request the subject, a service, was serving.
	Behalf  string `json:"behalf,omitempty"`
	Verb    string `json:"verb"`             // of the kit.Client, or the HTTP method
	Target  string `json:"target"`           // the link, or the path
	Status  int    `json:"status"`           // HTTP's, of the answer
	Reason  string `json:"reason,omitempty"` // why it was refused
	Request string `json:"request,omitempty"`
	Remote  string `json:"remote,omitempty"` // the address of who called
	Via     string `json:"via,omitempty"`    // for whom that says to call, as proxies do
	// Suppressed is how many refusals on the same node, of whomever, since the
	// record before of that node have left none, because there were too many: a
	// caller who is refused all the time leaves 20 records, and then one in each
	// minute. What is not yet in a record when a node stops is not told.
	Suppressed int64 `json:"suppressed,omitempty"`
}

// Chain is the end of the chain of records.
type Chain struct {
	kit.Meta
	Number int64  `json:"number"` // of the last record
	Hash   string `json:"hash"`   // of the last record
	// Until is when the last record expires. None expires before an earlier one,
	// whatever becomes of the retention and of clocks, so no link is missing
	// in the middle.
	Until time.Time `json:"until,omitzero"`
}

// Records are the records. Chains has one document, Head.
var (
	Records = kit.Define[Record]("audit", kit.Local())
	Chains  = kit.Define[Chain]("chains", kit.Local())
)

// Head is the id of the chain's document.
const Head = "audit"

// Owned are the kinds for the service that owns them.
func Owned() []kit.Owned {
	return []kit.Owned{kit.Own(Records, appendOnly), kit.Own(Chains, nil)}
}

// Own tells whether the kind is the audit's.
func Own(kind string) bool { return kind == Records.Name || kind == Chains.Name }

// appendOnly is the life of a Record: it is created.
func appendOnly(r Record, e kit.Event, _ time.Time) (Record, []kit.Op) {
	if e.Name != "created" {
		return r, kit.Refuse(kit.ErrForbidden, "the records of the audit are not changed")
	}
	return r, nil
}

// ID returns the id of the record with the number. Ids are in the order of the
// numbers.
func ID(number int64) string { return fmt.Sprintf("%012d", number) }

// Hash returns the SHA-256, in hex, of a record's own fields as JSON without
// spaces.
func Hash(r kit.Record) (string, error) {
	var b bytes.Buffer
	if err := json.Compact(&b, r.Body); err != nil {
		return "", &kit.Error{Op: "audit.hash", Link: r.Link, Err: err}
	}
	sum := sha256.Sum256(b.Bytes())
	return hex.EncodeToString(sum[:]), nil
}
