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
	"slices"
	"strings"
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
	Door         string // that it went through
	Write        bool
	Err          error
}

// Load sends transfers, reads, and deletions of transfers through the front
// doors, as any HTTP client would: once each, at a steady rate.
type Load struct {
	path  *Path
	token string
	http  http.Client
	tag   string
	rate  int
	end   context.CancelFunc
	done  chan struct{}
	next  int // number of a request

	mu    sync.Mutex
	doors []string
	sent  int
	all   []*transfer
	kept  []*transfer // acknowledged, and nobody has asked to delete them
	// receipts were acknowledged.
	receipts []*transfer
	fails    []Failure
}

// transfer is what the load knows of one that it has sent. Those of a cent from
// one account to another whose answer was lost may have happened or not.
type transfer struct {
	id       string
	from, to int
	began    time.Time
	acked    bool
	paper    string // of a receipt, which then it is instead
	deleting bool   // somebody has asked for that
	deleted  bool   // and it was acknowledged
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
	p.Insist("the platform has an administrator's token", func(context.Context) error {
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
	l := &Load{path: p, token: p.ledgerToken(), tag: fmt.Sprintf("t%d", time.Now().UnixMilli()), rate: rate, doors: []string{p.Front}}
	l.http = http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	l.Start()
	p.t.Cleanup(l.stop)
	return l
}

// Start begins to send requests again, after Finish.
func (l *Load) Start() {
	ctx, cancel := context.WithCancel(l.path.t.Context())
	l.end, l.done = cancel, make(chan struct{})
	go l.run(ctx, l.rate)
}

// Through makes the requests that follow go through the front doors with the
// URLs in turn.
func (l *Load) Through(urls ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.doors = urls
}

// Rest ends the load until Start, without any check.
func (l *Load) Rest() { l.stop() }

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
	for ; ; l.next++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			i := l.next
			g.Go(func() { l.request(context.WithoutCancel(ctx), i) })
		}
	}
}

// request is the i-th. Of eight, four read an account, three move a cent, but one
// of these is a receipt every now and then, and one deletes a transfer.
func (l *Load) request(ctx context.Context, i int) {
	f := Failure{Began: time.Now(), Write: i%2 == 1}
	a := rand.IntN(Accounts)
	l.mu.Lock()
	f.Door = l.doors[i/8%len(l.doors)]
	t := l.subject(i, a)
	l.mu.Unlock()
	switch {
	case t == nil:
		_, f.Err = l.through(ctx, f.Door, http.MethodGet, fmt.Sprintf("/api/accounts/a%d", a), nil)
	case t.deleting:
		_, f.Err = l.through(ctx, f.Door, http.MethodDelete, "/api/transfers/"+t.id, nil)
		if errors.Is(f.Err, kit.ErrNotFound) {
			f.Err = nil // the door has asked twice
		}
	case t.paper != "":
		f.Err = l.receipt(ctx, f.Door, t)
	default:
		body := fmt.Sprintf(`{"id":%q,"from":"a%d","to":"a%d","amount":"0.01"}`, t.id, t.from, t.to)
		_, f.Err = l.through(ctx, f.Door, http.MethodPost, "/transfer", strings.NewReader(body))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent++
	switch {
	case f.Err != nil:
		f.Ended = time.Now()
		l.fails = append(l.fails, f)
	case t == nil:
	case t.deleting:
		t.deleted = true
	case t.paper != "":
		l.receipts = append(l.receipts, t)
	default:
		t.acked = true
		l.kept = append(l.kept, t)
	}
}

// subject returns what the i-th request sends or deletes, nil if it reads. The
// caller holds mu.
func (l *Load) subject(i, a int) *transfer {
	switch {
	case i%2 == 0 || i%8 == 7 && len(l.kept) == 0:
		return nil
	case i%8 == 7:
		n := rand.IntN(len(l.kept))
		t := l.kept[n]
		l.kept = slices.Delete(l.kept, n, n+1)
		t.deleting = true
		return t
	}
	if i%receiptEvery == 5 {
		id := fmt.Sprintf("%s-%d", l.tag, i)
		return &transfer{id: id, began: time.Now(), paper: strings.Repeat("paper of "+id+"\n", 1+rand.IntN(2000))}
	}
	t := &transfer{id: fmt.Sprintf("%s-%d", l.tag, i), from: a, to: (a + 1 + rand.IntN(Accounts-1)) % Accounts, began: time.Now()}
	l.all = append(l.all, t)
	return t
}

// receiptEvery is how many requests have one receipt among them.
const receiptEvery = 40

// receipt puts the paper as a blob, and then the receipt that names it.
func (l *Load) receipt(ctx context.Context, door string, t *transfer) error {
	paper := kit.DigestOf([]byte(t.paper))
	if _, err := l.through(ctx, door, http.MethodPut, "/kit/blobs/"+string(paper), strings.NewReader(t.paper)); err != nil {
		return fmt.Errorf("put a paper: %w", err)
	}
	return l.create(ctx, door, t)
}

// create creates the receipt, with its id as the idempotency key: so it may be
// asked for twice.
func (l *Load) create(ctx context.Context, door string, t *transfer) error {
	body := fmt.Sprintf(`{"paper":%q}`, kit.DigestOf([]byte(t.paper)))
	_, err := l.through(ctx, door, http.MethodPost, "/api/receipts?id="+t.id, strings.NewReader(body), "Idempotency-Key", t.id)
	return err
}

func (l *Load) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	return l.through(ctx, l.path.Front, method, path, bytes.NewReader(body))
}

func (l *Load) through(ctx context.Context, door, method, path string, body io.Reader, header ...string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, door+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+l.token)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
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
