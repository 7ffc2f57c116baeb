// Package inventory has the commands about what builds, images and releases
// contain, the policies on it, and the databases of known vulnerabilities. It
// decides nothing.
package inventory
