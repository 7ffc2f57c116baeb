package main

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
)

// printEvents writes the texts of a log's Server-Sent Events until the event
// "end".
func printEvents(w io.Writer, r io.Reader) error {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 4<<20)
	for s.Scan() {
		line := s.Text()
		if line == "event: end" {
			return nil
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var text string
		if err := json.Unmarshal([]byte(data), &text); err != nil {
			return err
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	if s.Err() != nil {
		return s.Err()
	}
	return io.ErrUnexpectedEOF
}
