package api

import "landfall.dev/kit"

// Users are people; the id is the login name, and "users/ada" the subject in
// tokens and roles.
var Users = kit.Define[User]("users")

// User is a person.
type User struct {
	kit.Meta
	Name  string `json:"name"`
	Email string `json:"email"`
}

// ServiceAccounts are machines: runners, agents, scripts. Their documents'
// links are the subjects in tokens and roles.
var ServiceAccounts = kit.Define[ServiceAccount]("accounts")

// ServiceAccount is a machine's identity.
type ServiceAccount struct {
	kit.Meta
	Description string `json:"description"`
	// Role is runner or agent; it says which built-in role the account has.
	Role string `json:"role"`
	// Environment is the one that an agent's account is for.
	Environment string `json:"environment,omitempty"`
}
