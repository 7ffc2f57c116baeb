package kit

import (
	"encoding/json"
	"iter"
)

// Transform is one change of a document's shape from a schema number to the
// next. It is data, compiled by the migrate package; the inverse follows from
// it where there is one.
//
// Fields are those of the document itself, not of its envelope or of an object
// inside. A transformation of a field that a document does not have leaves the
// document alone; one that would write over a field fails for the document.
// Functions are pure, and may be called concurrently.
type Transform struct {
	// Op is rename, default, drop, convert, split, merge, edit or func.
	Op string
	// From are the fields that the transformation reads, To those that it
	// writes: one each, but for split and merge.
	From, To []string
	// Value is the default.
	Value json.RawMessage
	// Separator is what a text is split at and merged with; without one Split and
	// Merge do it.
	Separator string
	// Convert changes the field's value, or for func the whole document's own
	// fields; Back reverts it. Without Back the upgrade is forward-only.
	Convert, Back func(json.RawMessage) (json.RawMessage, error)
	// Split makes one value many, Merge many values one. For the way back a
	// split needs Merge, and a merge Split.
	Split func(json.RawMessage) ([]json.RawMessage, error)
	Merge func([]json.RawMessage) (json.RawMessage, error)
	// Edit changes the document's own fields; EditBack reverts it. Without
	// EditBack the upgrade is forward-only.
	Edit, EditBack func(Fields) error
}

// Rename gives the field from the name to.
func Rename(from, to string) Transform {
	return Transform{Op: "rename", From: []string{from}, To: []string{to}}
}

// Default adds the field with value v where it is missing. On the way back a
// document loses the field again only if it still has that value and did not
// have the field before.
func Default(field string, v any) Transform {
	b, err := json.Marshal(v)
	if err != nil {
		panic("kit: default of " + field + ": " + err.Error())
	}
	return Transform{Op: "default", To: []string{field}, Value: b}
}

// Drop removes the field. On the way back it comes from the document that the
// older version has kept.
func Drop(field string) Transform { return Transform{Op: "drop", From: []string{field}} }

// Convert changes the value of the field by to; back reverts it, or is nil.
func Convert(field string, to, back func(json.RawMessage) (json.RawMessage, error)) Transform {
	return Transform{Op: "convert", From: []string{field}, To: []string{field}, Convert: to, Back: back}
}

// Split makes the field from the fields to, with the values that split returns,
// one for each; a nil one leaves its field out. Merge reverts it, or is nil.
func Split(from string, to []string, split func(json.RawMessage) ([]json.RawMessage, error), merge func([]json.RawMessage) (json.RawMessage, error)) Transform {
	return Transform{Op: "split", From: []string{from}, To: to, Split: split, Merge: merge}
}

// SplitAt makes the text from the fields to: up to the first separator, up to
// the second, and the rest. Fields that nothing is left for are left out.
func SplitAt(from string, to []string, separator string) Transform {
	return Transform{Op: "split", From: []string{from}, To: to, Separator: separator}
}

// Merge makes the fields from the field to, with the value that merge returns
// for theirs. Of those that the document does not have the value is nil; a
// document that has none is left alone. Split reverts it, or is nil.
func Merge(from []string, to string, merge func([]json.RawMessage) (json.RawMessage, error), split func(json.RawMessage) ([]json.RawMessage, error)) Transform {
	return Transform{Op: "merge", From: from, To: []string{to}, Split: split, Merge: merge}
}

// MergeWith makes the texts from the text to, with the separator between them.
// It fails for a document in which one of them is missing before another, or
// has a separator, but for the last: they could not be split again.
func MergeWith(from []string, to string, separator string) Transform {
	return Transform{Op: "merge", From: from, To: []string{to}, Separator: separator}
}

// Fields are a document's own fields while an Edit changes them. What it does
// not touch keeps its bytes and its place, and is not decoded.
type Fields interface {
	// Value returns the value of the field, or nil if there is none. It is not to
	// be changed.
	Value(name string) json.RawMessage
	// Set makes v the value of the field: in its place, or behind all others. It
	// is not to be changed afterwards. One that is not JSON fails the document.
	Set(name string, v json.RawMessage)
	// Remove takes the field away, if there is one.
	Remove(name string)
	// All yields the fields in their order. They are not to be changed meanwhile.
	All() iter.Seq2[string, json.RawMessage]
}

// Edit changes a document's own fields by to; back reverts it, or is nil. It
// takes far less time than a Func that decodes the whole document. A field that
// a later transformation drops is missing on the way back. They may be called
// concurrently, for different documents.
func Edit(to, back func(Fields) error) Transform {
	return Transform{Op: "edit", Edit: to, EditBack: back}
}

// Func changes a whole document's own fields by to; back reverts it, or is nil.
// A field that a later transformation drops is missing on the way back. They may
// be called concurrently, for different documents.
func Func(to, back func(json.RawMessage) (json.RawMessage, error)) Transform {
	return Transform{Op: "func", Convert: to, Back: back}
}
