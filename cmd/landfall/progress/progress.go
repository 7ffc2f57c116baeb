// Package progress shows how far long work has come.
package progress

import (
	"io"
	"os"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// Bar shows how far long work has come: on a terminal by a bar that
// moves below the lines that are written to it. Elsewhere it passes the lines
// on, and they have to say it. Its methods must not be called concurrently.
type Bar struct {
	out io.Writer
	all *mpb.Progress // nil unless out is a terminal
	bar *mpb.Bar
}

// New returns a bar with the name below what is written to out.
func New(out io.Writer, name string) *Bar {
	p := &Bar{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.all = mpb.New(mpb.WithOutput(f), mpb.WithWidth(60), mpb.WithAutoRefresh())
		p.bar = p.all.AddBar(0,
			mpb.PrependDecorators(decor.Name(name)),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d")))
	}
	return p
}

// Write writes whole lines above the bar.
func (p *Bar) Write(lines []byte) (int, error) {
	if p.all == nil {
		return p.out.Write(lines)
	}
	return p.all.Write(lines)
}

// Set moves the bar.
func (p *Bar) Set(done, total int64) {
	if p.all != nil {
		p.bar.SetTotal(total, false)
		p.bar.SetCurrent(done)
	}
}

// Close leaves the bar as it is and returns once all is on the screen.
func (p *Bar) Close() {
	if p.all != nil {
		p.bar.Abort(false)
		p.all.Wait()
	}
}
