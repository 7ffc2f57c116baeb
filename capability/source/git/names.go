package git

import (
	"fmt"
	"regexp"
	"strings"
)

// Zero is the object id that stands for "no object": a ref that is to be
// created has it as its old value, one that is to be deleted as its new.
const Zero = "0000000000000000000000000000000000000000"

// EmptyTree is the id of the tree without entries.
const EmptyTree = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

var (
	projectPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._/-]*$`)
	idPattern      = regexp.MustCompile(`^[0-9a-f]{40}$`)
)

// checkProject reports what is wrong with the name of a project.
func checkProject(name string) error {
	if !projectPattern.MatchString(name) || len(name) > 200 {
		return fmt.Errorf("project name %q: use up to 200 lower-case letters, digits, '.', '_', '-' and '/', "+
			"a letter or digit first: %w", name, ErrInvalid)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".git") || strings.HasSuffix(part, ".lock") {
			return fmt.Errorf("project name %q: part %q is empty, starts with '.', or ends with .git or .lock: %w",
				name, part, ErrInvalid)
		}
	}
	return nil
}

// checkRevision refuses whatever git could take for an option or an expression.
func checkRevision(names ...string) error {
	for _, name := range names {
		if name != "HEAD" && !idPattern.MatchString(name) && !validRef(name) {
			return fmt.Errorf("%q is neither a full commit id nor a full ref name: %w", name, ErrInvalid)
		}
	}
	return nil
}

// validRef follows git-check-ref-format(1), for names below refs/.
func validRef(name string) bool {
	if !strings.HasPrefix(name, "refs/") || strings.HasSuffix(name, ".") ||
		strings.Contains(name, "..") || strings.Contains(name, "@{") {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c == 0x7f || strings.IndexByte(`~^:?*[\`, c) >= 0 {
			return false
		}
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == "" || part[0] == '.' || strings.HasSuffix(part, ".lock") {
			return false
		}
	}
	return true
}

// short is the form of an id that people read.
func short(id string) string {
	if idPattern.MatchString(id) {
		return id[:7]
	}
	return id
}

func isTag(ref string) bool { return strings.HasPrefix(ref, "refs/tags/") }
