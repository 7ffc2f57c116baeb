package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// words are the functions of the templates.
var words = template.FuncMap{
	"job":     jobPath,
	"file":    filePath,
	"path":    func(l kit.Link) string { return "/" + string(l) },
	"shown":   shown,
	"ago":     func(t time.Time) string { return ago(t, time.Now()) },
	"utc":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
	"span":    func(from, to time.Time) string { return span(from, to, time.Now()) },
	"short":   func(s any) string { return short(fmt.Sprint(s)) }, // of any string type
	"image":   image,
	"size":    size,
	"count":   func(n int64) string { return count(n) },
	"plus":    func(n int) string { return fmt.Sprintf("%+d", n) },
	"pause":   func(d api.Duration) string { return brief(d.Std()) },
	"secs":    func(s float64) string { return brief(time.Duration(s * float64(time.Second))) },
	"latency": func(d api.Duration) string { return fmt.Sprintf("%.1f ms", 1000*float64(d)) },
	"rate":    func(f float64) string { return count(int64(f)) },
}

// shown tells whether there is a page for the document.
func shown(l kit.Link) bool {
	return l.ID() != "" && slices.Contains([]string{
		api.Projects.Name, api.Pushes.Name, api.Changes.Name, api.Jobs.Name, api.Builds.Name, api.Runners.Name, api.Reports.Name, api.Tests.Name, api.Inventories.Name, api.Runs.Name, api.Releases.Name,
		api.Channels.Name, api.Environments.Name, api.Deployments.Name, api.Upgrades.Name,
	}, l.Kind())
}

// ago tells how long before now t was.
func ago(t, now time.Time) string {
	d := now.Sub(t)
	switch {
	case t.IsZero():
		return "never"
	case d < 5*time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	case d < 60*24*time.Hour:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
	return t.UTC().Format("2006-01-02")
}

// span tells how long it is from one time to another; what has not ended goes
// on until now, what has not begun is nothing.
func span(from, to, now time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = now
	}
	return brief(max(to.Sub(from), 0))
}

// brief writes d with about three digits.
func brief(d time.Duration) string {
	switch {
	case d == 0:
		return "0 s"
	case d < time.Millisecond:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
}

// short returns the first digits of a commit or a digest.
func short(s string) string {
	s = strings.TrimPrefix(s, "sha256:")
	return s[:min(len(s), 12)]
}

// image returns the name of an image with the first digits of its digest.
func image(s string) string {
	name, digest, ok := strings.Cut(s, "@")
	if !ok {
		return s
	}
	return name + "@" + short(digest)
}

// size writes a number of bytes.
func size(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f := float64(n)
	e := min(int(math.Log10(f)/3), 4)
	return fmt.Sprintf("%.1f %cB", f/math.Pow(1000, float64(e)), " kMGT"[e])
}

// count writes n with its thousands apart.
func count(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
