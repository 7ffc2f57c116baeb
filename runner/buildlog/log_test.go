package buildlog

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

func testLog(t *testing.T) *Log {
	t.Helper()
	l, err := New(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.file.Close() })
	return l
}

func write(t *testing.T, l *Log, text string) {
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
			l.End()
			if err := l.Send(t.Context(), r.append); err != nil {
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
			err := l.Send(t.Context(), func(_ context.Context, offset int64, part []byte) (int64, error) {
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
		l.End()
		if last, more := <-arrived; more {
			t.Errorf("%q arrived at the end", last)
		}
	})
}

var errLost = errors.New("lost")

func TestLogOfALostLeaseIsGivenUp(t *testing.T) {
	l := testLog(t)
	write(t, l, "x")
	lost := &farLog{fail: func(*farLog) error { return kit.ErrConflict }}
	if err := l.Send(t.Context(), lost.append); !errors.Is(err, kit.ErrConflict) || lost.calls != 1 {
		t.Errorf("send: %v after %d calls, want a conflict at the first", err, lost.calls)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errLost)
	if err := testLog(t).Send(ctx, lost.append); !errors.Is(err, errLost) {
		t.Errorf("send: %v, want %v", err, errLost)
	}
}

func TestLogHasALimit(t *testing.T) {
	l, r := testLog(t), &farLog{}
	l.limit = 1000
	write(t, l, strings.Repeat("a", 600))
	write(t, l, strings.Repeat("b", 600))
	write(t, l, "dropped")
	if err := l.Say("dropped too"); err != nil {
		t.Fatal(err)
	}
	l.End()
	if err := l.Send(t.Context(), r.append); err != nil {
		t.Fatal(err)
	}
	if len(r.data) != 1000 || l.Length() != 1000 || !bytes.HasSuffix(r.data, []byte(FullLine)) || bytes.Contains(r.data, []byte("dropped")) {
		t.Errorf("%d bytes arrived of %d, the last %q; want 1000 and %q", len(r.data), l.Length(), r.data[900:], FullLine)
	}
}

func TestRunnersOwnLinesStandAlone(t *testing.T) {
	l, r := testLog(t), &farLog{}
	write(t, l, "unfinished")
	for range 2 {
		if err := l.Say("note"); err != nil {
			t.Fatal(err)
		}
	}
	l.End()
	if err := l.Send(t.Context(), r.append); err != nil || string(r.data) != "unfinished\n--- note\n--- note\n" {
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

func TestALogIsReopened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	l, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, "begun\n")
	from := l.Length()
	write(t, l, "one\ntwo\nthr")
	far := &farLog{data: []byte("begun\none\n")}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = Reopen(path, from, false); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	l.Repeat(from)
	write(t, l, "one\nt")
	if l.Repeated() {
		t.Error("a part of what there is was repeated, and it says that all was")
	}
	l.Repeat(from)
	for _, part := range []string{"one\nt", "wo\nthree\n", "four"} {
		write(t, l, part)
	}
	if !l.Repeated() {
		t.Error("all that there is was repeated, and it says that some was not")
	}
	if err := l.Say("five"); err != nil {
		t.Fatal(err)
	}
	l.End()
	if err := l.Send(t.Context(), far.append); err != nil {
		t.Fatal(err)
	}
	const want = "begun\none\ntwo\nthree\nfour\n--- five\n"
	if string(far.data) != want || l.Missing() != 0 {
		t.Errorf("%q arrived, %d lines missing; want %q", far.data, l.Missing(), want)
	}
	seal, err := l.Total()
	if err != nil || seal.Size != int64(len(want)) || seal.Lines != 6 || seal.Digest != kit.DigestOf([]byte(want)) {
		t.Errorf("the whole is %+v, error %v", seal, err)
	}

	other, err := Reopen(path, from, true)
	if err != nil || other.Length() != from {
		t.Fatalf("cut to %d bytes, error %v; want %d", other.Length(), err, from)
	}
	defer other.Close()
	write(t, other, "one\n")
	other.Repeat(from)
	write(t, other, "two\n")
	if other.Missing() != -1 {
		t.Errorf("another text than before: %d lines are missing, want that nobody knows", other.Missing())
	}
}

func TestLinesOverTheLimitAreCounted(t *testing.T) {
	l := testLog(t)
	l.limit = 1000
	write(t, l, strings.Repeat("a line\n", 300))
	if l.Missing() != 300-(1000-int64(len(FullLine)))/7 {
		t.Errorf("%d lines are missing of 300", l.Missing())
	}
}
