package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"landfall.dev/kit"
)

// Accounts is how many the ledger is filled with, each with openingCents.
const (
	Accounts     = 300
	openingCents = 100_000
)

// Failure is a request that failed.
type Failure struct {
	Began, Ended time.Time
	Err          error
}

// Load sends transfers and reads through the front door, as any HTTP client
// would: once each, at a steady rate.
type Load struct {
	path  *Path
	token string
	http  http.Client
	tag   string
	end   context.CancelFunc
	done  chan struct{}

	mu    sync.Mutex
	sent  int
	acked []transfer
	fails []Failure
}

// transfer is one that was acknowledged.
type transfer struct {
	id    string
	began time.Time
}

// Fill puts the accounts into the first version.
func (p *Path) Fill() {
	p.t.Helper()
	if _, err := run(p.t.Context(), "", nil, p.bin.Ledger, "seed", "-count", fmt.Sprint(Accounts), "-url", p.Front, "-token", p.ledgerToken()); err != nil {
		p.t.Fatal(err)
	}
}

// ledgerToken is that of the platform's administrator in unknown, as any of
// its versions have it.
func (p *Path) ledgerToken() string {
	p.t.Helper()
	token := ""
	p.insist("the platform has an administrator's token", func(context.Context) error {
		found, err := filepath.Glob(p.Dir("unknown/groups/*/0/admin.token"))
		if err != nil || len(found) == 0 {
			return fmt.Errorf("there is none yet (%w)", err)
		}
		b, err := os.ReadFile(found[0])
		token = string(bytes.TrimSpace(b))
		return err
	})
	return token
}

// NewLoad starts a load of so many requests a second.
func (p *Path) NewLoad(rate int) *Load {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	l := &Load{path: p, token: p.ledgerToken(), tag: fmt.Sprintf("t%d", time.Now().UnixMilli()), end: cancel, done: make(chan struct{})}
	l.http = http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	p.t.Cleanup(l.stop)
	go l.run(ctx, rate)
	return l
}

func (l *Load) stop() {
	l.end()
	<-l.done
}

func (l *Load) run(ctx context.Context, rate int) {
	defer close(l.done)
	var g sync.WaitGroup
	defer g.Wait()
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.Go(func() { l.request(context.WithoutCancel(ctx), i) })
		}
	}
}

// request reads an account, or every other time moves a cent.
func (l *Load) request(ctx context.Context, i int) {
	began := time.Now()
	a := rand.IntN(Accounts)
	id := ""
	var err error
	if i%2 == 0 {
		_, err = l.do(ctx, http.MethodGet, fmt.Sprintf("/api/accounts/a%d", a), nil)
	} else {
		id = fmt.Sprintf("%s-%d", l.tag, i)
		b := (a + 1 + rand.IntN(Accounts-1)) % Accounts
		body := fmt.Sprintf(`{"id":%q,"from":"a%d","to":"a%d","amount":"0.01"}`, id, a, b)
		_, err = l.do(ctx, http.MethodPost, "/transfer", []byte(body))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	if err != nil {
		l.fails = append(l.fails, Failure{began, time.Now(), err})
	} else if id != "" {
		l.acked = append(l.acked, transfer{id, began})
	}
}

func (l *Load) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, l.path.Front+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	res, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: %w", res.Status, kit.DecodeProblem(res.StatusCode, b))
	}
	return b, nil
}

// Finish ends the load and checks that every acknowledged transfer is there, and
// that no money came or went. It returns the
// requests that failed.
func (l *Load) Finish() []Failure {
	t := l.path.t
	t.Helper()
	l.stop()
	lost := 0
	for _, a := range l.acked {
		_, err := l.do(t.Context(), http.MethodGet, "/api/transfers/"+a.id, nil)
		if err != nil && !errors.Is(err, kit.ErrNotFound) {
			t.Errorf("transfer %s was acknowledged: %v", a.id, err)
		}
		if err != nil {
			lost++
			t.Logf("transfer %s was acknowledged: %v", a.id, err)
		}
	}
	t.Logf("the load: %d requests, %d failed; of %d acknowledged transfers %d are lost", l.sent, len(l.fails), len(l.acked), lost)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged transfers are lost", lost, len(l.acked))
	}
	if len(l.acked) == 0 {
		t.Error("no transfer was acknowledged: the load did not work")
	}
	l.balance()
	return l.fails
}

// account is an account of the ledger's second version.
type account struct {
	kit.Meta
	Balance int64 `json:"balance"` // cents
}

var accounts = kit.Define[account]("accounts")

// balance checks the sum of all accounts.
func (l *Load) balance() {
	t := l.path.t
	t.Helper()
	client := l.path.client(l.path.Front, l.token)
	sum, count := int64(0), 0
	for a, err := range accounts.All(t.Context(), client, `link.startsWith("accounts/a")`, "") {
		if err != nil {
			t.Errorf("list the accounts: %v", err)
			return
		}
		sum, count = sum+a.Balance, count+1
	}
	if count != Accounts || sum != Accounts*openingCents {
		t.Errorf("there are %d accounts with %d cents, want %d with %d", count, sum, Accounts, Accounts*openingCents)
	}
}

// AwaitAnswer waits until the platform answers again through the front door,
// with a leader.
func (l *Load) AwaitAnswer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, err := l.do(ctx, http.MethodGet, "/api/accounts/a0", nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the front door does not answer: %w", err)
		case <-tick.C:
		}
	}
}
