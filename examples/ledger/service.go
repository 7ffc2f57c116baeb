package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"landfall.dev/kit"
)

// Service declares the ledger; c acts as services/ledger.
func Service(c kit.Client) kit.Service {
	b := bank{c}
	return kit.Service{
		Name: "ledger",
		Owns: []kit.Owned{
			kit.Own(Accounts, nextAccount),
			kit.Own[Transfer](Transfers, nil),
			kit.Own[Receipt](Receipts, nil),
		},
		Serves: []kit.Route{{Pattern: "POST /transfer", Handler: kit.Handler(b.serve)}},
	}
}

// Order is the body of POST /transfer.
type Order struct {
	ID     string `json:"id"`
	From   string `json:"from"`
	To     string `json:"to"`
	Amount string `json:"amount"` // "12.50"
}

// bank moves money.
type bank struct{ client kit.Client }

func (b bank) serve(w http.ResponseWriter, r *http.Request) error {
	if err := kit.CallerOf(r.Context()).May(kit.VerbCreate, Transfers.Link("")); err != nil {
		return err
	}
	var o Order
	if json.NewDecoder(http.MaxBytesReader(w, r.Body, kit.MaxDocument)).Decode(&o) != nil {
		return kit.Errorf(kit.ErrInvalid, "", `send {"id": "...", "from": "...", "to": "...", "amount": "12.50"}`)
	}
	t, err := b.transfer(r.Context(), o)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t)
	return nil
}

// transfer moves the money of o: both accounts and the transfer change in one
// log entry, or nothing does. An order that was carried out before is answered
// with what came of it.
func (b bank) transfer(ctx context.Context, o Order) (Transfer, error) {
	amount, err := parseCents(o.Amount)
	if err != nil || amount <= 0 || o.From == o.To {
		return Transfer{}, kit.Errorf(kit.ErrInvalid, "", "a transfer goes from one account to another, with an amount like 12.50")
	}
	if err := kit.CheckID(o.ID); err != nil {
		return Transfer{}, err
	}
	for {
		t, err := b.attempt(ctx, o, amount)
		switch {
		case errors.Is(err, kit.ErrStale):
			continue // another transfer was faster
		case errors.Is(err, kit.ErrConflict):
			return Transfers.Read(ctx, b.client, o.ID)
		}
		return t, err
	}
}

func (b bank) attempt(ctx context.Context, o Order, amount int64) (Transfer, error) {
	from, err := Accounts.Read(ctx, b.client, o.From)
	if err != nil {
		return Transfer{}, err
	}
	to, err := Accounts.Read(ctx, b.client, o.To)
	if err != nil {
		return Transfer{}, err
	}
	has, err := from.cents()
	if err != nil {
		return Transfer{}, err
	}
	gets, err := to.cents()
	if err != nil {
		return Transfer{}, err
	}
	if has < amount {
		return Transfer{}, kit.Errorf(kit.ErrForbidden, from.Link, "the balance of %s does not cover %s", formatCents(has), o.Amount)
	}
	writes := []kit.Write{
		write(kit.VerbCreate, Transfers.Link(o.ID), 0, newTransfer(o.From, o.To, amount)),
		write(kit.VerbUpdate, from.Link, from.Version, from.with(has-amount)),
		write(kit.VerbUpdate, to.Link, to.Version, to.with(gets+amount)),
	}
	records, err := b.client.Batch(ctx, writes)
	if err != nil {
		return Transfer{}, err
	}
	return Transfers.Decode(records[0])
}

func write(v kit.Verb, l kit.Link, version int64, doc any) kit.Write {
	body, err := json.Marshal(doc)
	if err != nil {
		panic(fmt.Sprintf("ledger: %s: %v", l, err)) // plain structs always encode
	}
	return kit.Write{Verb: v, Link: l, Body: body, IfMatch: version}
}
