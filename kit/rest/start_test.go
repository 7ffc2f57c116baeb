package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
	"landfall.dev/kit/store"
)

// leading is a node that leads.
type leading struct{ rest.Node }

func (leading) Leader() (string, bool)        { return "", true }
func (leading) CatchUp(context.Context) error { return nil }

func TestNodeThatStartsRefusesNoToken(t *testing.T) {
	for _, path := range []string{"/api/notes", "/api/notes/1", "/whoami"} {
		for _, test := range []struct {
			name   string
			after  time.Duration // the node is there
			status int
		}{
			{"soon", time.Second, http.StatusUnauthorized},
			{"not soon", time.Minute, http.StatusServiceUnavailable},
		} {
			synctest.Test(t, func(t *testing.T) {
				kinds := store.NewKinds()
				s := rest.New(rest.Options{Store: store.New(kinds), Kinds: kinds})
				notes := kittest.NotesService()
				notes.Serves = []kit.Route{{Pattern: "/whoami", Handler: http.NotFoundHandler()}}
				s.Add(notes)
				time.AfterFunc(test.after, func() { s.Attach(leading{}) })
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.Header.Set("Authorization", "Bearer lf_x_y")
				r.Header.Set("Accept", "text/event-stream")
				w := httptest.NewRecorder()
				s.ServeHTTP(w, r)
				if w.Code != test.status {
					t.Errorf("%s, whose node is there %s: %d %s, want %d", path, test.name, w.Code, w.Body, test.status)
				}
				time.Sleep(test.after)
			})
		}
	}
}
