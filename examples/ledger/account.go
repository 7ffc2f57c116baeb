package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"landfall.dev/kit"
)

// schema tells versions of the ledger apart whose nodes must not share a
// cluster.
const schema = "ledger-1"

// Accounts hold money. The id is chosen by whoever opens one.
var Accounts = kit.Define[Account]("accounts")

// Account is somebody's money.
type Account struct {
	kit.Meta
	Owner string `json:"owner"`
	// Balance is an amount with two decimals: "12.50".
	Balance string `json:"balance"`
}

// Transfers are movements of money. The id is chosen by the sender, so that a
// repeat is recognised.
var Transfers = kit.Define[Transfer]("transfers")

// Transfer is a movement of money that has happened.
type Transfer struct {
	kit.Meta
	From   string `json:"from"`
	To     string `json:"to"`
	Amount string `json:"amount"`
}

// cents returns the account's balance.
func (a Account) cents() (int64, error) { return parseCents(a.Balance) }

// with returns a with the balance.
func (a Account) with(cents int64) Account {
	a.Balance = formatCents(cents)
	return a
}

// newTransfer returns the document of a movement.
func newTransfer(from, to string, cents int64) Transfer {
	return Transfer{From: from, To: to, Amount: formatCents(cents)}
}

// newAccount returns the document of an account.
func newAccount(holder string, cents int64) Account {
	return Account{Owner: holder}.with(cents)
}

// nextAccount refuses accounts that make no sense.
func nextAccount(a Account, _ kit.Event, _ time.Time) (Account, []kit.Op) {
	if a.Owner == "" {
		return a, kit.Refuse(kit.ErrInvalid, "an account needs an owner")
	}
	if c, err := a.cents(); err != nil || c < 0 {
		return a, kit.Refuse(kit.ErrInvalid, "the balance %q is not an amount like 12.50", a.Balance)
	}
	return a, nil
}

// parseCents reads an amount with two decimals.
func parseCents(s string) (int64, error) {
	whole, part, ok := strings.Cut(s, ".")
	if ok && len(part) == 2 {
		if n, err := strconv.ParseInt(whole+part, 10, 64); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("%q is not an amount like 12.50", s)
}

// formatCents writes an amount of zero or more.
func formatCents(c int64) string { return fmt.Sprintf("%d.%02d", c/100, c%100) }
