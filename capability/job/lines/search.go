package lines

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"time"

	"landfall.dev/api"
)

const (
	maxPattern = 1000            // bytes of a pattern
	maxSearch  = 256 << 10       // bytes of a line that are searched
	searchTime = 2 * time.Second // for one answer
	maxMatches = 200             // in one answer
	maxAround  = 10              // lines before and after each
	maxShown   = 500             // bytes of a line in an answer
	checkEvery = 1 << 10         // lines between looks at the time
	maxTitles  = 1000            // sections of a log
)

// Question is what is searched for.
type Question struct {
	Pattern string // RE2
	From    int64  // first line, from 1
	Limit   int    // of matches; 0 means as many as there may be
	Around  int    // lines to show before and after each
}

// Search returns the lines that match, as many as can be found in a short time.
func (l *Log) Search(ctx context.Context, q Question) (api.LogSearch, error) {
	found := api.LogSearch{Matches: []api.LogMatch{}}
	if q.Pattern == "" || len(q.Pattern) > maxPattern {
		return found, invalid("a search needs a pattern of up to %d bytes: ?q=RE", maxPattern)
	}
	re, err := regexp.Compile(q.Pattern)
	if err != nil {
		return found, invalid("%q is no regular expression: %v", q.Pattern, err)
	}
	if q.Around < 0 || q.Around > maxAround {
		return found, invalid("the context of a match has at most %d lines", maxAround)
	}
	if q.Limit <= 0 || q.Limit > maxMatches {
		q.Limit = maxMatches
	}
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	var before []string
	from := max(q.From, 1)
	_, err = l.each(from, l.total+1, maxSearch, func(n int64, text []byte, _ int64) bool {
		if len(found.Matches) == q.Limit && !wanting(found.Matches, n, q.Around) || n%checkEvery == 0 && ctx.Err() != nil {
			if found.Next == 0 {
				found.Next = n
			}
			return false
		}
		text = plain(text)
		follow(found.Matches, n, q.Around, text)
		if len(found.Matches) < q.Limit && re.Match(text) {
			found.Matches = append(found.Matches, api.LogMatch{Line: n, Text: shown(text), Before: before})
			before = nil
		} else if len(found.Matches) == q.Limit && found.Next == 0 {
			found.Next = n
		}
		if q.Around > 0 {
			before = append(before[max(0, len(before)-q.Around+1):len(before):len(before)], shown(text))
		}
		return true
	})
	return found, err
}

// wanting tells whether the line n is after the last match and to be shown
// with it.
func wanting(m []api.LogMatch, n int64, around int) bool {
	return len(m) > 0 && n <= m[len(m)-1].Line+int64(around)
}

// follow shows the line n with the last match if it is near.
func follow(m []api.LogMatch, n int64, around int, text []byte) {
	if wanting(m, n, around) {
		last := &m[len(m)-1]
		last.After = append(last.After, shown(text))
	}
}

func shown(text []byte) string {
	return strings.ToValidUTF8(string(text[:min(len(text), maxShown)]), "�")
}

// escape is a sequence of a terminal: CSI, OSC and the like with their ends, or
// what is left of one.
var escape = regexp.MustCompile(`\x1b(?:\[[0-?]*[ -/]*[@-~]?|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)`)

// plain is a line as a terminal shows it at last, without colours.
func plain(text []byte) []byte {
	if bytes.IndexByte(text, 0x1b) >= 0 {
		text = escape.ReplaceAll(text, nil)
	}
	text = bytes.TrimRight(text, "\r")
	return text[bytes.LastIndexByte(text, '\r')+1:]
}

// titles are what the lines begin with that begin sections.
var titles = [][]byte{[]byte("--- "), []byte("+++ "), []byte("~~~ "), []byte("::group::")}

// Sections returns the first sections.
func (l *Log) Sections(ctx context.Context) ([]api.LogSection, error) {
	found := []api.LogSection{}
	_, err := l.each(1, l.total+1, 2*maxShown, func(n int64, text []byte, _ int64) bool {
		if title, ok := title(text); ok {
			found = append(found, api.LogSection{Line: n, Title: title})
		}
		return len(found) < maxTitles && (n%checkEvery != 0 || ctx.Err() == nil)
	})
	if err == nil {
		err = ctx.Err()
	}
	return found, err
}

func title(text []byte) (string, bool) {
	if len(text) == 0 || text[0] == 0x1b {
		text = plain(text)
	}
	for _, t := range titles {
		if rest, ok := bytes.CutPrefix(text, t); ok {
			rest = bytes.TrimSpace(plain(rest))
			return shown(rest), len(rest) > 0
		}
	}
	return "", false
}
