# Everything here needs Go and nothing else, but for `interop`, which needs Node too,
# `peers`, which needs HAProxy, nginx and wrk, and `gramine`, which needs Gramine.
# The tools that check the code are pinned in tools/go.mod and built into bin/.

GO        ?= go
FUZZTIME  ?= 10s
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 3
PEERS     ?=

.PHONY: all check fmt vet staticcheck vuln test bench fuzz interop peers release gramine cover clean

all: check test

## check: formatting, vet, staticcheck and the short tests
check: fmt vet staticcheck
	$(GO) test -short ./...

fmt:
	@files=$$(find . -name node_modules -prune -o -name '*.go' -exec gofmt -l {} +) && \
	if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi

# The tag `simulated` adds development hardware to ctb-broker; both builds are checked.
vet:
	$(GO) vet ./...
	$(GO) vet -tags simulated ./...
	$(GO) vet -C tools ./...

staticcheck: bin/staticcheck
	bin/staticcheck ./...
	bin/staticcheck -tags simulated ./cmd/...

## vuln: known vulnerabilities in what is linked (asks vuln.go.dev)
vuln: bin/govulncheck
	bin/govulncheck ./...

## test: every test, under the race detector
test:
	$(GO) test -race ./...
	$(GO) test -C tools ./...

## bench: every benchmark, as a table; the raw output stays in bin/bench.txt for benchstat
bench: bin/benchtable
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) ./... >bin/bench.txt || { cat bin/bench.txt; exit 1; }
	@bin/benchtable <bin/bench.txt

## fuzz: every fuzz target for FUZZTIME
fuzz:
	FUZZTIME=$(FUZZTIME) tools/fuzz

## interop: other people's implementations as oracles and peers
interop:
	tools/interop

## peers: the gateway beside a bare proxy, HAProxy and nginx, measured in one run, as a table
peers:
	@tools/peers $(PEERS)

## release: the programs, the same bytes wherever they are built, and what the hardware measures of the broker
release:
	@tools/release

## gramine: the broker as an SGX enclave, signed, and its measurement (needs Gramine; KEY=FILE names the signing key)
gramine:
	@deploy/gramine/build $(KEY)

## cover: test coverage, as a list of functions
cover:
	@mkdir -p bin
	$(GO) test -coverpkg ./... -coverprofile bin/cover.out ./...
	$(GO) tool cover -func bin/cover.out

clean:
	rm -rf bin

# go.mod and the sources of our own small tools decide whether a tool is up to date.
bin/staticcheck bin/govulncheck bin/benchstat: tools/go.mod
	GOBIN=$(CURDIR)/bin $(GO) install -C tools tool

bin/benchtable bin/testsum: tools/go.mod $(wildcard tools/*/*.go)
	GOBIN=$(CURDIR)/bin $(GO) install -C tools ./benchtable ./testsum
