package notify

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"strings"
	"testing"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// mailServer takes mails by SMTP (RFC 5321) and hands them to the channel, with
// the recipients before them. It refuses those to refused@example.org, and puts
// off the first mail.
func mailServer(t *testing.T) (addr string, mails <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	taken := make(chan string, 10)
	go func() {
		for n := 0; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			converse(conn, n == 0, taken)
		}
	}()
	return l.Addr().String(), taken
}

func converse(conn net.Conn, busy bool, taken chan<- string) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	say := func(text string) { fmt.Fprintf(conn, "%s\r\n", text) }
	say("220 test")
	var to []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch word, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); {
		case word == "MAIL" && busy:
			say("451 try again")
		case word == "RCPT" && strings.Contains(line, "refused@"):
			say("550 no such user")
		case word == "RCPT":
			to = append(to, strings.Trim(strings.TrimSpace(line[len("RCPT TO:"):]), "<>"))
			say("250 ok")
		case word == "DATA":
			say("354 go on")
			var text strings.Builder
			for line, err = r.ReadString('\n'); err == nil && line != ".\r\n"; line, err = r.ReadString('\n') {
				text.WriteString(strings.TrimPrefix(line, "."))
			}
			say("250 taken")
			taken <- strings.Join(to, " ") + "\n" + text.String()
		case word == "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func TestMessagesOfJobsGoByTheResultBefore(t *testing.T) {
	addr, mails := mailServer(t)
	c := startWith(t, Config{Base: "http://hub", Mail: Mail{Server: addr, From: "Landfall <landfall@example.org>"}})
	if _, err := api.Users.Create(t.Context(), c.Admin(), "ada", api.User{Email: "ada@example.org"}); err != nil {
		t.Fatal(err)
	}
	spec := &api.JobSpec{Messages: []api.Announcement{
		{Via: api.ViaMail, To: []string{"team@example.org"}, Author: true, When: []api.Occasion{api.WhenFirstFailure}, Subject: "$JOB_NAME für $WHO\r\nX: y", Text: "see $BUILD_URL, $UNKNOWN"},
		{Via: api.ViaMail, To: []string{"team@example.org"}, When: []api.Occasion{api.WhenFixed}, HTML: true, Text: "<b>$JOB_NAME</b> for $WHO"},
		{To: []string{"#builds"}, When: []api.Occasion{api.WhenAlways}},
		{Via: api.ViaMail, To: []string{"refused@example.org"}, When: []api.Occasion{api.WhenStillFailure}},
	}}
	build := func(id string, state api.BuildState) {
		t.Helper()
		b := api.Build{Project: "ledger", Job: "nightly", Author: "users/ada", State: state, Spec: spec, Params: map[string]string{"WHO": "<you>"}}
		if state == api.BuildFailed {
			b.Error = "exit 1"
		}
		if _, err := api.Builds.Create(t.Context(), c.Admin(), id, b); err != nil {
			t.Fatal(err)
		}
		await(t, c, "message-"+id+"-2")
	}
	next := func() (*mail.Message, string, string) {
		t.Helper()
		select {
		case text := <-mails:
			to, text, _ := strings.Cut(text, "\n")
			m, err := mail.ReadMessage(strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				t.Fatal(err)
			}
			return m, to, strings.ReplaceAll(string(body), "\r\n", "\n")
		case <-time.After(time.Minute):
			t.Fatal("no mail came")
		}
		return nil, "", ""
	}

	build("b1", api.BuildFailed)
	m, to, body := next()
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if to != "team@example.org ada@example.org" || subject != "nightly für <you> X: y" || m.Header.Get("X") != "" || body != "see http://hub/builds/b1, $UNKNOWN\n\nhttp://hub/builds/b1\n" || err != nil {
		t.Errorf("to %s: %q, %q, %v", to, subject, body, err)
	}
	build("b2", api.BuildFailed)
	if n := await(t, c, "message-b2-3"); n.State != api.NoticeGivenUp || !strings.Contains(n.Error, "550") {
		t.Errorf("the refused mail: %s, %q", n.State, n.Error)
	}
	build("b3", api.BuildPassed)
	m, _, body = next()
	want := "<b>nightly</b> for &lt;you&gt;\n<p><a href=\"http://hub/builds/b3\">http://hub/builds/b3</a></p>\n"
	if m.Header.Get("Subject") != "nightly - Build b3 - Successful!" || m.Header.Get("Content-Type") != "text/html; charset=utf-8" || body != want {
		t.Errorf("when it was fixed: %q, %q, %q", m.Header.Get("Subject"), m.Header.Get("Content-Type"), body)
	}
	build("b4", api.BuildPassed)
	if len(mails) > 0 {
		t.Errorf("there is another mail: %s", <-mails)
	}
}

func TestOccasions(t *testing.T) {
	s, u, f, a := api.ResultSuccess, api.ResultUnstable, api.ResultFailure, api.ResultAborted
	for _, test := range []struct {
		now, before api.Result
		want        string
	}{
		{s, "", "always success changed"},
		{f, "", "always failure changed worse first-failure"},
		{s, s, "always success"},
		{s, f, "always success fixed changed better"},
		{u, f, "always unstable changed better first-unstable"},
		{u, u, "always unstable still-unstable"},
		{f, f, "always failure still-failure"},
		{a, s, "always aborted changed worse"},
	} {
		var got []string
		for _, w := range []api.Occasion{
			api.WhenAlways, api.WhenSuccess, api.WhenUnstable, api.WhenFailure, api.WhenAborted, api.WhenFixed, api.WhenChanged, api.WhenBetter, api.WhenWorse,
			api.WhenFirstFailure, api.WhenStillFailure, api.WhenFirstUnstable, api.WhenStillUnstable,
		} {
			if holds(w, test.now, test.before) {
				got = append(got, string(w))
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s after %q: %s, want %s", test.now, test.before, strings.Join(got, " "), test.want)
		}
	}
}

func TestMailsThatCannotBeSent(t *testing.T) {
	for want, m := range map[string]Mail{
		"start the hub with --smtp HOST:PORT":           {},
		`"nobody" is no address to send from`:           {Server: "127.0.0.1:1", From: "nobody"},
		"the mail server 127.0.0.1:1 could not be used": {Server: "127.0.0.1:1", From: "a@b"},
	} {
		err := m.send(t.Context(), api.Notice{To: "a@b.org"}, "")
		if err == nil || !strings.Contains(err.Error(), want) || kit.Temporary(err) != strings.Contains(want, "could not") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestAMailServersAddressIsChecked(t *testing.T) {
	for _, test := range []struct{ server, from, want string }{
		{"", "", ""},
		{"mail.example.org:587", "Landfall <landfall@example.org>", ""},
		{"[::1]:25", "landfall@localhost", ""},
		{"nohost", "landfall@localhost", `"nohost" is no mail server: write --smtp HOST:PORT`},
		{"mail:smtp", "landfall@localhost", "is no mail server"},
		{":25", "landfall@localhost", "is no mail server"},
		{"smtp://mail:25", "landfall@localhost", "is no mail server"},
		{"mail:25", "landfall", `"landfall" is no address to send from`},
	} {
		err := (Mail{Server: test.server, From: test.from}).Check()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%q from %q: %v, want %q", test.server, test.from, err, test.want)
		}
	}
}
