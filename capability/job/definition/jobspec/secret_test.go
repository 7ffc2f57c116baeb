package jobspec

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestSecretsOfAJob(t *testing.T) {
	specs, err := expand(t, `
- job:
    name: deploy
    script: [make deploy]
    secrets:
      TOKEN: token
      KEY: {secret: deploy-key, part: key, file: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(specs[0].Secrets)
	want := `[{"secret":"token","part":"value","variable":"TOKEN","at":"AT:6"},{"secret":"deploy-key","part":"key","variable":"KEY","file":true,"at":"AT:7"}]`
	file, _, _ := strings.Cut(specs[0].Secrets[0].At, ":")
	if text := strings.ReplaceAll(string(got), file+":", "AT:"); err != nil || text != want {
		t.Errorf("got\n%s, error %v; want\n%s", text, err, want)
	}
	for line, want := range map[string]string{
		"secrets: {A-B: token}":              `there is "A-B"`,
		"secrets: {A: 'to ken'}":             `"to ken" is no name of a secret`,
		"secrets: {A: {secrt: token}}":       `unknown field "secrt" in secrets; did you mean "secret"?`,
		"secrets: {A: {secret: x, file: y}}": "file must be true or false",
		"secrets: token":                     "secrets must be a map",
	} {
		if _, err := expand(t, "- job:\n    name: x\n    script: [y]\n    "+line+"\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", line, err, want)
		}
	}
}
