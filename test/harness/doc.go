// Package harness plays the whole path with real processes for tests: a hub,
// a runner, and an agent each for the environments staging and unknown, all
// the product's own binary, on the process engine.
//
// A [Path] carries one version of the ledger after the other from a push to
// the live upgrade in unknown, by the public commands and clients alone. Its
// steps are repeated until they succeed, as people would, so any process may
// be killed meanwhile. A [Load] sends transfers through the front door, knows
// which were acknowledged, and which of them going back has given up. A
// [Journal] reads the states that a role has written to its log, each of them,
// as soon as it is written.
//
// Everything ends with the test, failed or not.
package harness
