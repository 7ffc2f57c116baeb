package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
)

// pauseRounds is how often processes measure their pauses: as kitload says.
const pauseRounds = 9

// holder is a kitload hold that measures its pauses when it is told to.
type holder struct {
	cmd   *exec.Cmd
	turns io.WriteCloser
	lines *bufio.Scanner
	errs  bytes.Buffer
}

// startHolder starts a process that holds documents.
func (m *measurement) startHolder(ctx context.Context, program string, documents int, measure string) (*holder, error) {
	h := &holder{cmd: exec.CommandContext(ctx, program, "hold", "-documents", strconv.Itoa(documents),
		"-size", strconv.Itoa(documentBytes), "-measure", measure, "-turns")}
	h.cmd.Dir, h.cmd.Stderr = m.dir, &h.errs
	in, err := h.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	h.turns, h.lines = in, bufio.NewScanner(out)
	return h, h.cmd.Start()
}

// turn has it measure one round.
func (h *holder) turn() error {
	if _, err := fmt.Fprintln(h.turns); err != nil {
		return h.failed(err)
	}
	if !h.lines.Scan() {
		return h.failed(io.ErrUnexpectedEOF)
	}
	return nil
}

// result returns what was measured, and ends the process.
func (h *holder) result() (r held, err error) {
	if !h.lines.Scan() {
		return r, h.failed(io.ErrUnexpectedEOF)
	}
	if err := json.Unmarshal(h.lines.Bytes(), &r); err != nil {
		return r, h.failed(err)
	}
	return r, h.cmd.Wait()
}

// failed ends the process because of err.
func (h *holder) failed(err error) error {
	_ = h.turns.Close()
	_ = h.cmd.Process.Kill()
	_ = h.cmd.Wait() // what it said says more
	return fmt.Errorf("kitload hold: %w: %s", err, strings.TrimSpace(h.errs.String()))
}

// holdBoth has two processes hold many and few documents. They measure their
// pauses in turn, so that whatever else the machine does is in both.
func (m *measurement) holdBoth(ctx context.Context, program string, documents int) (many, few held, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends both
	of := make([]*holder, 2)
	for i, n := range []int{documents, min(fewDocuments, documents/10)} {
		if of[i], err = m.startHolder(ctx, program, n, []string{"memory,pause", "pause"}[i]); err != nil {
			return many, few, err
		}
	}
	for range pauseRounds {
		for _, h := range of {
			if err := h.turn(); err != nil {
				return many, few, err
			}
		}
	}
	if many, err = of[0].result(); err == nil {
		few, err = of[1].result()
	}
	return many, few, err
}
