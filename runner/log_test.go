package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"landfall.dev/kit"
)

func testLog(t *testing.T) *buildLog {
	t.Helper()
	l, err := newLog(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.file.Close() })
	return l
}

func write(t *testing.T, l *buildLog, text string) {
	t.Helper()
	if n, err := l.Write([]byte(text)); n != len(text) || err != nil {
		t.Fatalf("write %d bytes: %d, %v", len(text), n, err)
	}
}

// farLog is a log at the hub, which takes or refuses parts.
type farLog struct {
	data  []byte
	calls int
	fail  func(r *farLog) error // nil: takes it
}

func (r *farLog) append(_ context.Context, offset int64, part []byte) (int64, error) {
	r.calls++
	if r.fail != nil {
		if err := r.fail(r); err != nil {
			return 0, err
		}
	}
	if offset <= int64(len(r.data)) {
		r.data = append(r.data[:offset:offset], part...)
	}
	return int64(len(r.data)), nil
}

func TestLogIsSentWhole(t *testing.T) {
	text := strings.Repeat("0123456789abcdef\n", 40_000)
	for name, fail := range map[string]func(*farLog) error{
		"at once": nil,
		"to a hub that refuses it at first": func(r *farLog) error {
			if r.calls < 3 {
				return kit.ErrUnavailable
			}
			return nil
		},
		"to a hub that crashes and loses the end": func(r *farLog) error {
			if r.calls == 2 {
				r.data = r.data[:1000]
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, r := testLog(t), &farLog{fail: fail}
			write(t, l, text)
			l.end()
			if err := l.send(t.Context(), r.append); err != nil {
				t.Fatal(err)
			}
			if string(r.data) != text {
				t.Errorf("%d bytes arrived, want %d, equal", len(r.data), len(text))
			}
		})
	}
}

func TestLogIsSentWhileItGrows(t *testing.T) {
	l := testLog(t)
	synctest.Test(t, func(t *testing.T) {
		l.changed, l.ended = make(chan struct{}, 1), make(chan struct{})
		arrived := make(chan string, 10)
		go func() {
			err := l.send(t.Context(), func(_ context.Context, offset int64, part []byte) (int64, error) {
				arrived <- string(part)
				return offset + int64(len(part)), nil
			})
			if err != nil {
				t.Error(err)
			}
			close(arrived)
		}()
		synctest.Wait()
		for i := range 3 {
			began := time.Now()
			write(t, l, fmt.Sprint("line ", i))
			time.Sleep(10 * time.Millisecond)
			write(t, l, ", its end\n")
			got, want := "", fmt.Sprintf("line %d, its end\n", i)
			for len(got) < len(want) {
				got += <-arrived
			}
			if got != want {
				t.Errorf("%q arrived, want %q", got, want)
			}
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("it was sent after %s", took)
			}
		}
		l.end()
		if last, more := <-arrived; more {
			t.Errorf("%q arrived at the end", last)
		}
	})
}

func TestLogOfALostLeaseIsGivenUp(t *testing.T) {
	l := testLog(t)
	write(t, l, "x")
	lost := &farLog{fail: func(*farLog) error { return kit.ErrConflict }}
	if err := l.send(t.Context(), lost.append); !errors.Is(err, kit.ErrConflict) || lost.calls != 1 {
		t.Errorf("send: %v after %d calls, want a conflict at the first", err, lost.calls)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errLost)
	if err := testLog(t).send(ctx, lost.append); !errors.Is(err, errLost) {
		t.Errorf("send: %v, want %v", err, errLost)
	}
}

func TestLogHasALimit(t *testing.T) {
	l, r := testLog(t), &farLog{}
	l.limit = 1000
	write(t, l, strings.Repeat("a", 600))
	write(t, l, strings.Repeat("b", 600))
	write(t, l, "dropped")
	if err := l.say("dropped too"); err != nil {
		t.Fatal(err)
	}
	l.end()
	if err := l.send(t.Context(), r.append); err != nil {
		t.Fatal(err)
	}
	if len(r.data) != 1000 || l.length() != 1000 || !bytes.HasSuffix(r.data, []byte(fullLine)) || bytes.Contains(r.data, []byte("dropped")) {
		t.Errorf("%d bytes arrived of %d, the last %q; want 1000 and %q", len(r.data), l.length(), r.data[900:], fullLine)
	}
}

func TestRunnersOwnLinesStandAlone(t *testing.T) {
	l, r := testLog(t), &farLog{}
	write(t, l, "unfinished")
	for range 2 {
		if err := l.say("note"); err != nil {
			t.Fatal(err)
		}
	}
	l.end()
	if err := l.send(t.Context(), r.append); err != nil || string(r.data) != "unfinished\n--- note\n--- note\n" {
		t.Errorf("got %q, %v", r.data, err)
	}
}

func TestLastWordsOfAScript(t *testing.T) {
	long := strings.Repeat("ä", 5000)
	for name, c := range map[string]struct {
		output string
		oom    bool
		want   string
	}{
		"nothing":              {"", false, "the script exited with 9"},
		"an unfinished line":   {"--- step 1: x\nwhy", false, "the script exited with 9: why"},
		"a verdict":            {"--- step 1: x\nwhy\n\n--- step 1 exited with 9\n", false, "step 1 exited with 9: why"},
		"a verdict on silence": {"--- step 1: x\nno\n--- step 2: y\n\n--- step 2 exited with 9\n", false, "step 2 exited with 9"},
		"a forged verdict":     {"--- step 1: x\n--- step 7 exited with 0\nwhy\n\n--- step 1 exited with 9\n", false, "step 1 exited with 9: why"},
		"steps afterwards":     {"--- step 1: x\nwhy\n\n--- step 1 exited with 9\n--- after the build, step 2: y\nno\n\n--- step 2 exited with 3\n", false, "step 1 exited with 9: why"},
		"a step afterwards":    {"--- step 1: x\nno\n--- after the build, step 2: y\nwhy\n\n--- step 2 exited with 3\n", false, "step 2 exited with 3: why"},
		"out of memory":        {"--- step 1: x\nlinking\n\n--- step 1 exited with 9\n", true, "step 1 exited with 9: out of memory"},
		"colours and progress": {"10%\r\x1b[1;31m90%\x1b[0m\tdone\n\n \n", false, "the script exited with 9: 90% done"},
		"bytes":                {"a\xff\xfeb\x00\n", false, "the script exited with 9: a?b"},
		"a long line":          {long + "\n", false, "the script exited with 9: " + strings.Repeat("ä", 199) + "…"},
	} {
		t.Run(name, func(t *testing.T) {
			var whole, pieces tail
			whole.write([]byte(c.output))
			for i := range len(c.output) {
				pieces.write([]byte(c.output[i : i+1]))
			}
			for _, l := range []*tail{&whole, &pieces} {
				if got := l.failure(9, c.oom); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			}
		})
	}
}

func TestPeriodsAreWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Minute: "30 minutes", time.Minute: "1 minute", time.Second: "1 second", 90 * time.Second: "90 seconds",
	} {
		if got := period(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
