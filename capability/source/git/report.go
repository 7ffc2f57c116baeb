package git

import (
	"fmt"
	"io"
	"strings"
)

// report is the answer to a push: report-status or report-status-v2, after
// the messages if the client takes them.
type report struct {
	push     *Push
	unpack   string // why the objects were not taken, or empty
	reasons  []string
	refs     [][]string
	messages []string
}

func newReport(p *Push) *report {
	return &report{push: p, reasons: make([]string, len(p.Commands)), refs: make([][]string, len(p.Commands))}
}

// refuse gives reason to every command that has none yet.
func (p *report) refuse(reason string) {
	for i := range p.reasons {
		if p.reasons[i] == "" {
			p.reasons[i] = reason
		}
	}
}

// refused reports how many commands have a reason.
func (p *report) refused() int {
	n := 0
	for _, reason := range p.reasons {
		if reason != "" {
			n++
		}
	}
	return n
}

func (p *report) write(w io.Writer) error {
	var status, out []byte
	if p.push.has("report-status") || p.push.has("report-status-v2") {
		status = p.status()
	}
	if !p.push.has("side-band-64k") {
		_, err := w.Write(status)
		return err
	}
	for _, message := range p.messages {
		out = appendBand(out, 2, []byte(strings.TrimSuffix(message, "\n")+"\n"))
	}
	out = appendBand(out, 1, status)
	_, err := w.Write(append(out, flush...))
	return err
}

func (p *report) status() []byte {
	unpack := "ok"
	if p.unpack != "" {
		unpack = oneLine(p.unpack)
	}
	out := appendPacket(nil, "unpack "+unpack+"\n")
	for i, c := range p.push.Commands {
		if p.reasons[i] != "" {
			out = appendPacket(out, fmt.Sprintf("ng %s %s\n", c.Ref, oneLine(p.reasons[i])))
			continue
		}
		if len(p.refs[i]) == 0 || !p.push.has("report-status-v2") {
			out = appendPacket(out, fmt.Sprintf("ok %s\n", c.Ref))
			continue
		}
		for _, ref := range p.refs[i] {
			out = appendPacket(out, fmt.Sprintf("ok %s\n", c.Ref))
			out = appendPacket(out, fmt.Sprintf("option refname %s\n", ref))
		}
	}
	return append(out, flush...)
}

// oneLine makes a reason fit into its packet.
func oneLine(reason string) string {
	reason = strings.Join(strings.Fields(reason), " ")
	return reason[:min(len(reason), 2000)]
}
