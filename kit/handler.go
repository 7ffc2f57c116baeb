package kit

import (
	"log/slog"
	"net/http"
)

// Handler returns f as a handler that answers with the error of f as a problem
// detail. It is for f to fail before it has written anything.
func Handler(f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := f(w, r)
		if err == nil {
			return
		}
		if FaultOf(err) == ErrInternal && r.Context().Err() == nil {
			slog.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		}
		WriteProblem(w, err)
	})
}

// WriteProblem answers with err as a problem detail. What caused it is left
// out, as in EncodeProblem.
func WriteProblem(w http.ResponseWriter, err error) {
	body, status := EncodeProblem(err)
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if f := Fault(status); f == ErrUnavailable || f == ErrTooMany {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
