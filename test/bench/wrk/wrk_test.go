package wrk

import (
	"strings"
	"testing"
	"time"
)

func TestWhatWrkSaysIsUnderstood(t *testing.T) {
	const said = `Running 2s test @ http://127.0.0.1:9001/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     2.43ms    1.50ms  31.11ms   89.08%
    Req/Sec    26.79k     2.31k   30.05k    70.00%
  Latency Distribution
     50%  780.00us
     75%    2.76ms
     90%    3.80ms
     99%    1.02s
  53310 requests in 2.00s, 17.03MB read
`
	for _, c := range []struct {
		what   string
		said   string
		failed int
		err    string
	}{
		{"all answered", said + "Requests/sec:  26640.11\nTransfer/sec:      8.51MB\n", 0, ""},
		{"failures", said + "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 90\nRequests/sec:  26640.11\n", 100, ""},
		{"nothing", "unable to connect to 127.0.0.1:9001 Connection refused\n", 0, "Connection refused"},
		{"a time that is none", strings.Replace(said, "1.02s", "soon", 1) + "Requests/sec:  26640.11\n", 0, `"soon"`},
	} {
		r, err := parse(c.said)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: got the error %v, want %q", c.what, err, c.err)
			}
			continue
		}
		if err != nil || r.Requests != 53310 || r.PerSecond != 26640.11 || r.P50 != 0.78 || r.P99 != 1020 || r.Failed != c.failed {
			t.Errorf("%s: got %+v, %v", c.what, r, err)
		}
	}
}

func TestSecondsAreRoundedUp(t *testing.T) {
	for d, want := range map[time.Duration]int{0: 1, time.Millisecond: 1, time.Second: 1, 1100 * time.Millisecond: 2, 8 * time.Second: 8} {
		if got := Seconds(d); got != want {
			t.Errorf("Seconds(%v): got %d, want %d", d, got, want)
		}
	}
}
