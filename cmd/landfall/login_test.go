package main

import (
	"bytes"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLoginKeepsWhomToTrust logs in at a server whose certificate nobody
// known has signed.
func TestLoginKeepsWhomToTrust(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			http.Error(w, "{}", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, `{"subject":"users/ada","link":"notes/1","version":1}`)
	}))
	s.Config.ErrorLog = nil
	s.StartTLS()
	t.Cleanup(s.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	for _, name := range []string{"LANDFALL_URL", "LANDFALL_TOKEN", "LANDFALL_CA"} {
		t.Setenv(name, "")
	}
	landfall := func(args ...string) (string, error) {
		c := root()
		var out bytes.Buffer
		c.SetArgs(args)
		c.SetIn(strings.NewReader("secret\n"))
		c.SetOut(&out)
		c.SetErr(&out)
		err := c.ExecuteContext(t.Context())
		return out.String(), err
	}
	for _, test := range []struct {
		args []string
		want string // in the error; empty for success
	}{
		{[]string{"login", s.URL}, "--ca"},
		{[]string{"login", s.URL, "--ca", none}, "no certificate"},
		{[]string{"login", s.URL, "--ca", none + "x"}, "no such file"},
		{[]string{"login", s.URL, "--ca", ca}, ""},
		{[]string{"doc", "get", "notes/1"}, ""},
		{[]string{"login", s.URL}, ""},
		{[]string{"doc", "get", "notes/1"}, ""},
	} {
		out, err := landfall(test.args...)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("landfall %s: %v, want %q\n%s", strings.Join(test.args, " "), err, test.want, out)
		}
	}
}
