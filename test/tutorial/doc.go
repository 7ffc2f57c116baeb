// Package tutorial runs the chapters of doc/tutorial: it writes the files that
// they show, runs every command in one shell, chapter after chapter, and holds
// what is printed to what they say.
//
// In a chapter, a fenced block is, by what stands after the fence,
//
//	go FILE, json FILE   a file of the program
//	go edit FILE         a change to one: what is there, a line ---, what it becomes
//	sh                   commands, each of which must succeed
//	sh fails             the same, but the last must fail
//	text                 what the commands before have printed; ... is anything
//
// Addresses of the text are replaced by free ones.
package tutorial
