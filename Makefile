# `make` lists what there is to do.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CRM := target/debug/crm
CONTRACT := openapi/api_contract.yaml
EVENTS := openapi/events.yaml
TEST_POSTGRES_URL ?= postgres://postgres@127.0.0.1:5432/postgres
TEST_AMQP_URL ?= amqp://guest:guest@127.0.0.1:5672/%2f
export TEST_POSTGRES_URL TEST_AMQP_URL

# cargo-nextest where it is installed, cargo test where not.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
TESTS := $(if $(NEXTEST),cargo nextest run --workspace,cargo test --workspace)
# Where RabbitMQ does not answer, and need not, its tests are left out.
AMQP := $(shell [ "$${CI:-}" = true ] || .ci/answers "$(TEST_AMQP_URL)" 5672 || echo missing)
TESTS += $(if $(AMQP),$(if $(NEXTEST),-E 'not test(/^broker::rabbitmq::/)',-- --skip broker::rabbitmq::))
COUNT := cargo test --workspace --test it -- --list 2>/dev/null

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build:
	@[ -x $(CRM) ] || echo "Building the service; the first time this takes about three minutes on two cores."
	@cargo build --bin crm

.PHONY: run
run: build ## Start the service on SQLite and print the first requests
	@echo
	@echo "The service is starting. Once it says 'serving', in another terminal, from this directory:"
	@echo
	@sed -n '/^<!-- first requests -->/,/^<!-- end of first requests -->/p' README.md | grep -v -e '^<!--' -e '^```' \
	  | sed -e 's/^/  /' -e "s/\$${CRM_PORT:-8080}/$${CRM_PORT:-$${PORT:-8080}}/"
	@echo
	@CRM_LOG_FORMAT=$${CRM_LOG_FORMAT:-text} exec $(CRM) serve

.PHONY: first-requests
first-requests: ## Send the first requests of the README to the running service
	@sed -n '/^<!-- first requests -->/,/^<!-- end of first requests -->/p' README.md | grep -v -e '^<!--' -e '^```' | bash -eu

.PHONY: test
test: ## Run all tests: on SQLite, and on PostgreSQL and with RabbitMQ where they answer
	@echo "== Tests on SQLite"
	TEST_DATABASE=sqlite $(TESTS)
	@if [ "$${CI:-}" = true ] || .ci/answers "$$TEST_POSTGRES_URL" 5432; then \
	  echo "== Tests on PostgreSQL"; \
	  echo TEST_DATABASE=postgres $(TESTS); \
	  TEST_DATABASE=postgres $(TESTS); \
	else \
	  skipped=$$($(COUNT) | grep -c ': test$$'); \
	  echo "== SKIPPED: $$skipped tests on PostgreSQL, because nothing answers at TEST_POSTGRES_URL"; \
	fi
	@[ -z "$(AMQP)" ] || \
	  echo "== SKIPPED: $$($(COUNT) | grep -c '^broker::rabbitmq::.*: test$$') tests with RabbitMQ, because nothing answers at TEST_AMQP_URL"

.PHONY: check
check: ## Check format, lints, docs and the contract
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	@cargo run --quiet --bin crm -- openapi | diff -u $(CONTRACT) - && \
	  cargo run --quiet --bin crm -- asyncapi | diff -u $(EVENTS) - || \
	  { echo "The contract changed. If that is meant, run 'make contract' and see openapi/README.md."; exit 1; }

.PHONY: fix
fix: ## Format, and mend what the lints can mend
	cargo clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

.PHONY: contract
contract: ## Write the emitted contracts to openapi/
	cargo run --quiet --bin crm -- openapi > $(CONTRACT).new
	mv $(CONTRACT).new $(CONTRACT)
	cargo run --quiet --bin crm -- asyncapi > $(EVENTS).new
	mv $(EVENTS).new $(EVENTS)
	git --no-pager diff --stat openapi

.PHONY: lint-contract
lint-contract: ## Validate the contracts with openapi-spec-validator, Redocly, Spectral and the AsyncAPI parser (installed into .venv and node_modules)
	[ -x .venv/bin/openapi-spec-validator ] || { python3 -m venv .venv && .venv/bin/pip -q install openapi-spec-validator; }
	[ -x node_modules/.bin/spectral ] || npm install --no-save --no-audit --no-fund @redocly/cli @stoplight/spectral-cli @asyncapi/parser
	.venv/bin/openapi-spec-validator $(CONTRACT)
	node_modules/.bin/redocly lint --config .redocly.yaml $(CONTRACT)
	node_modules/.bin/spectral lint --fail-severity=warn --ruleset .spectral.yaml $(CONTRACT)
	node openapi/validate-events.mjs $(EVENTS)

.PHONY: fuzz
fuzz: build ## Fuzz the running service with Schemathesis (installed into .venv)
	[ -x .venv/bin/schemathesis ] || { python3 -m venv .venv && .venv/bin/pip -q install schemathesis; }
	.venv/bin/schemathesis --config-file .schemathesis.toml run http://127.0.0.1:$${CRM_PORT:-8080}/openapi.yaml \
	  --url http://127.0.0.1:$${CRM_PORT:-8080}/api/v1/crm --checks all \
	  -H "Authorization: Bearer $$($(CRM) token)"

.PHONY: bench
bench: ## Measure what sealing personal data costs, as a ratio (needs wrk; builds a release)
	command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
	cargo build --release --bin crm
	tests/bench/sealing

.PHONY: bench-broker
bench-broker: ## Measure writes while the broker is down against up, as a ratio (needs wrk and RabbitMQ; builds a release)
	command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
	cargo build --release --bin crm
	tests/bench/broker

.PHONY: faults
faults: ## Kill relays and a RabbitMQ of its own in 200 rounds, and drain 100,000 events (takes about 15 minutes)
	cargo test --test it -- --ignored --nocapture relay::faults::
	TEST_QUEUED=100000 cargo test --test it -- --nocapture broker::rabbitmq::events_queued

.PHONY: disks
disks: ## Fill disks and let them fail under the running service (takes about three minutes; mounts file systems, so needs root)
	cargo test --test it -- --include-ignored --nocapture --test-threads=1 database::disks::

.PHONY: outages
outages: ## Freeze, cut off, lock and restart a PostgreSQL of its own under the service (takes about six minutes)
	cargo test --test it -- --include-ignored --nocapture --test-threads=1 database::outages:: database::hot_rows:: database::pooler::

.PHONY: verify
verify: check ## Check the delivery: its documents, and that the contract is what is served
	delivery/verify

.PHONY: image
image: ## Build the container image
	docker build -t crm .
