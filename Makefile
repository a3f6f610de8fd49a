# Everything that people run. `make help` says what each target does and how long it takes.

CACHE := $(HOME)/.cache/bonesetter
export CARGO_TARGET_DIR ?= $(CACHE)/target
BIN := $(CARGO_TARGET_DIR)/debug

# A KUBECONFIG that happens to be in the environment must not turn the demo on somebody's cluster:
# only one that is given on the command line counts.
ifeq ($(origin KUBECONFIG),command line)
DEMO_CLUSTER := existing
export DEMO_KUBECONFIG := $(KUBECONFIG)
export DEMO_IMAGE
else
DEMO_CLUSTER := node
endif

.DEFAULT_GOAL := help
.PHONY: help demo demo-down faultbox-image test check fmt lint deny generate build bench-redact bench-usefulness train-injection bench-replay bench-bus bench-flood check-alerts soak fuzz

help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Break eight workloads on a real node and show what Bonesetter makes of them (1 min; the first time 30 min, to build the servers). KUBECONFIG=... DEMO_IMAGE=... uses an existing cluster.
	@testbed/preflight.sh $(DEMO_CLUSTER)
	@cargo build --locked --workspace --bins
	@$(BIN)/demo

demo-down: ## Stop every server that a demo left running, and remove the demo from an existing cluster (10 s).
	@test -x $(BIN)/demo || cargo build --locked --workspace --bins
	@$(BIN)/demo down

faultbox-image: ## Build the image for a demo on an existing cluster, with buildah (1 min). DEMO_IMAGE=... names it.
	@testbed/faultbox/image.sh $(or $(DEMO_IMAGE),localhost/faultbox:1)

test: ## Run every test against real servers (10 min; the first time 40 min, to build the servers).
	@testbed/preflight.sh node tests
	@testbed/test.sh

check: fmt lint deny ## Formatting, clippy with warnings as errors, licences and bans (3 min).

fmt: ## Check the formatting (2 s).
	cargo fmt --all --check

lint: ## Run clippy with warnings as errors (2 min).
	cargo clippy --workspace --all-targets --locked -- -D warnings

# Without what finds targets to scrape, which rules do not need: that is most of what it is built from.
PROMTOOL := CGO_ENABLED=0 go run -trimpath -tags remove_all_sd github.com/prometheus/prometheus/cmd/promtool

check-alerts: ## Check the alert rules with Prometheus's promtool and evaluate them on sample series (5 s; the first time 2 min, to build it).
	@cd deploy/prometheus && $(PROMTOOL) check rules rules.yaml && $(PROMTOOL) test rules rules_test.yaml

deny: ## Check bans, licences and sources of dependencies (5 s; the first time 5 min, to build cargo-deny).
	@testbed/tools.sh
	$(CACHE)/tools/bin/cargo-deny --workspace check bans licenses sources

bench-replay: ## Measure replay over 10,000 incidents (INCIDENTS=...) beside raw reading of the same streams (3 min; the first time 10 min, to build).
	@cargo build --quiet --locked --release -p bonesetter --bin bonesetter --example bench-replay
	@$(CARGO_TARGET_DIR)/release/examples/bench-replay $(CARGO_TARGET_DIR)/release/bonesetter $(INCIDENTS)

bench-redact: ## Measure redaction on the labelled texts in DATA=... and on real logs, beside gitleaks, on one core (2 min; the first time 6 min, to build both).
	@redact/bench/bench.sh

bench-usefulness: ## Compare what the offline rules say with and without redaction about the recorded cases in DATA=.../diag_cases.jsonl (5 s; the first time 5 min, to build). Fails where an answer differs, or most are not explained.
	@test -f "$(DATA)/diag_cases.jsonl" || { echo "bench-usefulness: set DATA to the folder of diag_cases.jsonl: make bench-usefulness DATA=..." >&2; exit 1; }
	@cargo build --quiet --locked -p bonesetter-demo --example usefulness
	@mkdir -p $(CACHE)/bench
	@python3 demo/examples/usefulness/evidence.py "$(DATA)/diag_cases.jsonl" > $(CACHE)/bench/usefulness.jsonl
	@$(BIN)/examples/usefulness $(CACHE)/bench/usefulness.jsonl

bench-bus: ## Measure the stage runner beside bare JetStream on the same private nats-server, and the services at rest (6 min; the first time 60, to build). Fails where a goal of docs/benchmarks.md is missed. ROWS=always/plain measures some rows only.
	@testbed/preflight.sh node
	@chassis/examples/bench_bus/bench.sh $(ROWS)

fuzz: ## Let libFuzzer choose inputs for redaction, injection detection and the last search, MINUTES=... (5) altogether; what must hold for each is checked (the first time 10 min more, to build cargo-fuzz and the targets; needs a nightly compiler).
	@testbed/fuzz.sh $(or $(MINUTES),5)

bench-flood: ## Let two floods of 4000 messages (MESSAGES=..., 10000 at the most) through to the services on a private nats-server, the second with a slow model, and measure memory, messages in hand and rates (2 min; the first time 60, to build). Fails where a goal of docs/benchmarks.md is missed.
	@testbed/preflight.sh existing
	@soak/flood.sh $(if $(MESSAGES),--messages $(MESSAGES))

soak: ## Break workloads on a real node for MINUTES=... (10), and kill, pause, cut off, fill up and feed garbage to everything (two replicas of each service), the same for the same SEED=...; then check that nothing was lost or done twice (MINUTES and 1 to 12 more; the first time 30, to build the servers).
	@testbed/preflight.sh node
	@cargo build --quiet --locked --workspace --bins
	@$(BIN)/soak --minutes $(or $(MINUTES),10) $(if $(SEED),--seed $(SEED))

generate: build ## Write the files that are generated from code (10 s).
	BLESS=1 cargo test --quiet -p bonesetter-proto --test generated
	BLESS=1 cargo test --quiet -p bonesetter-proto --test golden --test compatibility
	BLESS=1 cargo test --quiet -p bonesetter-examples --test it page::the_page_shows_every_example_as_it_is
	$(BIN)/bonesetter deploy nats > deploy/nats/accounts.conf

build: ## Build every program (5 min from nothing).
	@cargo build --quiet --workspace --bins

train-injection: ## Train the model of injection detection on the labelled texts in DATA=... and the logs of bench-redact, and say what it finds in sources that it has not seen (10 s; 1 min to build).
	@cargo run --quiet --locked --release -p bonesetter-redact --example train_injection -- $(DATA)/injection.jsonl $(sort $(wildcard $(CACHE)/bench/logs/*.log))
