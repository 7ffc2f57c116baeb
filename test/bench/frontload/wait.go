package main

import (
	"bufio"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// waited is the result of wait.
type waited struct {
	Requests int    `json:"requests"`
	Failed   int    `json:"failed"` // those without an answer, or with one that is not 200
	Failure  string `json:"failure,omitempty"`
}

// What is sent: half of the requests are writes.
const (
	get  = "GET /api/items/1 HTTP/1.1\r\nHost: bench\r\nAccept: application/json\r\n\r\n"
	post = "POST /api/items HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 204\r\n\r\n"
)

// wait sends the requests, each on a connection of its own, and waits for the
// answers.
func wait(ctx context.Context, flags *flag.FlagSet, args []string) (waited, error) {
	var w waited
	address := flags.String("address", "", "where the requests go")
	flags.IntVar(&w.Requests, "requests", 10_000, "how many there are")
	limit := flags.Duration("limit", time.Minute, "the time after which what is not answered has failed")
	if err := flags.Parse(args); err != nil {
		return w, err
	}
	if err := descriptors(uint64(w.Requests + spare)); err != nil {
		return w, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("there was no answer in %v", *limit))
	defer cancel()
	errs := make([]error, w.Requests)
	var g sync.WaitGroup
	for i := range errs {
		c, err := send(ctx, *address, i%2 == 1)
		if errs[i] = err; err == nil {
			g.Go(func() { errs[i] = receive(ctx, c) })
		}
	}
	g.Wait()
	for _, err := range errs {
		if err != nil {
			w.Failed++
			w.Failure = cmp.Or(w.Failure, err.Error())
		}
	}
	return w, nil
}

// send opens a connection and sends a request.
func send(ctx context.Context, address string, write bool) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	request := get
	if write {
		request = post + strings.Repeat("x", len(body))
	}
	if _, err := io.WriteString(c, request); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// receive waits for the answer, and closes c.
func receive(ctx context.Context, c net.Conn) error {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	res, err := http.ReadResponse(bufio.NewReaderSize(c, 1024), nil)
	if err != nil {
		return cmp.Or(context.Cause(ctx), err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && (res.StatusCode != http.StatusOK || len(answer) != len(body)) {
		err = fmt.Errorf("it was answered %s: %s", res.Status, answer)
	}
	return err
}
