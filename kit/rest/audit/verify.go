package audit

import (
	"context"
	"fmt"
	"time"

	"landfall.dev/kit"
)

// Report is what Verify has found.
type Report struct {
	// First and Last are the numbers of the oldest and the newest record; those
	// before First have expired.
	First int64 `json:"first"`
	Last  int64 `json:"last"`
	// Suppressed is how many refusals have left no record.
	Suppressed int64 `json:"suppressed"`
}

// Verify reads the whole chain. It is ErrConflict, with the number of the
// record, where one was changed, taken out or put in.
func Verify(ctx context.Context, c kit.Client) (Report, error) {
	head, err := Chains.Read(ctx, c, Head)
	if kit.FaultOf(err) == kit.ErrNotFound {
		head, err = Chain{}, nil
	}
	if err != nil {
		return Report{}, err
	}
	v := verifier{head: head}
	for r, err := range kit.Records(ctx, c, kit.Query{Kind: Records.Name, Limit: 1000}) {
		if err == nil {
			err = v.next(r)
		}
		if err != nil {
			return v.report, err
		}
	}
	if !v.met && head.Number > 0 && (v.report.Last > 0 || head.Until.After(time.Now())) {
		return v.report, broken(head.Number, "it is missing: the chain goes on to %d, the records end at %d", head.Number, v.report.Last)
	}
	return v.report, nil
}

func broken(number int64, format string, args ...any) error {
	return &kit.Error{
		Fault: kit.ErrConflict, Op: "audit.verify", Link: Records.Link(ID(number)),
		Detail: fmt.Sprintf("the chain is broken at record %d: ", number) + fmt.Sprintf(format, args...),
		Hint:   "compare it with that of a backup",
	}
}

// verifier goes through the records in order.
type verifier struct {
	head   Chain
	met    bool // the head's record was there
	report Report
	hash   string // of the record before
}

func (v *verifier) next(r kit.Record) error {
	doc, err := Records.Decode(r)
	if err != nil {
		return err
	}
	switch n := doc.Number; {
	case r.Link.ID() != ID(n):
		return broken(n, "its id is %s", r.Link.ID())
	case v.report.First == 0:
		v.report.First = n
		if n > 1 && doc.Previous == "" || n == 1 && doc.Previous != "" {
			return broken(n, "only the first has none before it")
		}
	case n != v.report.Last+1:
		return broken(v.report.Last+1, "it is missing")
	case doc.Previous != v.hash:
		return broken(n-1, "its hash is %.12s, and the next record says %.12s", v.hash, doc.Previous)
	}
	if v.hash, err = Hash(r); err != nil {
		return err
	}
	v.report.Last = doc.Number
	v.report.Suppressed += doc.Suppressed
	if doc.Number == v.head.Number {
		v.met = true
		if v.hash != v.head.Hash {
			return broken(doc.Number, "its hash is %.12s, and the end of the chain says %.12s", v.hash, v.head.Hash)
		}
	}
	return nil
}
