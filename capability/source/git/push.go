package git

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
)

// Limits on what one push may ask for, before its pack.
const (
	maxCommands = 10_000
	maxOptions  = 100
)

// Push is what a client asks for. Its Reader sees the repository and the
// objects in quarantine; it is of use until Verdict.Commit has returned.
type Push struct {
	Reader
	Commands []Command
	Options  []string // of git push -o, in order
	Atomic   bool     // all commands or none

	objects bool // a pack follows
	shallow bool // the client has not the whole history
	caps    []string
}

// Command is one ref that the client wants moved.
type Command struct {
	Ref string // checked to be a well-formed full name
	Old string // Zero if the client wants to create it
	New string // Zero if the client wants to delete it
}

// Judge decides on one push while its objects are in quarantine. The pushes
// to one repository are judged one after the other.
type Judge func(ctx context.Context, p *Push) Verdict

// Verdict is what becomes of a push.
type Verdict struct {
	// Results holds one for each command, in the same order.
	Results []Result

	// Messages are lines that the client shows after "remote: ".
	Messages []string

	// Commit, if not nil, makes an accepted push durable. It runs when the
	// objects are in the repository and the refs are locked and checked, just
	// before these move. If it fails, its error is the reason that the client
	// sees, nothing moves and the objects are removed again. It cannot be
	// cancelled by the client; it must not write to the repository.
	Commit func(ctx context.Context) error

	// Done, if not nil, runs after the refs have moved and when other pushes
	// may go on. It returns further lines for the client.
	Done func(ctx context.Context) []string
}

// Result is what becomes of one command.
type Result struct {
	// Reason refuses the command; it is one line.
	Reason string

	// Updates are the moves that an accepted command leads to, which need not
	// be of the ref that it named. Those of all commands are one transaction.
	Updates []Update

	// Refs are the names to report instead of the command's own.
	Refs []string
}

// Move accepts c as it is.
func (c Command) Move() Result {
	return Result{Updates: []Update{{Ref: c.Ref, Old: c.Old, New: c.New}}}
}

// Commits returns what is in the history of commit but not in that of target,
// a ref: parents before children. An empty target stands for all branches. A
// target that does not exist is ErrNotFound.
func (p *Push) Commits(ctx context.Context, commit, target string) ([]Commit, error) {
	id, err := p.commit(ctx, commit)
	if err != nil {
		return nil, err
	}
	args := []string{"--topo-order", "--reverse", id, "--not"}
	if target == "" {
		return p.list(ctx, append(args, "--branches")...)
	}
	tip, err := p.commit(ctx, target)
	if err != nil {
		return nil, err
	}
	return p.list(ctx, append(args, tip)...)
}

// readPush reads a request up to the pack. It is nil if the request is only a
// flush, which clients send to see whether they may push.
func readPush(in *bufio.Reader) (*Push, error) {
	p := &Push{}
	for {
		line, more, err := readPacket(in)
		if err != nil {
			return nil, err
		}
		if !more {
			break
		}
		// Where a shallow clone ends does not matter as long as what it pushes
		// is connected to what is here.
		if strings.HasPrefix(line, "shallow ") {
			p.shallow = true
			continue
		}
		if err := p.add(line); err != nil {
			return nil, err
		}
	}
	if len(p.Commands) == 0 {
		return nil, nil
	}
	p.Atomic = p.has("atomic")
	if !p.has("push-options") {
		return p, nil
	}
	for {
		line, more, err := readPacket(in)
		if err != nil || !more {
			return p, err
		}
		if len(p.Options) == maxOptions {
			return nil, fmt.Errorf("more than %d push options: %w", maxOptions, ErrInvalid)
		}
		p.Options = append(p.Options, strings.TrimSuffix(line, "\n"))
	}
}

// add reads a command, "old new ref", with the capabilities after a NUL in the first.
func (p *Push) add(line string) error {
	line, caps, first := strings.Cut(line, "\x00")
	if first && len(p.Commands) == 0 {
		p.caps = strings.Fields(caps)
	}
	if p.has("object-format=sha256") {
		return fmt.Errorf("this repository has SHA-1 objects; it takes no push from one with SHA-256: %w", ErrInvalid)
	}
	f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 3)
	if len(f) != 3 || !idPattern.MatchString(f[0]) || !idPattern.MatchString(f[1]) {
		return fmt.Errorf("%q is no command of a push: %w", line, ErrInvalid)
	}
	c := Command{Old: f[0], New: f[1], Ref: f[2]}
	switch {
	case !validRef(c.Ref):
		return fmt.Errorf("%q is not a well-formed ref name: %w", c.Ref, ErrInvalid)
	case c.Old == Zero && c.New == Zero:
		return fmt.Errorf("ref %s: neither an old nor a new value: %w", c.Ref, ErrInvalid)
	case slices.ContainsFunc(p.Commands, func(o Command) bool { return o.Ref == c.Ref }):
		return fmt.Errorf("ref %s is in the push twice: %w", c.Ref, ErrInvalid)
	case len(p.Commands) == maxCommands:
		return fmt.Errorf("more than %d refs in one push: %w", maxCommands, ErrInvalid)
	}
	p.Commands = append(p.Commands, c)
	p.objects = p.objects || c.New != Zero
	return nil
}

func (p *Push) has(capability string) bool { return slices.Contains(p.caps, capability) }
