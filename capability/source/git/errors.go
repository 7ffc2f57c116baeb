package git

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of errors, for errors.Is.
var (
	// ErrNotFound: no such project, ref, commit, or path in a commit.
	ErrNotFound = errors.New("not found")
	// ErrExists: the project is already there.
	ErrExists = errors.New("already exists")
	// ErrInvalid: a name, id or request is malformed; it will never work.
	ErrInvalid = errors.New("invalid")
	// ErrConflict: a ref is not, or not any more, where it was expected.
	ErrConflict = errors.New("ref has moved")
	// ErrDenied is for the open function of Handler: the answer becomes 403.
	ErrDenied = errors.New("denied")
)

// MergeConflict is the error of a Rebase that needs a person.
type MergeConflict struct {
	Commit string   // what was to be rebased
	Onto   string   // the commit that it conflicts with
	Paths  []string // the files with conflicts, sorted
}

// Error names the files.
func (e *MergeConflict) Error() string {
	return fmt.Sprintf("commit %s conflicts with %s in %s",
		short(e.Commit), short(e.Onto), strings.Join(e.Paths, ", "))
}
