package calls

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
)

// sent is a response that remembers what each flush sent.
type sent struct {
	*httptest.ResponseRecorder
	parts []string
}

func (s *sent) Flush() {
	s.parts = append(s.parts, s.Body.String())
	s.Body.Reset()
}

func read(t *testing.T, lines ...string) []Call {
	t.Helper()
	calls, err := Read([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return calls
}

func TestAnswersComeWhenTheyAreReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan struct{})
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/api/n/slow" {
				<-slow
			}
			w.Header().Set("Etag", `"1"`)
			fmt.Fprintf(w, "%q\n", r.URL.Path)
		})
		in := httptest.NewRequest("POST", Path, nil)
		var jobs []Job
		for _, c := range read(t, `{"id":1,"method":"GET","path":"/api/n/slow"}`, `{"id":2,"method":"GET","path":"/api/n/a"}`) {
			jobs = append(jobs, By(h, c, c.Request(in)))
		}
		w := &sent{ResponseRecorder: httptest.NewRecorder()}
		go Serve(w, jobs)
		synctest.Wait()
		if len(w.parts) != 1 || w.parts[0] != `{"id":2,"status":200,"headers":{"Etag":"\"1\""},"body":"/api/n/a"}`+"\n" {
			t.Errorf("while one waits, %q was sent, want the other's answer", w.parts)
		}
		close(slow)
		synctest.Wait()
		if got := w.Body.String(); !strings.Contains(got, `"/api/n/slow"`) || len(w.parts) != 1 {
			t.Errorf("at the end there was %q, want the slow one's answer, and no flush", got)
		}
	})
}

func TestAnswersThatAreReadyTogetherGoTogether(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	synctest.Test(t, func(t *testing.T) {
		var lines []string
		for i := range MaxCalls {
			lines = append(lines, fmt.Sprintf(`{"id":%d,"method":"DELETE","path":"/api/n/a"}`, i))
		}
		var jobs []Job
		for _, c := range read(t, lines...) {
			jobs = append(jobs, By(h, c, c.Request(httptest.NewRequest("POST", Path, nil))))
		}
		w := httptest.NewRecorder()
		Serve(w, jobs)
		seen := map[int]bool{}
		for line := range strings.Lines(w.Body.String()) {
			a, err := ReadAnswer([]byte(line))
			if err != nil || a.Status != 204 || len(a.Body) > 0 {
				t.Errorf("the answer %q: %+v, %v", line, a, err)
			}
			seen[a.ID] = true
		}
		if len(seen) != MaxCalls {
			t.Errorf("%d of %d calls were answered", len(seen), MaxCalls)
		}
	})
}

func TestACallIsARequestOfTheSameSender(t *testing.T) {
	in := httptest.NewRequest("POST", Path, nil)
	in.Header = http.Header{"Authorization": {"Bearer x"}, "Landfall-Position": {"1.1"}, "X-Forwarded-For": {"10.0.0.1"}, "Content-Type": {ContentType}, "Landfall-Vouch": {"of another path"}}
	c := read(t, `{"id":1,"method":"PATCH","path":"/api/n/a%20b?x=1","headers":{"landfall-position":"2.2","If-Match":"\"1\""},"body":{"a":1}}`)[0]
	r := c.Request(in)
	body, err := io.ReadAll(r.Body)
	if err != nil || string(body) != `{"a":1}` || r.ContentLength != 7 || r.Method != "PATCH" || r.URL.Path != "/api/n/a b" || r.URL.RawQuery != "x=1" || r.RemoteAddr != in.RemoteAddr {
		t.Errorf("the request is %+v with %s, %v", r, body, err)
	}
	want := "map[Authorization:[Bearer x] If-Match:[\"1\"] Landfall-Position:[2.2] X-Forwarded-For:[10.0.0.1]]"
	if got := fmt.Sprint(r.Header); got != want {
		t.Errorf("its headers are %s, want %s", got, want)
	}
	if in.Method != "POST" || in.Header.Get("If-Match") != "" {
		t.Error("the request that it came in was changed")
	}
}

func TestHandlerThatBreaksOffLosesItsAnswerOnly(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/n/broken" {
			panic(http.ErrAbortHandler)
		}
	})
	var jobs []Job
	for _, c := range read(t, `{"id":0,"method":"GET","path":"/api/n/broken"}`, `{"id":1,"method":"PATCH","path":"/api/n/broken"}`, `{"id":2,"method":"GET","path":"/api/n/a"}`) {
		jobs = append(jobs, By(h, c, c.Request(httptest.NewRequest("POST", Path, nil))))
	}
	w := httptest.NewRecorder()
	Serve(w, jobs)
	statuses := statusesOf(t, w.Body.String())
	if fmt.Sprint(statuses) != "map[0:503 1:504 2:200]" {
		t.Errorf("the answers are %v, want 503 and 504 for the broken read and write, 200 for the other", statuses)
	}
}

func statusesOf(t *testing.T, lines string) map[int]int {
	t.Helper()
	statuses := map[int]int{}
	for line := range strings.Lines(lines) {
		a, err := ReadAnswer([]byte(line))
		if err != nil {
			t.Errorf("%q: %v", line, err)
		}
		statuses[a.ID] = a.Status
	}
	return statuses
}

func TestCallsArePassedOnTogether(t *testing.T) {
	lines := []string{`{"id":5,"method":"GET","path":"/api/n/a"}`, `{"id":6,"method":"PATCH","path":"/api/n/a","body":{}}`, `{"id":7,"method":"DELETE","path":"/api/n/b"}`}
	for name, test := range map[string]struct {
		forward func(w http.ResponseWriter)
		want    string
	}{
		"answered": {func(w http.ResponseWriter) {
			for _, part := range []string{`{"id":7,"status":204}` + "\n" + `{"id":6,"sta`, `tus":200}` + "\n", `{"id":7,"status":500}` + "\n" + `{"id":9,"status":200}` + "\n" + `{"id":5,"status":404}` + "\n"} {
				_, _ = io.WriteString(w, part)
			}
		}, "map[5:404 6:200 7:204]"},
		"refused": {func(w http.ResponseWriter) {
			w.WriteHeader(429)
			_, _ = io.WriteString(w, `{"status":429}`)
		}, "map[5:429 6:429 7:429]"},
		"the answer is lost": {func(w http.ResponseWriter) { w.WriteHeader(504) }, "map[5:503 6:504 7:504]"},
		"broken in the middle": {func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, `{"id":6,"status":200}`+"\n"+`{"id":7,"st`)
			panic(http.ErrAbortHandler)
		}, "map[5:503 6:200 7:504]"},
	} {
		in := httptest.NewRequest("POST", Path, strings.NewReader("all of it"))
		answered := map[int]int{}
		job := Pass(read(t, lines...), in, func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != strings.Join(lines, "\n")+"\n" {
				t.Errorf("%s: passed on %q, %v, want the lines", name, body, err)
			}
			test.forward(w)
		}, func(c Call, status int) { answered[c.ID] = status })
		w := httptest.NewRecorder()
		Serve(w, []Job{job})
		if got := fmt.Sprint(statusesOf(t, w.Body.String())); got != test.want || fmt.Sprint(answered) != test.want {
			t.Errorf("%s: answered by %s, told of %v, want %s", name, got, answered, test.want)
		}
	}
}
