package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
)

// internal is the reason for faults of this host.
const internal = "internal error; ask the operator to look at the log"

// unshallow is what helps if a shallow clone cannot push.
const unshallow = "; this is a shallow clone, so run: git fetch --unshallow"

// ReceivePack answers one push over smart HTTP: it reads the request from
// body, which has no content coding any more, and writes the response to w.
//
// A refused push is no error. The error is ErrInvalid, and nothing has been
// written, if the request is malformed. Any other error is one of this host,
// for the log; the client has been told in general terms.
func (r *Repository) ReceivePack(ctx context.Context, w io.Writer, body io.Reader, judge Judge) error {
	in := bufio.NewReaderSize(body, 64<<10)
	p, err := readPush(in)
	if err != nil {
		drain(in, r.store.MaxPack)
		return err
	}
	if p == nil {
		return nil
	}
	answer := newReport(p)
	err = r.receive(ctx, in, judge, answer)
	if err != nil {
		answer.refuse(internal)
	}
	return errors.Join(err, answer.write(w))
}

// receive takes the push in and fills the answer.
func (r *Repository) receive(ctx context.Context, in io.Reader, judge Judge, answer *report) (err error) {
	p := answer.push
	q, err := r.quarantine()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.drop()) }()
	p.Reader = q.Reader
	if p.objects {
		if answer.unpack, err = q.take(ctx, in, r.store.MaxPack); err != nil {
			return err
		}
		if answer.unpack != "" {
			if p.shallow {
				answer.unpack += unshallow
			}
			answer.refuse("unpacker error")
			answer.messages = append(answer.messages, "ERROR: "+answer.unpack)
			return nil
		}
	}
	verdict, err := r.decide(ctx, q, judge, answer)
	if err != nil || verdict.Done == nil || answer.refused() == len(p.Commands) {
		return err
	}
	answer.messages = append(answer.messages, verdict.Done(context.WithoutCancel(ctx))...)
	return nil
}

// take unpacks a pack of at most limit bytes. It returns the reason if the
// pack is not fit.
func (q *quarantine) take(ctx context.Context, in io.Reader, limit int64) (string, error) {
	pack := &limited{in: in, left: limit}
	err := q.unpack(ctx, pack)
	if err == nil {
		return "", nil
	}
	if ctx.Err() != nil {
		return "", err
	}
	drain(in, limit)
	if pack.over {
		return fmt.Sprintf("the pack is larger than %d bytes, the limit of this server: "+
			"push fewer commits at a time, or keep large files elsewhere", limit), nil
	}
	return err.Error(), nil
}

// drain reads the rest of a request that is refused, up to limit, since
// clients read no answer before they have sent everything. If the client is
// gone, nothing will reach it either way.
func drain(in io.Reader, limit int64) {
	_, _ = io.Copy(io.Discard, io.LimitReader(in, limit))
}

// limited ends with an error where in goes on after its limit.
type limited struct {
	in   io.Reader
	left int64
	over bool
}

func (l *limited) Read(p []byte) (int, error) {
	if l.over {
		return 0, ErrInvalid
	}
	n, err := l.in.Read(p)
	if int64(n) > l.left {
		l.over = true
		return int(l.left), ErrInvalid
	}
	l.left -= int64(n)
	return n, err
}

// decide takes the repository's turn, has the push judged and does what the
// verdict says.
func (r *Repository) decide(ctx context.Context, q *quarantine, judge Judge, answer *report) (Verdict, error) {
	p := answer.push
	if err := r.lock(ctx); err != nil {
		return Verdict{}, err
	}
	defer r.unlock()
	sound, err := q.sound(ctx, answer)
	if err != nil || !sound {
		return Verdict{}, err
	}
	verdict := judge(ctx, p)
	answer.messages = verdict.Messages
	if len(verdict.Results) != len(p.Commands) {
		return verdict, fmt.Errorf("the judge gave %d results for %d commands", len(verdict.Results), len(p.Commands))
	}
	for i, result := range verdict.Results {
		answer.reasons[i], answer.refs[i] = result.Reason, result.Refs
	}
	if p.Atomic && answer.refused() > 0 {
		answer.refuse("atomic push failure: another ref was refused")
	}
	if answer.refused() == len(p.Commands) {
		return verdict, nil
	}
	return verdict, r.accept(context.WithoutCancel(ctx), q, verdict, answer)
}

// sound reports whether the new values are commits (or what a tag may point
// to) with all that they need.
func (q *quarantine) sound(ctx context.Context, answer *report) (bool, error) {
	var ids []string
	var at []int // the command that each id is of
	for i, c := range answer.push.Commands {
		if c.New != Zero {
			ids, at = append(ids, c.New), append(at, i)
		}
	}
	if len(ids) == 0 {
		return true, nil
	}
	found, err := q.objects(ctx, true, ids...)
	if err != nil {
		return false, err
	}
	for k, o := range found {
		c := answer.push.Commands[at[k]]
		switch {
		case o.kind == "missing":
			answer.reasons[at[k]] = "object " + short(c.New) + " is neither in the push nor in the repository"
		case o.kind != "commit" && !isTag(c.Ref):
			answer.reasons[at[k]] = fmt.Sprintf("object %s is a %s; only tags may point to one", short(c.New), o.kind)
		}
	}
	if answer.refused() == 0 {
		err := q.connected(ctx, ids)
		if err == nil {
			return true, nil
		}
		if ctx.Err() != nil {
			return false, err
		}
		reason := "the push lacks objects that its commits need"
		if answer.push.shallow {
			reason += unshallow
		}
		answer.refuse(reason)
	}
	answer.refuse("another ref of the push was refused")
	return false, nil
}

// accept migrates the objects of the accepted commands and moves their refs.
func (r *Repository) accept(ctx context.Context, q *quarantine, verdict Verdict, answer *report) (err error) {
	var updates []Update
	var ids []string
	for i, result := range verdict.Results {
		if answer.reasons[i] != "" {
			continue
		}
		updates = append(updates, result.Updates...)
		if id := answer.push.Commands[i].New; id != Zero {
			ids = append(ids, id)
		}
	}
	if answer.refused() > 0 && len(ids) > 0 {
		if q, err = r.only(ctx, q, ids); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, q.drop()) }()
	}
	if len(ids) > 0 {
		if err := q.migrate(); err != nil {
			return errors.Join(err, q.undo())
		}
	}
	reason, err := r.move(ctx, updates, verdict.Commit)
	if reason != "" {
		answer.refuse(reason)
		return errors.Join(err, q.undo())
	}
	// An error here comes from the disk. Commit may have succeeded, so the
	// objects stay.
	return err
}

// move prepares the ref transaction, calls commit, and moves the refs. It
// returns a reason if nothing has moved.
func (r *Repository) move(ctx context.Context, updates []Update, commit func(context.Context) error) (string, error) {
	if commit == nil {
		commit = func(context.Context) error { return nil }
	}
	if len(updates) == 0 {
		if err := commit(ctx); err != nil {
			return err.Error(), nil
		}
		return "", nil
	}
	t, err := r.prepare(ctx, updates)
	if errors.Is(err, ErrConflict) {
		return "a ref has moved meanwhile, fetch and push again: " + err.Error(), nil
	}
	if err != nil {
		return internal, err
	}
	if err := commit(ctx); err != nil {
		t.abort()
		return err.Error(), nil
	}
	return "", t.commit()
}
