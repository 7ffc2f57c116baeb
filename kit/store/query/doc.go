// Package query understands what a query says of documents: the filter, a CEL
// expression over the fields of a kind, the fields that are selected, and what
// is computed of groups.
//
// It says which documents pass, and in which parts of the orders of a kind they
// are. It never looks documents up: package store does, by these parts.
package query
