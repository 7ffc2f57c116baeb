package calls

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

// Pass returns the job to have another server answer the calls, in one
// request: forward makes the request r there and answers it on w. Answered is
// told of each answer.
func Pass(cs []Call, in *http.Request, forward func(w http.ResponseWriter, r *http.Request), answered func(c Call, status int)) Job {
	return func(give func(Answer)) {
		var body []byte
		p := &passing{header: http.Header{}, give: give, answered: answered, left: make(map[int]Call, len(cs))}
		for _, c := range cs {
			body = append(append(body, c.line...), '\n')
			p.left[c.ID] = c
		}
		r := in.Clone(in.Context())
		r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		func() {
			defer func() {
				// The connection broke in the middle of the answer.
				if e := recover(); e != nil && e != http.ErrAbortHandler {
					panic(e)
				}
			}()
			forward(p, r)
		}()
		p.end()
	}
}

// passing is the answer of another server, which comes line by line.
type passing struct {
	header   http.Header
	status   int
	rest     []byte // of a line, or of the body of what is no answer to calls
	give     func(Answer)
	answered func(Call, int)
	left     map[int]Call // without an answer
}

func (p *passing) Header() http.Header { return p.header }

func (p *passing) WriteHeader(status int) {
	if p.status == 0 && status >= 200 {
		p.status = status
	}
}

// Write implements http.ResponseWriter.
func (p *passing) Write(b []byte) (int, error) {
	p.WriteHeader(http.StatusOK)
	p.rest = append(p.rest, b...)
	if p.status != http.StatusOK {
		return len(b), nil
	}
	for {
		end := bytes.IndexByte(p.rest, '\n')
		if end < 0 {
			return len(b), nil
		}
		line := p.rest[:end]
		p.rest = p.rest[end+1:]
		if a, err := ReadAnswer(line); err == nil {
			p.pass(a)
		}
	}
}

// FlushError is for http.ResponseController: nothing is held back.
func (p *passing) FlushError() error { return nil }

// pass gives the answer to a call that has none yet.
func (p *passing) pass(a Answer) {
	c, ok := p.left[a.ID]
	if !ok {
		return
	}
	delete(p.left, a.ID)
	p.give(a)
	p.answered(c, a.Status)
}

// end answers the calls that have no answer: the refusal of the whole request
// is that of each.
func (p *passing) end() {
	refused := p.status != http.StatusOK && p.status != 0
	refusal := inLine(p.rest)
	for id, c := range p.left {
		a := c.lost()
		if refused && !(c.Reads() && p.status == http.StatusGatewayTimeout) {
			a = Answer{ID: id, Status: p.status, Header: p.header, Body: refusal}
		}
		p.pass(a)
	}
}
