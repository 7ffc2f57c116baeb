package wire

import (
	"sync"

	"github.com/hashicorp/raft"
)

// pipeline is one of raft's, closed behind the last answer that raft takes
// from it.
type pipeline struct {
	raft.AppendPipeline
	answers chan raft.AppendFuture
	closed  chan struct{}
	once    sync.Once
	forget  func(*pipeline)
}

// newPipeline returns a pipeline that works while forward does.
func newPipeline(inner raft.AppendPipeline, forget func(*pipeline)) *pipeline {
	return &pipeline{AppendPipeline: inner, answers: make(chan raft.AppendFuture), closed: make(chan struct{}), forget: forget}
}

// Consumer returns the answers.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// forward hands on the answers up to the last that raft takes, or until the
// pipeline is closed.
func (p *pipeline) forward() {
	for {
		select {
		case f := <-p.AppendPipeline.Consumer():
			ends := last(f) // f is not read any more once it is handed on
			select {
			case p.answers <- f:
			case <-p.closed:
				return
			}
			if ends {
				_ = p.Close()
				return
			}
		case <-p.closed:
			return
		}
	}
}

// last tells whether raft takes no further answer after f.
func last(f raft.AppendFuture) bool {
	return f.Error() != nil || !f.Response().Success || f.Response().Term > f.Request().Term
}

// Close makes whoever sends, or is about to, go on with an error.
func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	p.once.Do(func() {
		close(p.closed)
		p.forget(p)
	})
	return err
}
