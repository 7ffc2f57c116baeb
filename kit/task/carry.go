package task

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"landfall.dev/kit"
	"landfall.dev/kit/store"
)

// carry attempts op, which r has wished for, once. An error is temporary; if
// there is none, the operation is done or refused for good, and the result is
// what to acknowledge it with.
func (r *Runner) carry(ctx context.Context, rec kit.Record, op kit.Op) (store.Ack, error) {
	ack := store.Ack{ID: op.ID}
	switch op.Do {
	case kit.OpCreate, kit.OpSend:
		if op.Do == kit.OpSend && op.Link == rec.Link && !rec.Deleted {
			// To itself: the event comes with the acknowledgement, so that what
			// it wishes for under the same id is not acknowledged with it.
			ack.Event, ack.Data = op.Event, op.Data
			return ack, nil
		}
		return ack, r.write(ctx, rec, op)
	case kit.OpRefuse, kit.OpCancel:
		r.log.Error("operation ignored: only the life of a document can refuse and cancel", "link", rec.Link, "op", op.Do)
		return ack, nil
	}
	return r.act(ctx, rec, op)
}

// failed returns the acknowledgement of an operation that is given up.
func (r *Runner) failed(rec kit.Record, op kit.Op, err error) store.Ack {
	r.log.Info("operation failed", "link", rec.Link, "op", op.ID, "error", err)
	data, _ := json.Marshal(map[string]string{"error": err.Error()})
	return store.Ack{ID: op.ID, Event: op.Do + ".failed", Data: data}
}

// write creates a document or sends an event to another one.
func (r *Runner) write(ctx context.Context, rec kit.Record, op kit.Op) error {
	if !take(ctx, r.writes) {
		return context.Cause(ctx)
	}
	defer func() { <-r.writes }()
	var err error
	if op.Do == kit.OpCreate {
		_, err = r.client.Create(ctx, op.Link.Kind(), op.Link.ID(), op.Data)
	} else {
		_, err = r.client.Do(ctx, op.Link, op.Event, op.Data)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || kit.Temporary(err):
		return err
	case op.Do == kit.OpCreate && errors.Is(err, kit.ErrConflict):
		return nil // it exists
	case op.Do == kit.OpCreate || errors.Is(err, kit.ErrForbidden):
		r.log.Error("operation refused", "link", rec.Link, "op", op.ID, "error", err)
	default:
		r.log.Debug("event dropped", "link", rec.Link, "op", op.ID, "error", err)
	}
	return nil
}

// act carries out one of the service's actions.
func (r *Runner) act(ctx context.Context, rec kit.Record, op kit.Op) (store.Ack, error) {
	action, ok := r.service.Does[op.Do]
	if !ok {
		return r.failed(rec, op, fmt.Errorf("%s has no action %q", r.service.Name, op.Do)), nil
	}
	if !take(ctx, r.actions) {
		return store.Ack{}, context.Cause(ctx)
	}
	defer func() { <-r.actions }()
	var result any
	err := guard(func() (err error) {
		result, err = action(ctx, rec, op)
		return err
	})
	switch {
	case err != nil && (ctx.Err() != nil || kit.Temporary(err)):
		return store.Ack{}, err
	case err != nil:
		return r.failed(rec, op, err), nil
	}
	ack := store.Ack{ID: op.ID, Event: op.Do + ".done"}
	if result == nil {
		return ack, nil
	}
	if ack.Data, err = json.Marshal(result); err != nil {
		return r.failed(rec, op, err), nil
	}
	return ack, nil
}

// take gets a token, or returns false if ctx ends first.
func take(ctx context.Context, tokens chan<- struct{}) bool {
	select {
	case <-ctx.Done():
		return false
	case tokens <- struct{}{}:
		return true
	}
}
