#!/bin/sh
# Installs from Debian's packages what the demo, for "test" also the tests, or for
# "bench" also the benchmarks use and this machine lacks, and starts the Docker
# daemon if none answers. What it cannot do it says, and goes on: the demo then
# runs with the process engine.
set -eu
cd "$(dirname "$0")/.."
tests=${1:-test}

if ! said=$(go list -m 2>&1); then
	echo "Landfall is built by Go $(sed -n 's/^go //p' go.mod) or newer, from https://go.dev/dl, in the PATH. Here:"
	echo "$said"
	exit 1
fi

missing=""
need() { # program package
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing="$missing $2"
}
need git git
need dockerd docker.io
[ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 || missing="$missing busybox-static"
# Where the kernel has AppArmor, Docker starts no container without its tool.
[ ! -d /sys/kernel/security/apparmor ] || need apparmor_parser apparmor
if [ "$tests" = bench ]; then
	need etcd etcd-server
	need haproxy haproxy
	need caddy caddy
	need wrk wrk
	need jenkins-jobs jenkins-job-builder
	ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
fi
if [ "$tests" = test ]; then
	need skopeo skopeo
	need podman podman
	need chromium chromium
	need git-review git-review
	need curl curl
	need python3 python3
	need jenkins-jobs jenkins-job-builder # for test/jjb
	need ip iproute2
	need cc "gcc libc6-dev" # for the race detector
fi

# The benchmarks start servers of their own: Debian's packages would start
# theirs, but do not where this file says so.
policy=/usr/sbin/policy-rc.d
still() {
	[ "$tests" = bench ] && [ ! -e $policy ] || return 0
	trap 'rm -f $policy' EXIT
	printf '#!/bin/sh\nexit 101\n' >$policy
	chmod 755 $policy
}

if [ -n "$missing" ]; then
	if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
		echo "installing:$missing"
		still
		export DEBIAN_FRONTEND=noninteractive
		# shellcheck disable=SC2086 # the packages are words
		apt-get -qq update && apt-get -qq install -y -o DPkg::Lock::Timeout=120 --no-install-recommends $missing >/dev/null ||
			echo "apt-get failed: going on without what it did not install"
	else
		echo "missing:$missing (no root or no apt here: install them, or go on without)"
	fi
fi

answers() {
	timeout 10 docker version >/dev/null 2>&1
}
if answers; then
	exit 0
fi
log=/var/log/dockerd-landfall.log
if [ "$(id -u)" = 0 ] && [ -z "${DOCKER_HOST:-}" ] && [ -x /usr/sbin/dockerd ]; then
	if ! pidof dockerd >/dev/null; then
		echo "starting the Docker daemon"
		mkdir -p /var/log
		rm -f /run/docker.pid # of a daemon that was killed
		setsid /usr/sbin/dockerd >$log 2>&1 </dev/null &
	fi
	end=$(($(date +%s) + 60))
	until answers; do
		sleep 0.5
		if ! pidof dockerd >/dev/null || [ "$(date +%s)" -gt $end ]; then
			echo "the Docker daemon did not start; the end of $log:"
			grep -v level=info $log | tail -3 || true
			break
		fi
	done
fi
answers || echo "no Docker daemon answers: the demo runs processes instead of containers, and the tests and benchmarks that need Docker fail"
