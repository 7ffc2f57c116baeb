#!/bin/sh
# Runs every suite and prints how long each took. Any failure fails the run.
set -eu
failed=""
suite() { # name command...
	name=$1
	shift
	echo "== $name"
	began=$(date +%s)
	if "$@"; then
		echo "== $name passed in $(($(date +%s) - began)) s"
	else
		echo "== $name FAILED after $(($(date +%s) - began)) s"
		failed="$failed $name"
	fi
}
# Those that take longest go first, and three at once, for they mostly wait.
long="landfall.dev/site/agent landfall.dev/kit/cluster landfall.dev/kit/store"
unit=$(go list ./... | grep -v '/test/\|/engine/docker$\|/web$\|/kit/page$')
suite lint make -s lint
# shellcheck disable=SC2086 # the packages are words
suite unit go test -race -count=1 -p 3 -timeout 20m $long $unit
suite simulation env LANDFALL_SEEDS=2000 go test -count=1 -timeout 10m -run Simul ./kit/kittest
suite planner go test -count=1 -timeout 5m ./test/sim ./test/harness
suite skew go test -count=1 -timeout 5m ./test/skew
suite jjb go test -count=1 -timeout 5m ./test/jjb
suite faults go test -count=1 -timeout 15m ./test/faults
suite linear go test -count=1 -timeout 10m ./test/linear
suite docker go test -race -count=1 -timeout 10m ./engine/docker
suite pages go test -race -count=1 -timeout 10m ./web ./kit/page
suite tutorial go test -count=1 -timeout 10m ./test/tutorial
suite bench go test -count=1 -timeout 10m ./test/bench/...
suite path go test -count=1 -timeout 10m ./test/path
suite builds go test -count=1 -timeout 10m ./test/builds
suite scripts go test -count=1 -timeout 15m ./test/script
suite demo make -s demo DEMO='--documents 20000'
suite kill go test -count=1 -timeout 20m ./test/kill
if [ -n "$failed" ]; then
	echo "failed:$failed"
	exit 1
fi
echo "all suites passed"
