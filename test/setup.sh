#!/bin/sh
# Installs from Debian's packages what the demo and the tests use and this
# machine lacks, and starts the Docker daemon if none answers. Where there is
# no root or no apt it says what is missing and goes on: the demo then runs
# with the process engine.
set -eu

missing=""
need() { # program package
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need git git
need dockerd docker.io
need skopeo skopeo
need podman podman
need chromium chromium
need git-review git-review
need ip iproute2
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || missing="$missing busybox-static"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"

if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing:$missing"
		export DEBIAN_FRONTEND=noninteractive
		apt-get -qq update
		# shellcheck disable=SC2086 # the packages are words
		apt-get -qq install -y --no-install-recommends $missing >/dev/null
	else
		echo "missing:$missing (no root or no apt here: install them, or go on without)"
	fi
fi

if ! timeout 20 docker version >/dev/null 2>&1 && [ "$(id -u)" = 0 ] && [ -x /usr/sbin/dockerd ]; then
	echo "starting the Docker daemon"
	mkdir -p /var/log
	setsid /usr/sbin/dockerd >/var/log/dockerd-landfall.log 2>&1 </dev/null &
	n=0
	until docker version >/dev/null 2>&1; do
		n=$((n + 1))
		if [ $n -gt 60 ]; then
			echo "the Docker daemon did not start; the end of /var/log/dockerd-landfall.log:"
			tail -5 /var/log/dockerd-landfall.log
			break
		fi
		sleep 0.5
	done
fi
