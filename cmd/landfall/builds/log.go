package builds

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"landfall.dev/api"
	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
)

// asked is what a log is asked for.
type asked struct {
	from, to    int64
	search      string
	around      int
	raw, follow bool
}

func logCommand(h Hub) *cobra.Command {
	var a asked
	c := &cobra.Command{
		Use: "log BUILD", Short: "Print a build's log, live while it runs, or a part of it", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return a.print(c, h, args[0]) },
	}
	f := c.Flags()
	f.Int64Var(&a.from, "from", 0, "the first line to print, from 1")
	f.Int64Var(&a.to, "to", 0, "the last line to print")
	f.StringVar(&a.search, "search", "", "print the lines that a regular expression (RE2) matches, with their numbers")
	f.IntVarP(&a.around, "context", "C", 0, "with --search: so many lines before and after each, up to 10")
	f.BoolVar(&a.raw, "raw", false, "print the bytes of the log so far, as the build wrote them")
	f.BoolVarP(&a.follow, "follow", "f", true, "go on while the build runs")
	c.MarkFlagsMutuallyExclusive("search", "raw")
	c.MarkFlagsMutuallyExclusive("search", "to")
	c.MarkFlagsMutuallyExclusive("raw", "from")
	c.MarkFlagsMutuallyExclusive("raw", "to")
	return c
}

func (a asked) print(c *cobra.Command, h Hub, id string) error {
	path := "/logs/" + url.PathEscape(id)
	switch {
	case a.from < 0 || a.to < 0 || a.to > 0 && a.to < a.from:
		return fmt.Errorf("there are no lines from %d to %d: they are numbered from 1", a.from, a.to)
	case a.search != "":
		return a.find(c, h, path)
	case a.from > 0 || a.to > 0:
		return a.window(c, h, path)
	case a.raw || !a.follow:
		text, err := h.Transfer(c.Context(), http.MethodGet, path, nil)
		if err != nil {
			return err
		}
		defer text.Close()
		_, err = io.Copy(c.OutOrStdout(), text)
		return err
	}
	return follow(c.Context(), h, id, c.OutOrStdout())
}

// window prints lines from a.from to a.to, part by part.
func (a asked) window(c *cobra.Command, h Hub, path string) error {
	for next := max(a.from, 1); ; {
		query := url.Values{"from": {strconv.FormatInt(next, 10)}}
		if a.to > 0 {
			query.Set("to", strconv.FormatInt(a.to+1, 10))
		}
		var w api.LogWindow
		if err := h.Ask(c.Context(), http.MethodGet, path+"/lines?"+query.Encode(), &w); err != nil {
			return err
		}
		for _, line := range w.Lines {
			if line.Cut > 0 {
				line.Text += fmt.Sprintf(" … %d bytes more", line.Cut)
			}
			if _, err := fmt.Fprintln(c.OutOrStdout(), line.Text); err != nil {
				return err
			}
		}
		next += int64(len(w.Lines))
		if len(w.Lines) == 0 || next > w.Total || a.to > 0 && next > a.to {
			return nil
		}
	}
}

// find prints what matches, as grep does.
func (a asked) find(c *cobra.Command, h Hub, path string) error {
	all := []api.LogMatch{}
	for next := max(a.from, 1); next > 0; {
		query := url.Values{"q": {a.search}, "from": {strconv.FormatInt(next, 10)}}
		if a.around > 0 {
			query.Set("around", strconv.Itoa(a.around))
		}
		var found api.LogSearch
		if err := h.Ask(c.Context(), http.MethodGet, path+"/search?"+query.Encode(), &found); err != nil {
			return err
		}
		next = found.Next
		if h.JSON() {
			all = append(all, found.Matches...)
			continue
		}
		for _, m := range found.Matches {
			printMatch(c.OutOrStdout(), m)
		}
	}
	if h.JSON() {
		return console.WriteJSON(c.OutOrStdout(), all)
	}
	return nil
}

func printMatch(w io.Writer, m api.LogMatch) {
	for i, line := range m.Before {
		fmt.Fprintf(w, "%d-%s\n", m.Line-int64(len(m.Before))+int64(i), line)
	}
	fmt.Fprintf(w, "%d:%s\n", m.Line, m.Text)
	for i, line := range m.After {
		fmt.Fprintf(w, "%d-%s\n", m.Line+int64(i)+1, line)
	}
	if len(m.Before)+len(m.After) > 0 {
		fmt.Fprintln(w, "--")
	}
}

// A hub that is away is waited for, for some time after it was last heard.
const (
	awayPause = time.Second
	awayLimit = time.Minute
)

// follow prints a log until the build has ended. If the hub goes away meanwhile,
// it goes on when that is back.
func follow(ctx context.Context, h Hub, id string, w io.Writer) error {
	place, heard := "", time.Now()
	for {
		path := "/logs/" + url.PathEscape(id)
		if place != "" {
			path += "?from=" + url.QueryEscape(place)
		}
		events, err := h.Follow(ctx, path)
		if err == nil {
			heard = time.Now()
			var ended bool
			ended, err = printEvents(w, events, &place)
			_ = events.Close() // it was read
			if ended {
				return nil
			}
		}
		var broken *outputError
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &broken):
			return broken.err
		case err != nil && !kit.Temporary(err) || time.Since(heard) > awayLimit:
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(awayPause):
		}
	}
}

// outputError is an error of the place that a log is written to.
type outputError struct{ err error }

func (e *outputError) Error() string { return e.err.Error() }

// printEvents writes the texts of a log's Server-Sent Events until the event
// "end", or until they break off, and notes where to go on.
func printEvents(w io.Writer, r io.Reader, place *string) (ended bool, err error) {
	s := bufio.NewScanner(r)
	s.Buffer(nil, 4<<20)
	id := ""
	for s.Scan() {
		line := s.Text()
		if line == "event: end" {
			return true, nil
		}
		if after, ok := strings.CutPrefix(line, "id: "); ok {
			id = after
		}
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		var text string
		if err := json.Unmarshal([]byte(data), &text); err != nil {
			return false, nil // it broke off
		}
		if _, err := io.WriteString(w, text); err != nil {
			return false, &outputError{err}
		}
		*place = id
	}
	return false, nil
}
