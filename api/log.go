package api

import "landfall.dev/kit"

// LogSeal is the answer to POST /logs/BUILD/seal?attempt=N: what the hub has of
// the attempt's log, which is durable from then on.
type LogSeal struct {
	Size   int64      `json:"size"`
	Lines  int64      `json:"lines"`
	Digest kit.Digest `json:"digest"`
}

// LogWindow is a part of a build's log: GET /logs/BUILD/lines?from=A&to=B has
// the lines from A up to but not B, numbered from 1; without A the last ones. It
// is shorter than asked for where the log ends or the part is full: at most
// MaxWindowLines lines of at most MaxWindowBytes bytes.
type LogWindow struct {
	First int64     `json:"first"` // number of the first line
	Lines []LogLine `json:"lines"`
	Total int64     `json:"total"` // lines of the log so far, without one that has not ended
	// After is where a follower of GET /logs/BUILD goes on: ?from=AFTER.
	After string `json:"after"`
}

// The limits of a LogWindow.
const (
	MaxWindowLines = 2000
	MaxWindowBytes = 2 << 20
)

// LogLine is a line of a log, with its escape sequences, without its end.
type LogLine struct {
	Text string `json:"text"`
	// Cut is how many bytes are left out at its end.
	Cut int64 `json:"cut,omitempty"`
}

// LogSearch is the answer to GET /logs/BUILD/search?q=RE: the lines, without
// their escape sequences, that a regular expression (RE2) matches, from the
// line ?from= on.
type LogSearch struct {
	Matches []LogMatch `json:"matches"`
	// Next is the line to go on from, if it has not come to the end of the log; 0
	// if it has.
	Next int64 `json:"next,omitempty"`
}

// LogMatch is a line that was searched for, and those around it.
type LogMatch struct {
	Line   int64    `json:"line"`
	Text   string   `json:"text"`
	Before []string `json:"before,omitempty"`
	After  []string `json:"after,omitempty"`
}

// LogSection is a part of a log with a title: GET /logs/BUILD/sections. A line
// "--- TITLE", "+++ TITLE", "~~~ TITLE" or "::group::TITLE" begins one.
type LogSection struct {
	Line  int64  `json:"line"`
	Title string `json:"title"`
}
