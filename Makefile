# make demo: the whole path on this machine. make test: everything that CI runs.
export GOTOOLCHAIN = local
# Go asks git for no version, and so need not trust a checkout of someone else's.
export GOFLAGS += -buildvcs=false
export HOME ?= $(shell getent passwd "$$(id -u)" | cut -d: -f6)
DEMO ?=
ONLY ?=

.PHONY: demo test soak lint bench docs build setup
build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/landfall ./cmd/landfall
	CGO_ENABLED=0 go build -trimpath -o bin/ledger ./examples/ledger

setup: # installs what the tests use and is missing, where it can, and starts the Docker daemon
	sh test/setup.sh test

demo:
	sh test/setup.sh demo
	$(MAKE) --no-print-directory build
	bin/landfall demo --source . $(DEMO)

test: setup build
	sh test/run.sh

soak: # histories of real processes under new faults, SOAK says for how long; ONLY=builds: SOAK_BUILDS builds over two Docker daemons
ifeq ($(ONLY),builds)
	SOAK_BUILDS=$${SOAK_BUILDS:-200} go test -count=1 -timeout 0 -v -run TestSoak ./test/soak
else
	SOAK=$${SOAK:-30m} go test -count=1 -timeout 0 -v -run TestSoak ./test/linear
endif

lint:
	unformatted=$$(gofmt -l .) && { test -z "$$unformatted" || { echo "run gofmt -w on:" $$unformatted; exit 1; }; }
	go vet ./...

bench: build
	sh test/setup.sh bench
	go run ./test/bench -only "$(ONLY)"

docs:
	go test ./cmd/landfall -run TestGraph -update
