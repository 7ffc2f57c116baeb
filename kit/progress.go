package kit

import "context"

type fenceKey struct{}

// WithFence returns ctx for what is done under the fencing number.
func WithFence(ctx context.Context, fence int64) context.Context {
	return context.WithValue(ctx, fenceKey{}, fence)
}

// FenceOf returns the fencing number of whoever may act in ctx: that of the
// node that carries out the tasks, or of the leader of a name. Each new one has
// a higher number. Hand it to systems outside, so that they can refuse a number
// that is lower than one that they have seen: it comes from a node that was
// paused and does not know yet that another has taken over. 0 means that there
// is no other node.
func FenceOf(ctx context.Context) int64 {
	n, _ := ctx.Value(fenceKey{}).(int64)
	return n
}

// Report is how far an action has come. Total is 0 where it is not known.
type Report struct {
	Done  int64  `json:"done"`
	Total int64  `json:"total,omitempty"`
	Note  string `json:"note,omitempty"`
}

// Reporter keeps the reports of a running action.
type Reporter interface {
	// Report keeps r. It returns at once.
	Report(r Report)
	// Last returns what was kept last, on whichever node.
	Last(ctx context.Context) Report
}

type reporterKey struct{}

// WithReporter returns ctx for an action whose reports r keeps.
func WithReporter(ctx context.Context, r Reporter) context.Context {
	return context.WithValue(ctx, reporterKey{}, r)
}

// Progress reports how far the action that ctx belongs to has come. It may be
// called as often as is convenient: the latest report is kept, about once a
// second, in the steps of the document.
func Progress(ctx context.Context, done, total int64, note string) {
	if r, ok := ctx.Value(reporterKey{}).(Reporter); ok {
		r.Report(Report{done, total, note})
	}
}

// LastProgress returns what the action has reported last, maybe on a node that
// has died since: it can go on from there.
func LastProgress(ctx context.Context) Report {
	if r, ok := ctx.Value(reporterKey{}).(Reporter); ok {
		return r.Last(ctx)
	}
	return Report{}
}
