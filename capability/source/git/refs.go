package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Update is the move of one ref.
type Update struct {
	Ref string
	Old string // where the ref must be now; Zero or empty if it must not exist
	New string // where it goes; Zero or empty deletes it
}

// UpdateRef moves ref from old to new, if it is at old; otherwise it returns
// ErrConflict and changes nothing. Zero stands for a ref that does not exist.
func (r *Repository) UpdateRef(ctx context.Context, ref, new, old string) error {
	t, err := r.prepare(ctx, []Update{{Ref: ref, Old: old, New: new}})
	if err != nil {
		return err
	}
	return t.commit()
}

// transaction is a run of git update-ref that holds the locks of its refs.
type transaction struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	words tail
}

// prepare locks the refs and checks their old values and new objects. The
// caller ends the transaction with commit or abort. Once begun, it does not
// end with ctx, so that it is always clear whether the refs have moved.
func (r *Repository) prepare(ctx context.Context, updates []Update) (*transaction, error) {
	script, err := script(updates)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	t := &transaction{cmd: r.command(context.WithoutCancel(ctx), "update-ref", "--stdin", "-z")}
	t.cmd.Stderr = &t.words
	if t.in, err = t.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := t.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	t.out = bufio.NewReader(out)
	if err := t.cmd.Start(); err != nil {
		return nil, err
	}
	if err := t.say("start\x00", "start: ok\n"); err != nil {
		return nil, err
	}
	return t, t.say(script+"prepare\x00", "prepare: ok\n")
}

// script returns the updates in the form of git update-ref --stdin -z.
func script(updates []Update) (string, error) {
	var out strings.Builder
	for _, u := range updates {
		for _, id := range []*string{&u.Old, &u.New} {
			if *id == "" {
				*id = Zero
			}
			if !idPattern.MatchString(*id) {
				return "", fmt.Errorf("ref %s: %q is not a full object id: %w", u.Ref, *id, ErrInvalid)
			}
		}
		switch {
		case !validRef(u.Ref):
			return "", fmt.Errorf("%q is not a full ref name: %w", u.Ref, ErrInvalid)
		case u.New != Zero:
			fmt.Fprintf(&out, "update %s\x00%s\x00%s\x00", u.Ref, u.New, u.Old)
		case u.Old != Zero:
			fmt.Fprintf(&out, "delete %s\x00%s\x00", u.Ref, u.Old)
		default:
			return "", fmt.Errorf("ref %s: to delete it, say where it is: %w", u.Ref, ErrInvalid)
		}
	}
	return out.String(), nil
}

// say sends words and waits for the answer. If another comes, the transaction
// is over and has changed nothing.
func (t *transaction) say(words, want string) error {
	_, err := io.WriteString(t.in, words)
	var got string
	if err == nil {
		got, err = t.out.ReadString('\n')
	}
	if err == nil && got == want {
		return nil
	}
	err = errors.Join(t.in.Close(), t.cmd.Wait(), err)
	if said := t.words.String(); strings.Contains(said, "cannot lock ref") {
		return fmt.Errorf("%s: %w", said, ErrConflict)
	}
	return &commandError{verb: "update-ref", words: t.words.String(), err: err}
}

// commit moves the refs.
func (t *transaction) commit() error {
	if err := t.say("commit\x00", "commit: ok\n"); err != nil {
		return err
	}
	t.end()
	return nil
}

// abort gives the locks back; nothing has moved.
func (t *transaction) abort() { t.end() }

// end closes git's input, which ends it. How it ends does not matter: an
// open transaction rolls back, a committed one has been acknowledged.
func (t *transaction) end() {
	_ = t.in.Close()
	_ = t.cmd.Wait()
}
