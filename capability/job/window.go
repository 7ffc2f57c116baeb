package job

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"landfall.dev/api"
	"landfall.dev/capability/job/lines"
	"landfall.dev/kit"
)

// look calls f with the log of the build that the request is about, and answers
// with what that returns.
func (l logServer) look(f func(*http.Request, api.Build, *lines.Log) (any, error)) http.Handler {
	return kit.Handler(func(w http.ResponseWriter, r *http.Request) error {
		b, err := l.asked(r)
		if err != nil {
			return err
		}
		in, err := l.open(r.Context(), b)
		if err != nil {
			return err
		}
		defer in.Close()
		log, err := lines.Open(in, l.logs.index(logName(b)), over(b))
		if err != nil {
			return &kit.Error{Op: "job.log", Link: b.Link, Err: err}
		}
		answer, err := f(r, b, log)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
		return nil
	})
}

// window answers GET /logs/BUILD/lines, see api.LogWindow.
func window(r *http.Request, b api.Build, log *lines.Log) (any, error) {
	from, err := lineNumber(r, b, "from")
	if err != nil {
		return nil, err
	}
	to, err := lineNumber(r, b, "to")
	if err != nil {
		return nil, err
	}
	w, end, err := log.Window(from, to)
	w.After = fmt.Sprintf("%d.%d", max(b.Attempt, 1), end)
	return w, err
}

// search answers GET /logs/BUILD/search, see api.LogSearch.
func search(r *http.Request, b api.Build, log *lines.Log) (any, error) {
	from, err := lineNumber(r, b, "from")
	if err != nil {
		return nil, err
	}
	limit, err := lineNumber(r, b, "limit")
	if err != nil {
		return nil, err
	}
	around, err := lineNumber(r, b, "around")
	if err != nil {
		return nil, err
	}
	return log.Search(r.Context(), lines.Question{Pattern: r.FormValue("q"), From: from, Limit: int(limit), Around: int(around)})
}

// sections answers GET /logs/BUILD/sections, see api.LogSection.
func sections(r *http.Request, _ api.Build, log *lines.Log) (any, error) {
	return log.Sections(r.Context())
}

// lineNumber reads a number of lines, 0 if it is not given.
func lineNumber(r *http.Request, b api.Build, name string) (int64, error) {
	text := r.FormValue(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 1 {
		return 0, kit.Errorf(kit.ErrInvalid, b.Link, "?%s=%s: lines are counted from 1", name, text)
	}
	return n, nil
}
