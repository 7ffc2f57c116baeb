// Package trust makes the repository of signed metadata that agents believe,
// after The Update Framework (TUF, https://theupdateframework.github.io,
// specification 1.0). All keys are ed25519.
//
//	root          2 of 3 keys that people keep   1 year     names the other keys
//	└ targets     a key that people keep         180 days   only delegates
//	  ├ releases  the release manager's key      1 year     releases/PROJECT/VERSION
//	  └ channels  the hub's                      30 days    channels/PROJECT/NAME
//	snapshot      the hub's                      7 days     the version of each file
//	timestamp     the hub's                      24 hours   which snapshot counts
//
// The hub holds the keys of channels, snapshot and timestamp only, so whoever
// takes it over chooses among signed releases, or withholds news of them, but
// makes none. [Init], [SignRelease] and [SignRenewal] are for the machines where
// people's keys are; the rest is for the hub.
//
// The hub signs its own files anew in time. Those of people end unless somebody
// signs them anew, and with them all channels: [Repository.Roles] says when.
//
// Files have consistent names: metadata files but the timestamp begin with
// their version, "3.releases.json", targets with the hash of their content,
// "releases/ledger/<hash>.2.0.0". The timestamp says in the field "issued" when
// it was signed.
package trust
