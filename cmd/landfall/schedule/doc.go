// Package schedule has the commands about what is to be built, and when: the
// times of timed jobs, and the queue of builds. It decides nothing.
package schedule
