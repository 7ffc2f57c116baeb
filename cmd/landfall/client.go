package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"landfall.dev/cmd/landfall/console"
	"landfall.dev/kit"
	"landfall.dev/kit/rest"
)

// app is what the client commands share: where the hub is and who asks.
type app struct {
	url, token, ca string
	output         format
}

func (a *app) flags(c *cobra.Command) {
	f := c.PersistentFlags()
	f.StringVar(&a.url, "url", "", "address of the hub or agent (LANDFALL_URL, or that of landfall login)")
	f.StringVar(&a.token, "token", "", "token, or @FILE (LANDFALL_TOKEN, or that of landfall login)")
	f.StringVar(&a.ca, "ca", "", "file with the certificate that the server's is signed by, if the system does not trust it (LANDFALL_CA, or that of landfall login)")
	a.output = "table"
	f.VarP(&a.output, "output", "o", "table or json")
}

// login is what landfall login keeps.
type login struct {
	URL   string `json:"url"`
	Token string `json:"token"`
	CA    string `json:"ca,omitempty"` // certificates in PEM
}

func loginFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "landfall", "login.json"), nil
}

// where returns the address, the token and the certificates to use: those of
// the flags, else of the environment, else of the last login.
func (a *app) where() (login, error) {
	var saved login
	if path, err := loginFile(); err == nil {
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &saved)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return login{}, fmt.Errorf("%s cannot be read: %w; run landfall login again", path, err)
		}
	}
	at := login{URL: strings.TrimRight(first(a.url, os.Getenv("LANDFALL_URL"), saved.URL, "http://127.0.0.1:7700"), "/")}
	if at.URL == saved.URL {
		at.CA = saved.CA
	}
	var err error
	if at.Token, err = tokenText(first(a.token, os.Getenv("LANDFALL_TOKEN"), saved.Token)); err != nil {
		return at, err
	}
	if path := first(a.ca, os.Getenv("LANDFALL_CA")); path != "" {
		b, err := os.ReadFile(path)
		if err != nil {
			return at, fmt.Errorf("the certificate cannot be read: %w", err)
		}
		at.CA = string(b)
	}
	return at, nil
}

// transport returns what carries requests to the server.
func (l login) transport() (http.RoundTripper, error) {
	if l.CA == "" {
		return http.DefaultTransport, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM([]byte(l.CA)) {
		return nil, errors.New("--ca: there is no certificate in the file: use the ca.pem of the server's data directory")
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return t, nil
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// tokenText returns the token s, or the content of the file that @FILE names.
// The digest that an agent's token carries is cut off.
func tokenText(s string) (string, error) {
	if path, ok := strings.CutPrefix(s, "@"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("the token cannot be read: %w", err)
		}
		s = strings.TrimSpace(string(b))
	}
	token, _, _ := strings.Cut(s, "~")
	return token, nil
}

// client returns the client of the hub.
func (a *app) client() (kit.Client, error) {
	at, err := a.where()
	if err != nil {
		return nil, err
	}
	via, err := at.transport()
	if err != nil {
		return nil, err
	}
	return rest.NewClient(at.URL, at.Token, rest.ClientOptions{Transport: via})
}

// call makes a request to a raw route of the hub and returns the body of the
// answer, which the caller closes.
func (a *app) call(ctx context.Context, method, path string, body io.Reader, header ...string) (io.ReadCloser, error) {
	at, err := a.where()
	if err != nil {
		return nil, err
	}
	via, err := at.transport()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, at.URL+path, body)
	if err != nil {
		return nil, err
	}
	if at.Token != "" {
		req.Header.Set("Authorization", "Bearer "+at.Token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: via}).Do(req)
	if unknown := (*tls.CertificateVerificationError)(nil); errors.As(err, &unknown) {
		return nil, &kit.Error{Fault: kit.ErrUnauthenticated, Detail: fmt.Sprintf("nobody known vouches for %s", at.URL), Hint: "copy ca.pem from its data directory and name it with --ca", Err: err}
	}
	if err != nil {
		return nil, &kit.Error{Fault: kit.ErrUnavailable, Detail: fmt.Sprintf("%s does not answer", at.URL), Hint: "is the hub running there? name another with --url", Err: err}
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, kit.MaxDocument))
		return nil, kit.DecodeProblem(resp.StatusCode, b)
	}
	return resp.Body, nil
}

// callJSON sends in, unless it is nil, and reads the answer into out, unless
// that is nil.
func (a *app) callJSON(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	answer, err := a.call(ctx, method, path, body, "Content-Type", "application/json")
	if err != nil {
		return err
	}
	defer answer.Close()
	if out == nil {
		return nil
	}
	return json.NewDecoder(answer).Decode(out)
}

// show prints one document: as JSON, or by the lines that text makes.
func show[T any](a *app, w io.Writer, doc T, text func(T) []string) error {
	if a.output == "json" {
		return console.WriteJSON(w, doc)
	}
	for _, l := range text(doc) {
		if _, err := fmt.Fprintln(w, l); err != nil {
			return err
		}
	}
	return nil
}

// list prints the documents of a kind that pass filter: as JSON, or as a
// table with the head and a row for each.
func list[T any](ctx context.Context, a *app, w io.Writer, k kit.Kind[T], filter, order string, head []string, row func(T) []string) error {
	c, err := a.client()
	if err != nil {
		return err
	}
	docs := []T{}
	for d, err := range k.All(ctx, c, filter, order) {
		if err != nil {
			return err
		}
		docs = append(docs, d)
	}
	if a.output == "json" {
		return console.WriteJSON(w, docs)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(head, "\t")))
	for _, d := range docs {
		cells := row(d)
		for i, c := range cells {
			cells[i] = console.Cell(c)
		}
		fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	return t.Flush()
}

// group returns a command that only has others below it.
func group(use, short string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
		return c.Help()
	}}
	c.AddCommand(subs...)
	return c
}

// command returns a command that runs do.
func command(use, short string, args cobra.PositionalArgs, do func(c *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: args, RunE: do}
}

func (a *app) loginCommand() *cobra.Command {
	return command("login URL", "Keep the address of a hub or a platform, and a token (read from standard input), for later commands", cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			b, err := io.ReadAll(io.LimitReader(c.InOrStdin(), 1<<16))
			if err != nil {
				return err
			}
			l := login{URL: strings.TrimRight(args[0], "/"), Token: strings.TrimSpace(string(b))}
			if l.Token == "" {
				return fmt.Errorf("no token came: landfall login %s < FILE-WITH-TOKEN", l.URL)
			}
			a.url, a.token = l.URL, l.Token
			at, err := a.where()
			if err != nil {
				return err
			}
			l.CA = at.CA
			var self struct {
				Subject string `json:"subject"`
			}
			if err := a.callJSON(c.Context(), http.MethodGet, "/api/", nil, &self); err != nil {
				return err
			}
			path, err := loginFile()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				return err
			}
			text, err := json.Marshal(l)
			if err != nil {
				return err
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				return err
			}
			fmt.Fprintf(c.OutOrStdout(), "logged in at %s as %s\n", l.URL, self.Subject)
			return nil
		})
}
