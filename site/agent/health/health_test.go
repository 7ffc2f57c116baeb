package health

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/site/agent/doors"
)

// done is what front doors have done.
type done doors.Total

func (d *done) Total() doors.Total { return doors.Total(*d) }

func TestTheDoorIsLookedAtSinceTheLastTime(t *testing.T) {
	d := &done{}
	h := New(d, nil)
	for _, step := range []struct {
		requests, failed uint64
		bucket           int // that the requests since the step before are in
		errors, p99      float64
	}{
		{1000, 500, 200, 0, 0}, // what was before does not count
		{1100, 520, 3, 0.2, 4e-6},
		{1105, 525, 100, 0, 0}, // too few to tell
		{1120, 530, 3, 0.5, 0.026624},
		{1220, 530, 3, 0, 4e-6},
	} {
		d.Latencies[step.bucket] += step.requests - d.Requests
		d.Requests, d.Failed = step.requests, step.failed
		for query, want := range map[string]float64{api.CheckErrors: step.errors, api.CheckLatency: step.p99} {
			got, err := h.Value(t.Context(), api.Upgrade{}, api.Check{Name: query, Query: query})
			if err != nil || got != want {
				t.Errorf("after %d requests %s is %v, %v; want %v", step.requests, query, got, err, want)
			}
		}
	}
}

func TestFailedTestsAreOne(t *testing.T) {
	failed := false
	h := New(nil, func(context.Context, api.Upgrade) (bool, error) { return failed, nil })
	for _, failed = range []bool{false, true} {
		want := map[bool]float64{true: 1}[failed]
		if got, err := h.Value(t.Context(), api.Upgrade{}, api.Check{Query: api.CheckTests}); err != nil || got != want {
			t.Errorf("failed %t: %v, %v; want %v", failed, got, err, want)
		}
	}
}

func TestPrometheusIsAsked(t *testing.T) {
	answer, status := "", http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/v1/query" || r.FormValue("query") != "up > 0" {
			t.Errorf("asked %s", r.URL)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	c := api.Check{Name: "up", URL: server.URL + "/", Query: "up > 0"}
	for _, test := range []struct {
		answer string
		status int
		want   float64
		err    string
	}{
		{`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[1,"0.5"]},{"metric":{},"value":[1,"2.5"]}]}}`, 200, 2.5, ""},
		{`{"status":"success","data":{"resultType":"scalar","result":[1,"-3"]}}`, 200, -3, ""},
		{`{"status":"success","data":{"resultType":"vector","result":[]}}`, 200, 0, "no value"},
		{`{"status":"success","data":{"resultType":"matrix","result":[]}}`, 200, 0, "is a matrix"},
		{`{"status":"error","error":"parse error at char 1"}`, 400, 0, "parse error at char 1"},
		{`<html>`, 502, 0, "not as Prometheus"},
	} {
		answer, status = test.answer, test.status
		got, err := New(nil, nil).Value(t.Context(), api.Upgrade{}, c)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v, %v; want %v, %q", test.answer, got, err, test.want, test.err)
		}
	}
}
