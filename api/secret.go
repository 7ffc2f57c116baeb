package api

import "landfall.dev/kit"

// Secrets are what builds of what was reviewed may know, and nobody else. The id
// is "project~name". Their bytes are sealed with a key that only the hub has.
var Secrets = kit.Define[Secret]("secrets")

// Secret is a secret of a project: several named parts of one thing.
type Secret struct {
	kit.Meta
	Project string   `json:"project"`
	Name    string   `json:"name"`
	Parts   []string `json:"parts"` // their names: "value"; "username" and "password"; "key"
	Sealed  []byte   `json:"sealed"`
	By      string   `json:"by"` // subject: who set it
}

// SecretParts are the parts of a secret in clear, by their names: what is sent
// to the hub, and what a runner is told for a build.
type SecretParts map[string][]byte

// SecretUse is what a build is given of a secret.
type SecretUse struct {
	Secret string `json:"secret"`
	// Part is "value", or one of several; "username:password" is both.
	Part string `json:"part"`
	// Variable gets it, or if File is set the path of a file with it. A file without
	// a variable is for the FileSteps that name it. Without either it is a key for
	// an SSH agent; builds that get no secrets do without that.
	Variable string `json:"variable,omitempty"`
	File     bool   `json:"file,omitempty"`
	At       string `json:"at,omitempty"` // "file:line"
}
