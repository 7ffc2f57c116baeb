package task

import (
	"context"
	"sync"
	"time"

	"landfall.dev/kit"
)

// reportPause is the least time between two reports of an action that are
// kept.
const reportPause = time.Second

// reporter keeps the reports of an errand. It implements kit.Reporter.
type reporter struct {
	errand  *errand
	writing sync.Mutex // held while a report is written

	mu     sync.Mutex
	latest *kit.Report
	kept   time.Time   // when one was written last
	timer  *time.Timer // will write the latest
	closed bool
}

func (p *reporter) Report(r kit.Report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = &r
	if p.timer == nil && !p.closed {
		p.timer = time.AfterFunc(time.Until(p.kept.Add(reportPause)), p.write)
	}
}

func (p *reporter) Last(ctx context.Context) kit.Report {
	if r := p.last(); r != nil {
		return *r
	}
	if r := p.errand.earlier(ctx, p.errand.doc.link, p.errand.op.ID).Progress; r != nil {
		return *r
	}
	return kit.Report{}
}

func (p *reporter) last() *kit.Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.latest
}

func (p *reporter) write() {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.mu.Lock()
	p.timer, p.kept = nil, time.Now()
	closed := p.closed
	p.mu.Unlock()
	if !closed {
		p.errand.tell(p.errand.doc.ctx, p.errand.noteOf(Running, ""))
	}
}

// open and close enclose an attempt. After close nothing is written any more.
func (p *reporter) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = false
}

func (p *reporter) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	p.writing.Lock() // waits for one that is being written
	p.writing.Unlock()
}
