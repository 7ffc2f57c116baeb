package native

import (
	"landfall.dev/api"
	"landfall.dev/capability/job/definition"
	"landfall.dev/capability/job/definition/yaml11"
)

// Credentials of Jenkins are secrets of the project, with the same names.

// bindings are the kinds of credentials-binding: which argument names the
// variable of which part.
var bindings = map[string][]struct {
	argument, part string
	file           bool
}{
	"text":                        {{"variable", "value", false}},
	"file":                        {{"variable", "value", true}},
	"username-password":           {{"variable", "username:password", false}},
	"username-password-separated": {{"username", "username", false}, {"password", "password", false}},
	"ssh-user-private-key": {
		{"key-file-variable", "key", true}, {"username-variable", "username", false}, {"passphrase-variable", "passphrase", false},
	},
}

// credentials is a wrapper: its argument is a list of bindings.
func credentials(t *translation, a args) {
	for _, item := range calls(a.value) {
		for _, e := range item {
			kind := text(e.Key)
			parts, ok := bindings[kind]
			if !ok {
				t.miss(a.c, Cannot, "credentials of the kind %q are not known here", yaml11.Brief(kind))
				continue
			}
			id := text(e.Value.Map().Lookup("credential-id"))
			for _, p := range parts {
				if variable := text(e.Value.Map().Lookup(p.argument)); variable != "" {
					t.secret(a.c, api.SecretUse{Secret: id, Part: p.part, Variable: variable, File: p.file})
				}
			}
		}
	}
}

// passwords are secrets with the names of their variables.
func passwords(t *translation, a args) {
	if a.flag("global", false) {
		t.miss(a.c, Without, "those that Jenkins' settings have are not known here: name them with credentials-binding")
	}
	for _, m := range calls(a.get("job-passwords")) {
		name := text(m.Lookup("name"))
		t.secret(a.c, api.SecretUse{Secret: name, Part: "value", Variable: name})
	}
}

// agent gives builds an SSH agent with keys.
func agent(t *translation, a args) {
	for _, id := range append(list(a.get("users")), list(a.get("user"))...) {
		t.secret(a.c, api.SecretUse{Secret: id, Part: "key"})
	}
}

func (t *translation) secret(c definition.Component, use api.SecretUse) {
	if lockName(use.Secret) != use.Secret {
		t.miss(c, Cannot, "the name %q of a secret: it has letters, digits, '.', '_', '~' and '-'", yaml11.Brief(use.Secret))
		return
	}
	if c.At.Line > 0 {
		use.At = c.At.Origin()
	}
	t.spec.Secrets = append(t.spec.Secrets, use)
}
