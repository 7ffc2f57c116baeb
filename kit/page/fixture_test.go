package page_test

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/platform"
	"landfall.dev/kit/rest"
)

// Account is a document of the platform that the tests look at.
type Account struct {
	kit.Meta
	Owner   string   `json:"owner"`
	Balance int64    `json:"balance"`
	Frozen  bool     `json:"frozen,omitempty"`
	Note    string   `json:"note,omitempty"`
	Tags    []string `json:"tags,omitempty"`
}

var accounts = kit.Define[Account]("accounts", kit.Index("owner"), kit.Index("balance"), kit.History(3))

// nextAccount is the life of an Account: it has an owner, and takes deposits.
func nextAccount(a Account, e kit.Event, _ time.Time) (Account, []kit.Op) {
	if e.Name == "deposit" {
		var args struct{ Amount int64 }
		if err := e.Into(&args); err != nil || args.Amount < 1 {
			return a, kit.Refuse(kit.ErrInvalid, "a deposit has an amount above 0")
		}
		a.Balance += args.Amount
	}
	if a.Owner == "" {
		return a, kit.Refuse(kit.ErrInvalid, "an account needs an owner")
	}
	return a, nil
}

// bank is a running platform with accounts.
type bank struct {
	*platform.Node
	t     testing.TB
	admin kit.Client
}

func start(t testing.TB, more ...kit.Service) *bank {
	t.Helper()
	log := kittest.Log(t, slog.LevelError)
	n, err := platform.New(platform.Config{Data: t.TempDir(), Listen: "127.0.0.1:0", Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	n.Add(kit.Service{Name: "bank", Owns: []kit.Owned{kit.Own(accounts, nextAccount, "deposit")}})
	for _, s := range more {
		n.Add(s)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the platform ended with %v", err)
		}
	})
	if _, err := rest.Roles.Await(t.Context(), n.Client("services/"+rest.ServiceName), rest.Administrators, func(rest.Role) bool { return true }); err != nil {
		t.Fatal(err)
	}
	return &bank{n, t, n.Client("users/admin")}
}

// put makes an account.
func (b *bank) put(id string, a Account) {
	b.t.Helper()
	if _, err := accounts.Create(b.t.Context(), b.admin, id, a); err != nil {
		b.t.Fatalf("make %s: %v", id, err)
	}
}

func (b *bank) patch(id, patch string) {
	b.t.Helper()
	if _, err := b.admin.Update(b.t.Context(), accounts.Link(id), []byte(patch), 0); err != nil {
		b.t.Fatalf("update %s: %v", id, err)
	}
}

func (b *bank) read(id string) Account {
	b.t.Helper()
	a, err := accounts.Read(b.t.Context(), b.admin, id)
	if err != nil {
		b.t.Fatalf("read %s: %v", id, err)
	}
	return a
}

// ledger is a bank with three accounts.
func ledger(t testing.TB, more ...kit.Service) *bank {
	t.Helper()
	b := start(t, more...)
	b.put("ada", Account{Owner: "Ada", Balance: 10, Tags: []string{"first"}})
	b.put("bob", Account{Owner: "Bob", Balance: 20, Note: "a\nb"})
	b.put("eve", Account{Owner: hostile, Balance: 30, Note: hostile})
	return b
}

// hostile is what somebody who is up to no good writes into a field.
const hostile = `"'><script>window.hacked=1</script><img src=x onerror="window.hacked=1">{{.}}</textarea>`

func (b *bank) token(subject string, rules ...rest.Rule) string {
	b.t.Helper()
	if len(rules) > 0 {
		if _, err := rest.Roles.Create(b.t.Context(), b.admin, "", rest.Role{Subjects: []string{subject}, Rules: rules}); err != nil {
			b.t.Fatal(err)
		}
	}
	token, err := rest.MintToken(b.t.Context(), b.admin, subject, "for a test")
	if err != nil {
		b.t.Fatal(err)
	}
	return token
}

// visitor is a browser without scripts.
type visitor struct {
	*http.Client
	bank *bank
}

// anybody returns one without a token.
func (b *bank) anybody() visitor {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return visitor{&http.Client{Jar: jar}, b}
}

// as returns one in which subject, who has the rules, has signed in.
func (b *bank) as(subject string, rules ...rest.Rule) visitor {
	b.t.Helper()
	v := b.anybody()
	if p := v.post("/kit/login", "token", b.token(subject, rules...)); p.path != "/kit/" {
		b.t.Fatalf("%s cannot sign in: %s", subject, p.text)
	}
	return v
}

// shown is a page as a visitor got it.
type shown struct {
	t      testing.TB
	path   string // where it was in the end
	status int
	header http.Header
	source string
	text   string // without tags, with single spaces
}

func (v visitor) open(path string, header ...string) shown {
	v.bank.t.Helper()
	req, err := http.NewRequestWithContext(v.bank.t.Context(), http.MethodGet, v.bank.URL()+path, nil)
	if err != nil {
		v.bank.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return v.do(req)
}

func (v visitor) post(path string, fields ...string) shown {
	v.bank.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Add(fields[i], fields[i+1])
	}
	req, err := http.NewRequestWithContext(v.bank.t.Context(), http.MethodPost, v.bank.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.bank.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.do(req)
}

var tags = regexp.MustCompile(`<[^>]*>`)

func (v visitor) do(req *http.Request) shown {
	v.bank.t.Helper()
	res, err := v.Do(req)
	if err != nil {
		v.bank.t.Fatalf("%s %s: %v", req.Method, req.URL.Path, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		v.bank.t.Fatal(err)
	}
	text := html.UnescapeString(tags.ReplaceAllString(string(body), " "))
	return shown{v.bank.t, res.Request.URL.RequestURI(), res.StatusCode, res.Header, string(body), strings.Join(strings.Fields(text), " ")}
}

// says fails the test unless the page has the status and each text.
func (s shown) says(status int, texts ...string) {
	s.t.Helper()
	if s.status != status {
		s.t.Errorf("%s: status %d, want %d: %s", s.path, s.status, status, s.text)
	}
	for _, text := range texts {
		if !strings.Contains(s.text, text) && !strings.Contains(s.source, text) {
			s.t.Errorf("%s: got %q, want %q in it", s.path, s.text, text)
		}
	}
}

// hides fails the test if the page has any of the texts.
func (s shown) hides(texts ...string) {
	s.t.Helper()
	for _, text := range texts {
		if strings.Contains(s.source, text) {
			s.t.Errorf("%s: got %q, want no %q in it", s.path, s.text, text)
		}
	}
}

// hidden returns the value of a hidden field of the page's form.
func (s shown) hidden(name string) string {
	s.t.Helper()
	m := regexp.MustCompile(fmt.Sprintf(`<input type="hidden" name="%s" value="([^"]*)">`, name)).FindStringSubmatch(s.source)
	if m == nil {
		s.t.Fatalf("%s has no field %s: %s", s.path, name, s.text)
	}
	return html.UnescapeString(m[1])
}
