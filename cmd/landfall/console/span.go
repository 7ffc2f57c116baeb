package console

import (
	"strconv"
	"time"
)

// Span is how long something took, in seconds: until now if it has not ended,
// and nothing if it has not begun.
func Span(from, to time.Time) string {
	switch {
	case from.IsZero():
		return ""
	case to.IsZero():
		to = time.Now()
	}
	return strconv.FormatFloat(to.Sub(from).Seconds(), 'f', 1, 64)
}
