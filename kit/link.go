package kit

import (
	"fmt"
	"strconv"
	"strings"
)

// Link names a document: the kind and the id, "changes/42". Links follow
// resource-oriented design (Google's AIP-122) with one level of collections.
type Link string

// NewLink returns the link of the document of kind with id.
func NewLink(kind, id string) Link { return Link(kind + "/" + id) }

// Kind returns the collection that l is in: "changes" of "changes/42".
func (l Link) Kind() string {
	kind, _, _ := strings.Cut(string(l), "/")
	return kind
}

// ID returns the part of l after its kind: "42" of "changes/42".
func (l Link) ID() string {
	_, id, _ := strings.Cut(string(l), "/")
	return id
}

// Check returns an ErrInvalid error unless l is well-formed: a kind of
// lower-case letters, digits and dashes, and an id that CheckID accepts.
func (l Link) Check() error {
	if err := CheckKind(l.Kind()); err != nil {
		return err
	}
	return CheckID(l.ID())
}

// CheckKind returns an ErrInvalid error unless kind is made of lower-case
// letters, digits and dashes, starts with a letter and has at most 60 bytes.
func CheckKind(kind string) error {
	ok := len(kind) > 0 && len(kind) <= 60 && kind[0] >= 'a' && kind[0] <= 'z'
	for i := 0; ok && i < len(kind); i++ {
		c := kind[i]
		ok = c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-'
	}
	if !ok {
		return &Error{Fault: ErrInvalid, Detail: fmt.Sprintf("%q is no kind: use a to z, 0 to 9 and -, starting with a letter", kind)}
	}
	return nil
}

// CheckID returns an ErrInvalid error unless id has 1 to 200 bytes out of
// letters, digits and ".", "_", "~", "-", and is neither "." nor "..".
func CheckID(id string) error {
	ok := len(id) > 0 && len(id) <= 200 && id != "." && id != ".."
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("._~-", c) >= 0
	}
	if !ok {
		return &Error{Fault: ErrInvalid, Detail: fmt.Sprintf("%q is no id: use 1 to 200 letters, digits, and . _ ~ -", id)}
	}
	return nil
}

// Position is a place in the log of a node group. It is opaque to clients
// and written "epoch.seq". Each group has an epoch of its own, and another one
// when a backup is restored: positions of different epochs cannot be compared.
type Position struct {
	Epoch, Seq int64
}

func (p Position) String() string { return fmt.Sprintf("%d.%d", p.Epoch, p.Seq) }

// ParsePosition reads what String has written.
func ParsePosition(s string) (Position, error) {
	epoch, seq, ok := strings.Cut(s, ".")
	e, err1 := strconv.ParseInt(epoch, 10, 64)
	n, err2 := strconv.ParseInt(seq, 10, 64)
	if !ok || err1 != nil || err2 != nil || e < 0 || n < 0 {
		return Position{}, &Error{Fault: ErrInvalid, Detail: fmt.Sprintf("%q is no position: use one that a list or a watch gave", s)}
	}
	return Position{Epoch: e, Seq: n}, nil
}
