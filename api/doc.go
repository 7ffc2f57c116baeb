// Package api holds the product's documents: data only, one file for each
// capability that owns them. Fields are for ever: they are added, never
// renamed, and a name that was dropped is never used again.
package api
