package secret

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestThePartsOfASecret(t *testing.T) {
	dir := t.TempDir()
	key, phrase := filepath.Join(dir, "key"), filepath.Join(dir, "phrase")
	for file, text := range map[string]string{key: "a key\n", phrase: "open\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		from  source
		input string
		want  string
	}{
		"text":       {source{}, "hunter2\n", "value=hunter2"},
		"login":      {source{username: "ada"}, "pass", "password=pass username=ada"},
		"file":       {source{file: key}, "", "value=a key\n"},
		"key":        {source{key: key, username: "git"}, "", "key=a key\n username=git"},
		"passphrase": {source{key: key, passphrase: phrase}, "", "key=a key\n passphrase=open"},
		"nothing":    {source{}, "\n", "the secret is empty: give it on standard input"},
		"no file":    {source{file: filepath.Join(dir, "none")}, "", "no such file"},
	} {
		parts, err := test.from.read(strings.NewReader(test.input))
		var got []string
		for _, part := range []string{"key", "passphrase", "password", "username", "value"} {
			if value, ok := parts[part]; ok {
				got = append(got, part+"="+string(value))
			}
		}
		if err != nil {
			got = []string{err.Error()}
		}
		if text := strings.Join(got, " "); text != test.want && (err == nil || !strings.Contains(text, test.want)) {
			t.Errorf("%s: got %q, want %q", name, text, test.want)
		}
	}
}
