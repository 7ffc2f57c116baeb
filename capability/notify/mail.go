package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"landfall.dev/api"
	"landfall.dev/kit"
)

// Mail is the server that takes mails. It is spoken to with TLS if it offers
// STARTTLS; a password is sent to it only then, or on loopback.
type Mail struct {
	Server         string // "mail.example.org:587"; without one nothing is mailed
	From           string // "Landfall <landfall@example.org>"
	User, Password string
}

// Check says what is wrong with the server's address or the sender's, whether or
// not somebody is there.
func (m Mail) Check() error {
	if m.Server == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(m.Server)
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, " /") {
		return fmt.Errorf("%q is no mail server: write --smtp HOST:PORT, as in mail.example.org:587", m.Server)
	}
	if _, err := mail.ParseAddress(m.From); err != nil {
		return fmt.Errorf("%q is no address to send from: write --smtp-from NAME@HOST", m.From)
	}
	return nil
}

// send sends a notice to all of its addresses at once.
func (m Mail) send(ctx context.Context, n api.Notice, link string) error {
	if m.Server == "" {
		return kit.Errorf(kit.ErrConflict, "", "no mail server is configured: start the hub with --smtp HOST:PORT")
	}
	from, err := mail.ParseAddress(m.From)
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "%q is no address to send from: set --smtp-from", m.From)
	}
	to, err := mail.ParseAddressList(n.To)
	if err != nil {
		return kit.Errorf(kit.ErrInvalid, "", "%q are no addresses: write them as NAME@HOST, with commas between them", n.To)
	}
	err = m.deliver(ctx, from, to, letter(n, from, to, link))
	var refused *textproto.Error
	if errors.As(err, &refused) && refused.Code >= 500 {
		return kit.Errorf(kit.ErrInvalid, "", "the mail server answered %d %s", refused.Code, refused.Msg)
	}
	if err != nil {
		return &kit.Error{Fault: kit.ErrUnavailable, Detail: "the mail server " + m.Server + " could not be used", Err: err}
	}
	return nil
}

func (m Mail) deliver(ctx context.Context, from *mail.Address, to []*mail.Address, text []byte) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return err
	}
	defer conn.Close()
	if at, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(at); err != nil {
			return err
		}
	}
	host, _, _ := net.SplitHostPort(m.Server)
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return err
	}
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(&tls.Config{ServerName: host}); err != nil {
			return err
		}
	}
	if m.User != "" {
		if err := c.Auth(smtp.PlainAuth("", m.User, m.Password, host)); err != nil {
			return err
		}
	}
	if err := c.Mail(from.Address); err != nil {
		return err
	}
	for _, a := range to {
		if err := c.Rcpt(a.Address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it was taken
	return nil
}

// letter is the notice as a mail: see RFC 5322 and RFC 2045.
func letter(n api.Notice, from *mail.Address, to []*mail.Address, link string) []byte {
	var addresses []string
	for _, a := range to {
		addresses = append(addresses, a.String())
	}
	host := from.Address[strings.LastIndexByte(from.Address, '@')+1:]
	kind, end := "text/plain", "\n\n"+link+"\n"
	if n.HTML {
		kind, end = "text/html", fmt.Sprintf("\n<p><a href=%q>%[1]s</a></p>\n", html.EscapeString(link))
	}
	var b bytes.Buffer
	for _, h := range [][2]string{
		{"From", from.String()},
		{"To", strings.Join(addresses, ", ")},
		{"Subject", mime.QEncoding.Encode("utf-8", strings.Join(strings.Fields(n.Subject), " "))},
		{"Date", n.Created.Format(time.RFC1123Z)},
		{"Message-ID", "<" + n.Link.ID() + "@" + host + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", kind + "; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	b.WriteString("\r\n")
	body := quotedprintable.NewWriter(&b)
	fmt.Fprint(body, n.Text, end)
	_ = body.Close() // to memory
	return b.Bytes()
}
