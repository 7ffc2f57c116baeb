package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit/rest"
)

// serveSingle serves a node in this process and returns its address and a
// token.
func serveSingle(t *testing.T) (url, token string) {
	t.Helper()
	s := newSingle()
	token, err := rest.Bootstrap(t.Context(), s.server.Client("services/"+rest.ServiceName))
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.server)
	t.Cleanup(func() {
		h.CloseClientConnections() // watches
		h.Close()
	})
	return h.URL, token
}

func flags() *flag.FlagSet {
	f := flag.NewFlagSet("test", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

func TestDocumentsAreFilledAndAskedFor(t *testing.T) {
	url, token := serveSingle(t)
	to := []string{"-urls", url + "," + url, "-token", token, "-keys", "1500"}
	f, err := fill(t.Context(), flags(), to)
	if err != nil || f.Documents != 1500 {
		t.Fatalf("filling 1500 documents: %+v, %v", f, err)
	}
	for _, op := range []string{"update", "linearizable", "leader", "eventual"} {
		for _, how := range []string{"-separate=false", "-separate"} {
			r, err := ask(t.Context(), flags(), append(to, "-op", op, how, "-clients", "8", "-warm", "0s", "-for", "50ms"))
			if err != nil || r.Requests < 8 || r.Failed != 0 || r.PerSecond <= 0 || r.Max < r.P99 || r.P99 < r.P50 {
				t.Errorf("%s by 8 clients, %s: %+v, %v", op, how, r, err)
			}
		}
	}
	if _, err := ask(t.Context(), flags(), append(to, "-op", "delete")); err == nil || !strings.Contains(err.Error(), `there is no operation "delete"`) {
		t.Errorf("an operation that there is not: %v", err)
	}
	if _, err := ask(t.Context(), flags(), append(to, "-keys", "2000000000", "-op", "eventual", "-for", "50ms", "-warm", "0s")); err == nil || !strings.Contains(err.Error(), "no such document") {
		t.Errorf("documents that there are not: %v", err)
	}
}

func TestAllWatchersAreTold(t *testing.T) {
	url, token := serveSingle(t)
	w, err := watch(t.Context(), flags(), []string{"-urls", url, "-token", token, "-watchers", "50"})
	if err != nil || w.Watchers != 50 || w.Told <= 0 {
		t.Errorf("50 watchers: %+v, %v", w, err)
	}
	if _, err := watch(t.Context(), flags(), []string{"-urls", url, "-token", "lf_wrong_token", "-watchers", "2"}); err == nil {
		t.Error("watchers with a wrong token saw a change")
	}
}

func TestWhatIsHeldIsMeasured(t *testing.T) {
	h, err := hold(t.Context(), flags(), []string{"-documents", "2000", "-indexed", "-measure", "memory,pause,list,reads,restore", "-for", "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []float64{h.Filled, h.Pause, h.Typical, h.Collection, h.Client, h.Store, h.List, h.Restored} {
		if v <= 0 {
			t.Errorf("something was not measured: %s", text)
		}
	}
	if h.Heap < 200 {
		t.Errorf("documents of 200 bytes take %v bytes of the heap", h.Heap)
	}
	if got := body(123456, 200); len(got) != 200 || !json.Valid(got) || !bytes.Contains(got, []byte(`"g1234"`)) {
		t.Errorf("a document's body of 200 bytes: %d bytes, %s", len(got), got)
	}
	if _, err := hold(t.Context(), flags(), []string{"-documents", "10", "-measure", "speed"}); err == nil || !strings.Contains(err.Error(), "use memory") {
		t.Errorf("a measure that there is not: %v", err)
	}
}

func TestWritesAreToldApartBySnapshots(t *testing.T) {
	var p phases
	at := time.Unix(0, 0)
	for _, w := range []struct {
		took   int // milliseconds
		making bool
	}{
		{50, false}, {9, true}, {2, true}, {3, false}, // where the first phase began was not seen
		{4, false}, {1, false}, {5, true}, {7, true}, {6, false}, {1, false}, {8, true},
	} {
		end := at.Add(time.Duration(w.took) * time.Millisecond)
		p.wrote(at, end, w.making)
		at = end
	}
	if want := []float64{9, 7}; !slices.Equal(p.during, want) {
		t.Errorf("the longest writes during snapshots are %v, want %v", p.during, want)
	}
	if want := []float64{4, 1}; !slices.Equal(p.between, want) {
		t.Errorf("the longest writes between snapshots are %v, want %v", p.between, want)
	}
	if want := []float64{5, 13}; !slices.Equal(p.took, want) {
		t.Errorf("the snapshots took %v, want %v", p.took, want)
	}
}

func TestCommandsThatThereAreNot(t *testing.T) {
	for _, args := range [][]string{nil, {"measure"}} {
		if err := run(context.Background(), args); err == nil || !strings.Contains(err.Error(), "node, fill, load, watch, pause or hold") {
			t.Errorf("kitload %v: %v", args, err)
		}
	}
}
