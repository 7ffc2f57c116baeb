package kit_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"landfall.dev/kit"
)

func TestAHandlerAnswersWithItsErrorAsAProblem(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		status int
		body   string // is in the answer
		retry  string
	}{
		{"no error leaves the answer alone", nil, http.StatusOK, "fine", ""},
		{"a refusal says why", kit.Errorf(kit.ErrConflict, "notes/a", "the note is sealed"), http.StatusConflict, "the note is sealed", ""},
		{"what may pass says when to come back", &kit.Error{Fault: kit.ErrUnavailable, Detail: "no leader"}, http.StatusServiceUnavailable, "no leader", "1"},
		{"a defect keeps its cause to itself", errors.New("secret path"), http.StatusInternalServerError, "internal server error", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := httptest.NewRecorder()
			kit.Handler(func(w http.ResponseWriter, _ *http.Request) error {
				if test.err == nil {
					_, _ = w.Write([]byte("fine"))
				}
				return test.err
			}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/x", nil))
			body := w.Body.String()
			if w.Code != test.status || !strings.Contains(body, test.body) || strings.Contains(body, "secret") {
				t.Errorf("answered %d %s, want %d with %q", w.Code, body, test.status, test.body)
			}
			if got := w.Header().Get("Retry-After"); got != test.retry {
				t.Errorf("Retry-After is %q, want %q", got, test.retry)
			}
			if kind := w.Header().Get("Content-Type"); test.err != nil && kind != "application/problem+json" {
				t.Errorf("Content-Type is %q, want a problem detail", kind)
			}
		})
	}
}
