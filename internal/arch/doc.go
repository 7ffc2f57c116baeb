// Package arch holds the tree to its design, as tests: who may import whom,
// how large files and functions may be, that every package is documented, and
// that what each capability declares to watch and write is in doc/graph.md.
package arch
