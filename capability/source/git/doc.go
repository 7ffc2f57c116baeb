// Package git keeps bare repositories and serves them over smart HTTP.
//
// It owns a directory of repositories and every file in it. Objects are the
// business of the git binary (2.38 or newer); the push protocol is spoken
// here, so that each ref of a push gets an exact reason and a refused push
// leaves nothing behind. It knows no users, documents or rules: a caller
// opens a repository for a request and hands in a Judge for each push.
//
// The life of a push:
//
//	received → quarantined → judged → migrated → committed → done
//	               └────────────┴──────────┴──→ refused: the quarantine is removed
//
// Quarantined objects are in a directory of their own that only the Judge
// sees. Migrated objects are in the repository but no ref leads to them.
// Verdict.Commit is the point of no return: it runs when the ref transaction
// is prepared and can only still fail for want of a working disk.
//
// The wire formats are those of git's own documentation: gitprotocol-pack,
// gitprotocol-http, gitprotocol-v2 and gitprotocol-capabilities.
package git
