# Each target is one command a person would type; `make help` lists them.
GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Without cli's template engine the linker drops code that is never called.
TAGS     := urfave_cli_no_template
LDFLAGS  := -s -w -X main.version=$(VERSION)
FUZZTIME ?= 30s
SOAK     ?= 10m
# The run of bench-100k. No recipe calls $(MAKE): make -n would run that line.
FLEET    := $(GO) test -run 'TestFleet$$' -v -count 1 -timeout 10m ./bench -fleet 100000

.DEFAULT_GOAL := help
.PHONY: help build run test check fuzz bench bench-results bench-100k soak generate

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build ./wheelgate and bin/loadtest
	$(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o wheelgate ./cmd/wheelgate
	$(GO) build -tags $(TAGS) -trimpath -ldflags '$(LDFLAGS)' -o bin/loadtest ./cmd/loadtest

run: build ## build and start wheelgate; its settings come from the environment and .env
	./wheelgate

test: ## all tests under the race detector, then those too large for it
	$(GO) test -race -tags $(TAGS) -timeout 10m ./...
	$(GO) test -tags $(TAGS) -timeout 10m -count 1 ./bench

check: ## format, vet (also for darwin), staticcheck
	@files=$$($(GO) run mvdan.cc/gofumpt@v0.12.0 -l .); test -z "$$files" || { echo "gofumpt would change:"; echo "$$files"; exit 1; }
	$(GO) vet -tags $(TAGS) ./...
	GOOS=darwin $(GO) vet -tags $(TAGS) ./...
	$(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2 -tags $(TAGS) ./...

fuzz: ## run each fuzz target for FUZZTIME
	$(GO) test -run '^$$' -fuzz FuzzWheel -fuzztime $(FUZZTIME) ./wheel
	$(GO) test -run '^$$' -fuzz FuzzGuard -fuzztime $(FUZZTIME) ./gateway/wsconn
	$(GO) test -run '^$$' -fuzz FuzzSplit -fuzztime $(FUZZTIME) ./gateway/wsconn
	$(GO) test -run '^$$' -fuzz FuzzAgainstGws -fuzztime $(FUZZTIME) ./gateway/wsconn
	$(GO) test -run '^$$' -fuzz FuzzUTF8 -fuzztime $(FUZZTIME) ./gateway/wsconn
	$(GO) test -run '^$$' -fuzz FuzzDeflate -fuzztime $(FUZZTIME) -fuzzminimizetime 1s ./gateway/wsconn
	$(GO) test -run '^$$' -fuzz FuzzFrames -fuzztime $(FUZZTIME) ./loadtest/client
	$(GO) test -run '^$$' -fuzz FuzzMask -fuzztime $(FUZZTIME) ./loadtest/client

bench: ## run the benchmarks; about six minutes
	$(GO) test -run '^$$' -bench . -benchmem -count 1 -timeout 30m ./bench

bench-results: ## run all that docs/benchmarks.md quotes, into bench/results; about 25 minutes
	bench/record.sh keepers $(GO) test -run '^$$' -bench 'Keeper' -benchtime 300ms -timeout 20m ./bench
	bench/record.sh deadline $(GO) test -run '^$$' -bench ReadDeadline -benchtime 300ms -timeout 20m ./bench
	bench/record.sh wheel $(GO) test -run '^$$' -bench '^Benchmark(Touch|TouchRatio|WheelCalls|WheelIdle)$$' -timeout 20m ./bench
	bench/record.sh memory $(GO) test -run '^$$' -bench 'Memory|IdleLatency' -benchtime 1x -timeout 20m ./bench
	bench/record.sh fleet $(FLEET)
	cd bench/peers && ../record.sh peers $(GO) run ./measure

bench-100k: ## 100,000 real sessions at a fleet of gateways; about four minutes
	$(FLEET)

soak: ## ten minutes of clients that come, go and misbehave; SOAK=1h is an hour
	$(GO) test -run 'TestStorm$$' -v -count 1 -timeout 0 -tags $(TAGS) ./bench -soak $(SOAK)

generate: ## rewrite the settings table of README.md, .env.example and docs/metrics.md
	$(GO) test ./cmd/wheelgate -run 'Test(Settings|Metrics)Docs' -update
