package secret

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"landfall.dev/api"
	"landfall.dev/kit"
	"landfall.dev/kit/kittest"
	"landfall.dev/kit/rest"
)

func TestOnlyTheRunnerOfATrustedBuildGetsSecrets(t *testing.T) {
	keeper, err := OpenKeeper(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	c := kittest.Start(t, kit.Service{Name: "others", Owns: []kit.Owned{
		kit.Own[api.Build](api.Builds, nil, "heartbeat"), kit.Own[api.Project](api.Projects, nil),
	}})
	s := Service(c.Client("services/secret"), keeper)
	c.Server.Add(s)
	c.Run(s)
	admin := c.Admin()
	if _, err := api.Projects.Create(t.Context(), admin, "ledger", api.Project{}); err != nil {
		t.Fatal(err)
	}
	c.Allow("accounts/r", rest.Rule{Kinds: []string{"builds"}, Verbs: []kit.Verb{"heartbeat"}})
	ask := func(subject, method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://hub"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.Server.HTTP(subject).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	for _, test := range []struct {
		subject, name, body string
		want                int
	}{
		{"users/admin", "first", `{"value":"b2xk"}`, http.StatusNoContent},
		{"users/admin", "first", `{"value":"aHVudGVyMg=="}`, http.StatusNoContent}, // set again
		{"users/admin", "login", `{"username":"YQ==","password":"Yg=="}`, http.StatusNoContent},
		{"users/admin", "first", `{"value":""}`, http.StatusBadRequest},
		{"users/admin", "first", `hunter2`, http.StatusBadRequest},
		{"users/admin", "a b", `{"value":"YQ=="}`, http.StatusBadRequest},
		{"accounts/r", "first", `{"value":"YQ=="}`, http.StatusForbidden},
	} {
		path := "/secret/ledger/" + strings.ReplaceAll(test.name, " ", "%20")
		if status, text := ask(test.subject, http.MethodPut, path, test.body); status != test.want || strings.Contains(text, "hunter2") {
			t.Errorf("%s sets %s to %s: %d, %s; want %d", test.subject, test.name, test.body, status, text, test.want)
		}
	}
	record, err := admin.Read(t.Context(), "secrets/ledger~first", kit.ReadOptions{})
	if err != nil || strings.Contains(string(record.Body), "aHVudGVyMg") || strings.Contains(string(record.Body), "hunter2") {
		t.Errorf("the document shows the secret: %s, %v", record.Body, err)
	}

	spec := &api.JobSpec{Secrets: []api.SecretUse{{Secret: "first", Part: "value", Variable: "V"}}}
	for id, b := range map[string]api.Build{
		"good":      {State: api.BuildRunning, Attempt: 2, Trusted: true, Spec: spec},
		"untrusted": {State: api.BuildRunning, Attempt: 2, Spec: spec},
		"over":      {State: api.BuildPassed, Attempt: 2, Trusted: true, Spec: spec},
	} {
		b.Project = "ledger"
		if _, err := api.Builds.Create(t.Context(), admin, id, b); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		subject, path string
		want          int
	}{
		{"accounts/r", "good?attempt=2", http.StatusOK},
		{"accounts/r", "good?attempt=1", http.StatusConflict},
		{"accounts/r", "untrusted?attempt=2", http.StatusForbidden},
		{"accounts/r", "over?attempt=2", http.StatusConflict},
		{"users/eve", "good?attempt=2", http.StatusForbidden},
	} {
		status, text := ask(test.subject, http.MethodGet, "/secret/of/"+test.path, "")
		if status != test.want || strings.Contains(text, "aHVudGVyMg") != (test.want == http.StatusOK) {
			t.Errorf("%s asks for those of %s: %d, %s; want %d", test.subject, test.path, status, text, test.want)
		}
		if status == http.StatusOK {
			var got map[string]api.SecretParts
			if err := json.Unmarshal([]byte(text), &got); err != nil || len(got) != 1 || string(got["first"]["value"]) != "hunter2" {
				t.Errorf("the runner got %s, %v", text, err)
			}
		}
	}
}

func TestASecretOpensOnlyForItsOwnDocumentAndKey(t *testing.T) {
	dir := t.TempDir()
	k, err := OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := k.Seal("secrets/a~b", api.SecretParts{"value": []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	again, err := OpenKeeper(dir)
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := again.Open("secrets/a~b", sealed); err != nil || string(parts["value"]) != "x" {
		t.Errorf("with the same key: %q, %v", parts, err)
	}
	if _, err := again.Open("secrets/a~c", sealed); err == nil {
		t.Error("it opened for another document")
	}
	other, err := OpenKeeper(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open("secrets/a~b", sealed); err == nil || !strings.Contains(err.Error(), "set it again") {
		t.Errorf("with another key: %v", err)
	}
}
