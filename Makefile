# make demo: the whole path on this machine. make test: everything that CI runs.
export GOTOOLCHAIN = local
export CGO_ENABLED ?= 1
DEMO ?=
ONLY ?=

.PHONY: demo test lint bench docs build setup
build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/landfall ./cmd/landfall
	CGO_ENABLED=0 go build -trimpath -o bin/ledger ./examples/ledger

setup: # installs what is missing, where it can, and starts the Docker daemon
	sh test/setup.sh

demo: setup build
	bin/landfall demo --source . $(DEMO)

test: setup build
	sh test/run.sh

lint:
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" && go vet ./...

bench: setup build
	sh test/bench/run.sh "$(ONLY)"

docs:
	go test ./cmd/landfall -run TestGraph -update
