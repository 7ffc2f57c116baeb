package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
)

// start returns a ledger with two accounts of 10.00 each.
func start(t *testing.T) (bank, kit.Client) {
	t.Helper()
	var b bank
	cluster := kittest.Start(t, Service(nil))
	b.client = cluster.Client("services/ledger")
	c := cluster.Client("users/admin")
	for _, id := range []string{"a", "b"} {
		if _, err := Accounts.Create(t.Context(), c, id, newAccount("somebody", 1000)); err != nil {
			t.Fatal(err)
		}
	}
	return b, c
}

func balance(t *testing.T, c kit.Client, id string) int64 {
	t.Helper()
	a, err := Accounts.Read(t.Context(), c, id)
	if err != nil {
		t.Fatal(err)
	}
	cents, err := a.cents()
	if err != nil {
		t.Fatal(err)
	}
	return cents
}

func TestTransferMovesMoneyOnce(t *testing.T) {
	b, c := start(t)
	for range 2 { // the second is a repeat
		if _, err := b.transfer(t.Context(), Order{ID: "t1", From: "a", To: "b", Amount: "2.50"}); err != nil {
			t.Fatal(err)
		}
	}
	if x, y := balance(t, c, "a"), balance(t, c, "b"); x != 750 || y != 1250 {
		t.Errorf("after 2.50 went from a to b: a has %d, b has %d; want 750 and 1250", x, y)
	}
}

func TestTransferRefuses(t *testing.T) {
	b, _ := start(t)
	for name, c := range map[string]struct {
		order Order
		want  kit.Fault
	}{
		"more than there is":   {Order{ID: "x", From: "a", To: "b", Amount: "10.01"}, kit.ErrForbidden},
		"to itself":            {Order{ID: "x", From: "a", To: "a", Amount: "1.00"}, kit.ErrInvalid},
		"an amount of nothing": {Order{ID: "x", From: "a", To: "b", Amount: "0.00"}, kit.ErrInvalid},
		"no amount":            {Order{ID: "x", From: "a", To: "b", Amount: "much"}, kit.ErrInvalid},
		"an unknown account":   {Order{ID: "x", From: "a", To: "nobody", Amount: "1.00"}, kit.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.transfer(t.Context(), c.order); !errors.Is(err, c.want) {
				t.Errorf("%+v: %v, want %v", c.order, err, c.want)
			}
		})
	}
}

func TestTransfersAtOnceKeepTheSum(t *testing.T) {
	b, c := start(t)
	var g sync.WaitGroup
	for i := range 40 {
		g.Go(func() {
			o := Order{ID: fmt.Sprintf("t%d", i), From: "a", To: "b", Amount: "0.10"}
			if i%2 == 1 {
				o.From, o.To = "b", "a"
			}
			if _, err := b.transfer(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	g.Wait()
	if x, y := balance(t, c, "a"), balance(t, c, "b"); x != 1000 || y != 1000 {
		t.Errorf("after as much both ways: a has %d, b has %d; want 1000 each", x, y)
	}
}
