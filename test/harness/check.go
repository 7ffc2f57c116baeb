package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
)

// account and movement are of both schemas of the ledger.
type account struct {
	kit.Meta
	Balance json.RawMessage `json:"balance"` // "12.50", or 1250
}

type movement struct {
	kit.Meta
}

type receipt struct {
	kit.Meta
	Paper kit.Digest `json:"paper"`
}

var (
	accounts  = kit.Define[account]("accounts")
	transfers = kit.Define[movement]("transfers")
	receipts  = kit.Define[receipt]("receipts")
)

// Finish ends the load and compares what was acknowledged since it was made
// with what the platform holds: no transfer is lost, nor a receipt or its paper, none that was deleted is
// there again, and each has moved its money once. It returns the requests that
// failed since the last Finish.
func (l *Load) Finish() []Failure {
	t := l.path.t
	t.Helper()
	l.stop()
	found := map[string]int{}
	var money map[string]int64
	l.path.Insist("the ledger is read", func(ctx context.Context) (err error) {
		clear(found)
		client := l.path.client(l.path.Front, l.token)
		for m, err := range transfers.All(ctx, client, fmt.Sprintf("link.startsWith(%q)", "transfers/"+l.tag), "") {
			if err != nil {
				return err
			}
			found[m.Link.ID()]++
		}
		money, err = balances(ctx, client)
		return err
	})
	l.papers()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.judge(found, money)
	fails := l.fails
	l.fails = nil
	return fails
}

// papers reports receipts that are lost, those without their paper, and those
// whose request is not known when it is repeated with its key.
func (l *Load) papers() {
	t := l.path.t
	t.Helper()
	client := l.path.client(l.path.Front, l.token)
	for _, x := range l.receipts {
		l.path.Insist("a receipt is read", func(ctx context.Context) error {
			r, err := receipts.Read(ctx, client, x.id)
			if err == nil {
				var paper []byte
				paper, err = l.do(ctx, http.MethodGet, "/kit/blobs/"+string(r.Paper), nil)
				if err == nil && string(paper) != x.paper {
					t.Errorf("the paper of %s has %d bytes, want %d", r.Link, len(paper), len(x.paper))
				}
			}
			if err == nil && time.Since(x.began) < kit.OnceAge*2/3 {
				err = l.create(ctx, l.path.Front, x)
				if errors.Is(err, kit.ErrConflict) {
					t.Errorf("the receipt %s, which was asked for again with its idempotency key: %v", x.id, err)
					return nil
				}
			}
			if errors.Is(err, kit.ErrNotFound) {
				t.Errorf("the acknowledged receipt %s: %v", x.id, err)
				return nil
			}
			return err
		})
	}
	t.Logf("%d receipts were looked at", len(l.receipts))
}

// balances returns the cents of each account.
func balances(ctx context.Context, client kit.Client) (map[string]int64, error) {
	money := map[string]int64{}
	for a, err := range accounts.All(ctx, client, `link.startsWith("accounts/a")`, "") {
		if err != nil {
			return nil, err
		}
		digits := strings.NewReplacer(`"`, "", ".", "").Replace(string(a.Balance))
		if money[a.Link.ID()], err = strconv.ParseInt(digits, 10, 64); err != nil {
			return nil, fmt.Errorf("%s: %w", a.Link, err)
		}
	}
	return money, nil
}

// judge reports how what was found differs from what was acknowledged.
func (l *Load) judge(found map[string]int, money map[string]int64) {
	t := l.path.t
	t.Helper()
	want := map[string]int64{}
	for i := range Accounts {
		want[fmt.Sprintf("a%d", i)] = openingCents
	}
	var acked, deleted, lost, doubled, resurrected int
	for _, x := range l.all {
		there := found[x.id]
		if x.acked {
			acked++
		}
		if x.acked || there > 0 {
			want[fmt.Sprintf("a%d", x.from)]--
			want[fmt.Sprintf("a%d", x.to)]++
		}
		switch {
		case there > 1:
			doubled++
		case x.deleted && there > 0:
			resurrected++
		case x.acked && !x.deleting && there == 0:
			lost++
		}
		if x.deleted {
			deleted++
		}
	}
	t.Logf("the load: %d requests, %d failed; of %d acknowledged transfers %d are lost, %d doubled; of %d acknowledged deletions %d are undone",
		l.sent, len(l.fails), acked, lost, doubled, deleted, resurrected)
	if lost+doubled+resurrected > 0 {
		t.Errorf("of %d acknowledged transfers %d are lost and %d doubled; of %d acknowledged deletions %d are undone", acked, lost, doubled, deleted, resurrected)
	}
	if acked == 0 {
		t.Error("no transfer was acknowledged: the load did not work")
	}
	wrong := 0
	for id, cents := range want {
		if money[id] != cents {
			wrong++
			t.Logf("the account %s has %d cents, want %d", id, money[id], cents)
		}
	}
	if wrong > 0 || len(money) != Accounts {
		t.Errorf("%d of %d accounts have not what the transfers have left, and there are %d", wrong, Accounts, len(money))
	}
}
