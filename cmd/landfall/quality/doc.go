// Package quality has the commands about builds' reports: what they came to,
// by which rules, and what is known of a job's tests. It decides nothing.
package quality
