#!/bin/sh
# Runs the Go benchmarks of one group of packages, or of all: kit, upgrade,
# front. Comparisons with named peers are added with the features that they
# measure.
set -eu
case "${1:-}" in
"") packages="./kit/... ./site/..." ;;
kit) packages="./kit/store ./kit/cluster" ;;
upgrade) packages="./kit/migrate" ;;
front) packages="./site/front" ;;
*)
	echo "there is no group $1 yet: use kit, upgrade or front" >&2
	exit 2
	;;
esac
# shellcheck disable=SC2086 # the packages are words
exec go test -run '^$' -bench . -benchtime 2s $packages
