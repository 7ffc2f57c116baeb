// Package soak runs builds on two Docker daemons while SIGKILL ends, at random,
// the hub, the runners, the daemons and containers of the builds.
//
// The hub, two runners and both daemons are processes of the test's own. Each
// runner drives both daemons: one over its socket, which sees the workspaces, and
// one over TLS, to which they are copied. What is killed is started again, one
// to two of them at once. The builds are of several sorts, see sorts: they pass,
// fail, write much, keep files, have a service, or do not end until SIGKILL.
//
// In the end
//
//   - every build has the verdict of its sort. One whose own container was killed
//     may have failed instead, with what became of the container. One whose daemon
//     was killed is tried again if its runner saw that, a few times; else it may be
//     in error, or have failed if its runner, killed too, found the container dead.
//     That its hub or its runner was killed no build notices.
//   - every log has the lines that the build wrote, each once and in order, from
//     the first to the last. One whose last is not known says that some are
//     missing.
//   - no container, volume, network, workspace or process of a build is left.
//
// What a daemon forgets that is killed while it starts a container, in which nothing
// of a build has begun, is none: a shim, with "runc init" or a prepared shell that
// waits. No API of Docker's shows it. Nor is it our failure if a daemon that was
// killed while it wrote down its networks panics until they are taken from it.
//
// The short version has 8 builds, and each thing is killed once. make soak
// ONLY=builds runs 200; SOAK_BUILDS says how many, LANDFALL_SEED=N repeats the
// order of the builds and of the strikes. It takes root and dockerd.
package soak
